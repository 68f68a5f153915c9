import pytest
import torch

from lowbit.layers import norm
from lowbit.registry import InputError

ROWS, COLS, STEPS, BATCH = 6, 5, 4, 16
every = pytest.mark.parametrize("name", norm.names())


def build(name):
    torch.manual_seed(0)
    layer = norm.build(name, ROWS, STEPS)
    torch.nn.init.uniform_(layer.gain, 0.5, 1.5) if layer.gain.requires_grad else None
    return layer, torch.randn(ROWS, COLS), torch.randn(ROWS)


def products(steps=STEPS, seed=1):
    return 3 * torch.randn(steps, BATCH, ROWS, generator=torch.Generator().manual_seed(seed)) + 1


def plain_batch_norm(z, gain, bias):
    mean = z.mean(0)
    return gain * (z - mean) / torch.sqrt(((z - mean) ** 2).mean(0) + 1e-5) + bias


def collected(layer, w, bias, z):
    layer.collect(True)
    apply = layer.train().normalizer(w, bias)
    for t, step in enumerate(z):
        apply(step, t, norm.ALL)
    layer.collect(False)
    return layer.eval()


def test_an_error_about_an_unknown_norm_names_the_known_ones():
    with pytest.raises(InputError, match="no norm 'bath'; known: batch, batch_step, layer, none, rms, weight"):
        norm.build("bath", 2, 2)


@pytest.mark.parametrize("name", ["batch", "batch_step"])
def test_batch_norms_train_on_the_statistics_of_the_batch(name):
    layer, w, bias = build(name)
    for t, z in enumerate(products()):
        expected = plain_batch_norm(z, layer.gain, bias)
        torch.testing.assert_close(layer.normalizer(w, bias)(z, t, norm.ALL), expected)


def test_layer_norm_equals_its_formula():
    layer, w, bias = build("layer")
    z = products()[0]
    centred = z - z.mean(1, keepdim=True)
    expected = layer.gain * centred / torch.sqrt((centred**2).mean(1, keepdim=True) + 1e-5) + bias
    torch.testing.assert_close(layer.normalizer(w, bias)(z, 0, norm.ALL), expected)


def test_rms_norm_equals_its_formula_in_value_and_gradient():
    layer, w, bias = build("rms")
    z = products()[0].double().requires_grad_()
    apply = layer.double().normalizer(w, bias.double())
    expected = layer.gain * z / torch.sqrt((z**2).mean(1, keepdim=True) + 1e-5) + bias
    torch.testing.assert_close(apply(z, 0, norm.ALL), expected)
    assert torch.autograd.gradcheck(lambda z: apply(z, 0, norm.ALL), z)


def test_rms_norm_removes_the_size_of_a_product_and_not_its_mean():
    layer, w, bias = build("rms")
    apply = layer.normalizer(w, torch.zeros_like(bias))
    z = products()[0]
    torch.testing.assert_close(apply(100 * z, 0, norm.ALL), apply(z, 0, norm.ALL), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(apply(z + 1, 0, norm.ALL), apply(z, 0, norm.ALL), atol=0.1)


def test_weight_norm_gives_every_row_the_length_of_its_gain():
    layer, w, bias = build("weight")
    x = torch.randn(BATCH, COLS)
    expected = x @ torch.stack([g * row / row.norm() for g, row in zip(layer.gain, w, strict=True)]).T + bias
    torch.testing.assert_close(layer.normalizer(w, bias)(x @ w.T, 0, norm.ALL), expected)


def test_no_norm_adds_the_bias_only():
    layer, w, bias = build("none")
    z = products()[0]
    assert torch.equal(layer.normalizer(w, bias)(z, 0, norm.ALL), z + bias)
    assert not layer.gain.requires_grad


@every
def test_a_slice_of_the_rows_is_normalized_like_a_separate_matrix(name):
    layer, w, bias = build(name)
    z, part = products()[0], slice(0, 3)
    small = norm.build(name, 3, STEPS)
    small.gain.data = layer.gain.data[part]
    expected = small.normalizer(w[part], bias[part])(z[:, part], 0, norm.ALL)
    torch.testing.assert_close(layer.normalizer(w, bias)(z[:, part], 0, part), expected)


@pytest.mark.parametrize("name", [name for name in norm.names() if issubclass(norm.registry[name], norm.Affine)])
def test_the_folded_form_equals_evaluation(name):
    layer, w, bias = build(name)
    z = products()
    layer = collected(layer, w, bias, z)
    scale, shift = layer.fold(w)
    for t in range(STEPS + 3):
        slot = min(t, len(scale) - 1)
        expected = z[t % STEPS] * scale[slot] + shift[slot] + bias
        torch.testing.assert_close(layer.normalizer(w, bias)(z[t % STEPS], t, norm.ALL), expected)


def test_population_statistics_are_those_of_all_collected_products():
    per_step, w, bias = build("batch_step")
    shared, _, _ = build("batch")
    z = products(STEPS)
    scale, shift = collected(per_step, w, bias, z).fold(w)
    for t in range(STEPS):
        expected = per_step.gain / torch.sqrt(z[t].var(0, correction=0) + 1e-5)
        torch.testing.assert_close(scale[t], expected)
        torch.testing.assert_close(shift[t], -z[t].mean(0) * expected)
    scale, _ = collected(shared, w, bias, z).fold(w)
    expected = shared.gain / torch.sqrt(z.flatten(0, 1).var(0, correction=0) + 1e-5)
    torch.testing.assert_close(scale, expected[None])


def test_products_past_the_last_step_join_its_statistics():
    layer, w, bias = build("batch_step")
    z = products(STEPS + 2)
    scale, _ = collected(layer, w, bias, z).fold(w)
    late = z[STEPS - 1 :].flatten(0, 1)
    torch.testing.assert_close(scale[-1], layer.gain / torch.sqrt(late.var(0, correction=0) + 1e-5))


def test_a_new_collection_discards_the_old():
    layer, w, bias = build("batch")
    first = collected(layer, w, bias, products(seed=1)).fold(w)
    collected(layer, w, bias, 5 * products(seed=2))
    again = collected(layer, w, bias, products(seed=1)).fold(w)
    assert torch.equal(first[0], again[0])


def test_batch_norm_without_statistics_is_an_error():
    layer, w, bias = build("batch_step")
    with pytest.raises(InputError, match="calibrate"):
        layer.eval().normalizer(w, bias)


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_norm_that_depends_on_the_input_cannot_be_folded(name):
    layer, w, _ = build(name)
    with pytest.raises(InputError, match=f"'{name}' cannot be folded"):
        layer.fold(w)
