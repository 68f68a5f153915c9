"""Oracles: torch.nn in value and gradient; a plain NumPy formula for what torch does not have."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowbit import quantizers
from lowbit.layers import cells, norm
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.registry import InputError

FULL = quantizers.build("full")
PEERS = {
    "rnn": lambda d, n: nn.RNN(d, n),
    "rnn(activation='relu')": lambda d, n: nn.RNN(d, n, nonlinearity="relu"),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
NAMES = {"weight_x": "weight_ih_l0", "weight_h": "weight_hh_l0", "bias_x": "bias_ih_l0", "bias_h": "bias_hh_l0"}


def recurrent_layer(cell, inputs=3, hidden=4, quantizer="full", norm="none", quantized="input+recurrent", steps=5):
    design = Design(cells.build(cell), quantizers.build(quantizer), norm, cells.parse_parts(quantized))
    layer = Recurrent(inputs, hidden, design, steps)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.uniform_(parameter, -0.5, 0.7)
    return layer


@pytest.mark.parametrize("cell", PEERS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.tuples(*[st.integers(1, 5)] * 4))
def test_full_precision_without_norm_equals_torch_in_value_and_gradient(cell, seed, sizes):
    torch.manual_seed(seed)
    time, batch, inputs, hidden = sizes
    ours = recurrent_layer(cell, inputs, hidden)
    peer = PEERS[cell](inputs, hidden)
    with torch.no_grad():
        for mine, theirs in NAMES.items():
            getattr(peer, theirs).copy_(getattr(ours, mine))
    x = torch.randn(time, batch, inputs)
    slope = torch.randn(time, batch, hidden)
    mine, state = ours(x)
    other, _ = peer(x)
    torch.testing.assert_close(mine, other)
    torch.testing.assert_close(state.values[0], other[-1])
    (mine * slope).sum().backward()
    (other * slope).sum().backward()
    for name, theirs in NAMES.items():
        torch.testing.assert_close(getattr(ours, name).grad, getattr(peer, theirs).grad, rtol=1e-4, atol=1e-5)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def plain_batch_norm(z, gain, bias):
    return gain * (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) + bias


def plain(layer, x, normalize):
    """Computes the recurrence step by step in NumPy float64, from the formulas."""
    p = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    n = layer.hidden
    h = c = np.zeros((x.shape[1], n))
    out = []
    for step in x.double().numpy():
        zx = normalize(step @ p["weight_x"].T, p["norm_x.gain"], p["bias_x"])

        def product(h, rows=slice(None)):
            z = h @ p["weight_h"][rows].T
            return normalize(z, p["norm_h.gain"][rows], p["bias_h"][rows])

        match layer.cell:
            case cells.LSTM():
                i, f, g, o = np.split(zx + product(h), 4, axis=1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                cell = normalize(c, p["norm_c.gain"], p["bias_c"]) if layer.cell.normalize_cell else c
                h = sigmoid(o) * np.tanh(cell)
            case cells.GRU(reset="cho2014"):
                r, z = np.split(sigmoid(zx[:, : 2 * n] + product(h, slice(0, 2 * n))), 2, axis=1)
                candidate = np.tanh(zx[:, 2 * n :] + product(r * h, slice(2 * n, 3 * n)))
                h = (1 - z) * candidate + z * h
            case cells.GRU():
                zh = product(h)
                r, z = np.split(sigmoid(zx[:, : 2 * n] + zh[:, : 2 * n]), 2, axis=1)
                candidate = np.tanh(zx[:, 2 * n :] + r * zh[:, 2 * n :])
                h = (1 - z) * candidate + z * h
            case cells.RNN():
                h = np.tanh(zx + product(h))
        out.append(h)
    return torch.from_numpy(np.stack(out)).float()


@pytest.mark.parametrize("reset", ["ott2016", "cho2014"])
def test_both_reset_conventions_follow_their_formulas(reset):
    torch.manual_seed(0)
    layer = recurrent_layer(f"gru(reset={reset!r})")
    x = torch.randn(6, 2, 3)
    out, _ = layer(x)
    torch.testing.assert_close(out, plain(layer, x, lambda z, gain, bias: z + bias))


@pytest.mark.parametrize("cell", ["rnn", "gru", "gru(reset='cho2014')", "lstm", "lstm(normalize_cell=True)"])
@pytest.mark.parametrize("name", ["batch", "batch_step"])
def test_batch_norm_per_step_equals_a_plain_implementation(cell, name):
    torch.manual_seed(0)
    layer = recurrent_layer(cell, norm=name)
    x = torch.randn(7, 9, 3)
    out, _ = layer(x)
    torch.testing.assert_close(out, plain(layer, x, plain_batch_norm), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", cells.names())
def test_gradients_flow_through_every_parameter(cell):
    layer = recurrent_layer(cell, norm="batch_step")
    out, _ = layer(torch.randn(5, 8, 3))
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("cell", cells.names())
@pytest.mark.parametrize("name", norm.names())
def test_two_halves_with_a_carried_state_equal_the_whole(cell, name):
    torch.manual_seed(0)
    layer = recurrent_layer(cell, norm=name)
    x = torch.randn(8, 6, 3)
    whole, end = layer(x)
    first, state = layer(x[:5])
    second, last = layer(x[5:], state)
    torch.testing.assert_close(torch.cat((first, second)), whole)
    assert last.t == end.t == 8


@pytest.mark.parametrize("cell", cells.names())
def test_symbols_equal_one_hot_features(cell):
    torch.manual_seed(0)
    layer = recurrent_layer(cell, inputs=7, norm="batch_step")
    symbols = torch.randint(7, (6, 5))
    features = nn.functional.one_hot(symbols, 7).float()
    torch.testing.assert_close(layer(symbols)[0], layer(features)[0])


@pytest.mark.parametrize("quantized", ["input", "recurrent", "biases", "input+recurrent", "input+recurrent+biases"])
def test_only_the_chosen_parameters_are_quantized(quantized):
    layer = recurrent_layer("lstm", quantizer="ternary", quantized=quantized)
    weights = layer.round()
    for part, name in (("input", "x"), ("recurrent", "h"), ("biases", "bias_x"), ("biases", "bias_h")):
        original = getattr(layer, {"x": "weight_x", "h": "weight_h"}.get(name, name))
        rounded = getattr(weights, name)
        if part in quantized.split("+"):
            assert len(rounded.unique()) <= 3
        else:
            assert torch.equal(rounded, original)


def test_weights_are_sampled_once_a_sequence():
    torch.manual_seed(0)
    layer = recurrent_layer("rnn", quantizer="binary(stochastic=True)")
    weights = layer.round()
    x = torch.randn(5, 2, 3)
    assert torch.equal(layer(x, None, weights)[0], layer(x, None, weights)[0])
    assert not torch.equal(layer(x)[0], layer(x)[0])


def test_the_bias_of_the_forget_gate_starts_at_one():
    bias = cells.build("lstm").bias(3)
    assert bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6


@pytest.mark.parametrize(
    ("choice", "message"),
    [("gru(reset='chung')", "known: cho2014, ott2016"), ("rnn(activation='elu')", "known: relu, tanh")],
)
def test_an_error_about_an_unknown_convention_names_the_known_ones(choice, message):
    with pytest.raises(InputError, match=message):
        cells.build(choice)


def test_an_error_names_the_part_that_cannot_be_quantized():
    with pytest.raises(InputError, match="cannot quantize 'softmax'; known: input, recurrent, biases"):
        cells.parse_parts("input+softmax")


def test_a_cell_without_recurrence_has_one_matrix_and_follows_its_formula():
    """Each as in its paper, one step at a time."""
    torch.manual_seed(0)
    x = torch.randn(7, 2, 3)

    def candidate(v):
        return torch.where(v >= 0, v + 0.5, v.sigmoid())

    for name in ("min_gru", "min_lstm", "mlgru"):
        layer = Recurrent(3, 4, Design(cells.build(name), FULL))
        assert [matrix.name for matrix in layer.matrices()] == ["weight_x"]
        h, expected = torch.zeros(2, 4), []
        for step in x:
            z = step @ layer.weight_x.T + layer.bias_x
            if name == "min_gru":
                gate, new = z.chunk(2, dim=1)
                h = (1 - gate.sigmoid()) * h + gate.sigmoid() * candidate(new)
                out = h
            elif name == "min_lstm":
                i, f, new = z.chunk(3, dim=1)
                total = f.sigmoid() + i.sigmoid()
                h = f.sigmoid() / total * h + i.sigmoid() / total * candidate(new)
                out = h
            else:
                f, new, g = z.chunk(3, dim=1)
                h = f.sigmoid() * h + (1 - f.sigmoid()) * new * new.sigmoid()
                out = g.sigmoid() * h
            expected.append(out)
        torch.testing.assert_close(layer(x)[0], torch.stack(expected))


def test_quantized_activations_take_only_levels_and_reach_the_recurrent_product():
    torch.manual_seed(0)
    design = Design(cells.build("gru"), FULL, activations=quantizers.build("ternary"))
    layer = Recurrent(3, 4, design)
    outputs, _ = layer(torch.randn(9, 2, 3) * 4)
    assert set(outputs.unique().tolist()) <= {-1.0, 0.0, 1.0}
    products = []
    layer.norm_h.normalizer = lambda w, bias: lambda z, t, part: products.append(z) or z
    with torch.no_grad():
        layer.weight_h.fill_(1.0)
        layer(torch.randn(9, 2, 3) * 4)
    assert all(torch.equal(z, z.round()) for z in products)


def test_orthogonal_masters_are_orthogonal():
    layer = Recurrent(3, 4, Design(cells.build("lstm"), FULL, init="orthogonal"))
    for master in (layer.weight_x, layer.weight_h):
        torch.testing.assert_close(master.T @ master, torch.eye(master.shape[1]), atol=1e-5, rtol=0)


def test_units_with_chrono_forget_over_lengths_up_to_it_and_take_in_what_they_forget():
    layer = Recurrent(3, 256, Design(cells.build("lstm"), FULL, chrono=100))
    i, f, *others = layer.bias_h.detach().chunk(4)
    lengths = f.exp()
    assert lengths.min() >= 1
    assert lengths.max() <= 100
    assert lengths.mean().item() == pytest.approx(50.5, abs=8)  # 29 / 16 is one standard deviation
    assert torch.equal(i, -f)
    assert not any(other.any() for other in others)


@pytest.mark.parametrize("start", ["learned", "noisy"])
def test_a_learned_start_state_gets_a_gradient_and_noise_only_as_an_option(start):
    torch.manual_seed(0)
    layer = Recurrent(3, 4, Design(cells.build("lstm"), FULL, start=start))
    x = torch.randn(5, 2, 3)
    first = layer(x)[0]
    first.sum().backward()
    assert layer.first.grad.abs().min() > 0
    assert torch.equal(first, layer(x)[0]) == (start == "learned")


def test_a_noisy_start_makes_equal_sequences_differ():
    layer = Recurrent(3, 4, Design(cells.build("lstm"), FULL, "batch_step", start="noisy"), steps=300)
    x = torch.zeros(300, 16, 3)
    y, _ = layer(x)
    y[-1].square().sum().backward()
    assert y.std(dim=1).min() > 1e-3
    assert all(p.grad.isfinite().all() for p in (layer.weight_h, layer.first))


@pytest.mark.parametrize("name", quantizers.names())
def test_masters_that_start_at_the_levels_fill_their_bound(name):
    quantizer = quantizers.build(name)
    torch.manual_seed(0)
    layer = Recurrent(64, 64, Design(cells.build("gru"), quantizer, init="levels"))
    for _, master, site, _ in layer.matrices():
        u = (master / quantizer.bound(master.detach(), site)).abs()
        assert 0.99 < u.max() <= 1
        assert abs(u.mean() - 0.5) < 0.02  # uniform


def test_masters_that_start_at_the_levels_use_every_ternary_level():
    torch.manual_seed(0)
    layer = Recurrent(64, 64, Design(cells.build("lstm"), quantizers.build("ternary"), init="levels"))
    for _, master, site, _ in layer.matrices():
        shares = layer.quantizer.encode(master.detach(), site)[0].flatten().bincount() / master.numel()
        torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.01, rtol=0)
