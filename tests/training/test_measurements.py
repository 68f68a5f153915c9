"""Measurements against closed forms, torch's own cells, and the plain forward pass."""

import dataclasses
import functools

import pytest
import torch
from torch import nn

from lowbit import quantizers
from lowbit.layers.cells import State
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, measurements, train

TINY = "smoke(hidden=6, batch=8, steps=8, calibration=2)"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measurements, "SEGMENTS", 32)


def built(**fields):
    spec = RunSpec(**{"budget": TINY, "quantizer": "full", "norm": "none"} | fields)
    network = train.build(spec)
    with torch.no_grad():  # away from where gates and biases start alike
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval(), spec.data, spec.recipe


def torch_step(layer, kind, x, *state):
    """Returns torch.nn's cell with the weights of a layer, as a function of values in a row."""
    cell = kind(layer.weight_x.shape[1], layer.hidden)
    names = {"weight_ih": "weight_x", "weight_hh": "weight_h", "bias_ih": "bias_x", "bias_hh": "bias_h"}
    parameters = {name: getattr(layer, ours).detach() for name, ours in names.items()}
    values = tuple(value[None] for value in torch.cat(state).split(layer.hidden))
    after = torch.func.functional_call(cell, parameters, (x[None], values if len(values) > 1 else values[0]))
    return torch.cat(after, dim=1)[0] if isinstance(after, tuple) else after[0]


@pytest.mark.parametrize(("cell", "kind"), [("rnn", nn.RNNCell), ("gru", nn.GRUCell), ("lstm", nn.LSTMCell)])
def test_a_jacobian_equals_that_of_the_cell_of_torch(cell, kind):
    network, _, _ = built(cell=cell)
    layer = network.layers[0]
    x = torch.randn(1, 3, layer.weight_x.shape[1])
    values = tuple(torch.randn(3, layer.hidden) for _ in range(layer.cell.memories))
    ours = measurements.jacobian(layer, x, State(values, 4), layer.round())
    for row, found in enumerate(ours):
        step = functools.partial(torch_step, layer, kind, x[0, row])
        told = torch.autograd.functional.jacobian(step, torch.cat([value[row] for value in values]))
        torch.testing.assert_close(found, told)


def test_the_jacobian_of_an_rnn_is_the_slope_times_the_recurrent_matrix():
    network, data, recipe = built(cell="rnn")
    told = measurements.jacobians(network, data, recipe)
    layer, x, w, _ = measurements.first_layer(network, data, recipe)
    h = layer(x[:, : measurements.SEQUENCES], None, w)[0].detach()
    for step, radius, norm in zip(told["step"], told["radius"], told["spectral_norm"], strict=True):
        matrices = (1 - h[step - 1] ** 2)[:, :, None] * w.h.detach()
        torch.testing.assert_close(torch.tensor(radius), torch.linalg.eigvals(matrices).abs().amax(1))
        torch.testing.assert_close(torch.tensor(norm), torch.linalg.svdvals(matrices)[:, 0])


def closed_form(layer, z, zh, before, w):
    """Returns the Jacobian of one sequence's step by the formula of the book; zh is the recurrent product."""
    D = torch.diag
    if layer.cell.gates == 3:
        (r, u), n = z[:2].sigmoid(), z[2].tanh()
        W_r, W_u, W_n = w.chunk(3)
        inner = D(r) @ W_n + D(zh[2] * r * (1 - r)) @ W_r
        return D(u) + D((before[0] - n) * u * (1 - u)) @ W_u + D((1 - u) * (1 - n**2)) @ inner
    (i, f), g, o = z[:2].sigmoid(), z[2].tanh(), z[3].sigmoid()
    W_i, W_f, W_g, W_o = w.chunk(4)
    c = f * before[1] + i * g
    from_h = D(g * i * (1 - i)) @ W_i + D(before[1] * f * (1 - f)) @ W_f + D(i * (1 - g**2)) @ W_g
    to_c = torch.cat((from_h, D(f)), dim=1)
    to_h = D(o * (1 - c.tanh() ** 2)) @ to_c
    to_h[:, : layer.hidden] += D(c.tanh() * o * (1 - o)) @ W_o
    return torch.cat((to_h, to_c))


@torch.no_grad()
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_jacobian_with_norm_and_few_bits_equals_the_formula_of_the_book(cell):
    network, data, recipe = built(cell=cell, quantizer="ternary", norm="batch_step")
    layer, x, w, _ = measurements.first_layer(network, data, recipe)
    x = x[:, :2]
    _, state = layer(x[:3], None, w)
    found = measurements.jacobian(layer, x[3:4], state, w)
    layer.cell = measurements.Listener(layer.cell)
    layer(x[3:4], state, w)
    scale, shift = (told[3] for told in layer.norm_h.fold(w.h))
    for row in range(2):
        zh = scale * (w.h @ state.values[0][row]) + shift + w.bias_h
        z = layer.cell.inputs[0][row].view(-1, layer.hidden)
        before = [value[row] for value in state.values]
        told = closed_form(layer, z, zh.view(-1, layer.hidden), before, scale[:, None] * w.h)
        torch.testing.assert_close(found[row], told)


def test_a_rotation_in_the_linear_range_has_eigenvalues_of_size_one():
    network, data, recipe = built(cell="rnn")
    layer = network.layers[0]
    nn.init.orthogonal_(layer.weight_h)
    for parameter in (layer.weight_x, layer.bias_x, layer.bias_h):
        nn.init.zeros_(parameter)
    told = measurements.jacobians(network, data, recipe)
    assert told["hidden"] == [0.0] * recipe.steps
    torch.testing.assert_close(torch.tensor(told["radius"]), torch.ones(len(told["step"]), measurements.SEQUENCES))
    torch.testing.assert_close(
        torch.tensor(told["spectral_norm"]), torch.ones(len(told["step"]), measurements.SEQUENCES)
    )


def test_hidden_norms_are_those_of_the_forward_pass_where_a_sequence_lasts():
    network, data, recipe = built(norm="batch_step", quantizer="ternary")
    told = measurements.jacobians(network, data, recipe)["hidden"]
    layer, x, _, running = measurements.first_layer(network, data, recipe)
    assert running.all()
    states, sizes = None, []
    for step in x:
        output, states = layer(step[None], states, layer.round(sample=False))
        sizes.append(output[0].norm(dim=1).mean())
    torch.testing.assert_close(torch.tensor(told), torch.stack(sizes))


@pytest.mark.parametrize("cell", ["rnn", "gru", "gru(reset='cho2014')", "lstm", "min_gru", "min_lstm", "mlgru"])
def test_every_pre_activation_is_counted_once(cell):
    network, data, recipe = built(cell=cell)
    layer = network.layers[0]
    told = measurements.gates(network, data, recipe)
    assert len(told) == layer.cell.gates
    for entry in told.values():
        assert sum(entry["histogram"]) == measurements.first_layer(network, data, recipe).x.numel() * recipe.hidden
        assert 0 <= entry["low"] + entry["high"] <= 1
    assert not isinstance(layer.cell, measurements.Listener)


def listen(**choices):
    """Returns the gate inputs and the outputs of the first layer at every step, and a state of zeros."""
    network, data, recipe = built(**choices)
    layer, x, w, _ = measurements.first_layer(network, data, recipe)
    outputs, _ = layer(x, None, w)
    layer.cell = measurements.Listener(layer.cell)
    layer(x, None, w)
    return zip(layer.cell.inputs, outputs, strict=True), torch.zeros(x.shape[1], recipe.hidden)


def test_the_gate_inputs_of_an_lstm_give_its_outputs():
    steps, c = listen(norm="batch")
    for z, output in steps:
        i, f, g, o = z.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        torch.testing.assert_close(o.sigmoid() * c.tanh(), output)


@pytest.mark.parametrize("cell", ["gru", "gru(reset='cho2014')"])
def test_the_gate_inputs_of_a_gru_give_its_outputs(cell):
    steps, h = listen(cell=cell)
    for gates, output in steps:
        _, z, n = gates.chunk(3, dim=1)
        h = (1 - z.sigmoid()) * n.tanh() + z.sigmoid() * h
        torch.testing.assert_close(h, output)


@torch.no_grad()
def test_the_score_at_a_length_is_that_of_the_segments_one_by_one():
    network, data, recipe = built(norm="batch_step", quantizer="ternary")
    told = measurements.by_length(network, data, recipe)
    assert max(told["length"]) > recipe.steps > min(told["length"])
    (text,) = data.splits["test"]
    w = network.round(sample=False)
    for length in (recipe.steps, max(told["length"])):
        count = measurements.SEGMENTS * recipe.steps // length
        losses = []
        for start in range(0, count * length, length):
            piece = torch.from_numpy(text[start : start + length + 1].astype("int64"))
            logits, _ = network(piece[:-1, None], None, w)
            losses.append(nn.functional.cross_entropy(logits[:, 0], piece[1:]) / torch.tensor(2.0).log())
        mean = float(torch.stack(losses).mean())
        assert told["score"][told["length"].index(length)] == pytest.approx(mean, rel=1e-4)


def test_sequences_of_different_lengths_are_not_cut():
    network, data, recipe = built(dataset="digits", budget="smoke(hidden=6, batch=8, calibration=2)")
    assert measurements.by_length(network, data, recipe) == {}


@pytest.mark.parametrize("dataset", ["markov", "digits"])
def test_only_the_score_as_published_depends_on_the_test_batch(dataset):
    network, data, recipe = built(dataset=dataset, norm="batch", quantizer="ternary")
    told = measurements.by_batch(network, data, recipe, sizes=(2, 4, 16))
    assert told["size"] == [2, 4, 16]
    assert len(set(told["as_published"])) > 1
    assert len(set(told["population"])) == 1
    w = network.round(sample=False)
    for size in (2, 16):
        limit = measurements.SEGMENTS * recipe.steps + 1 if dataset == "markov" else measurements.SEGMENTS
        order = torch.Generator().manual_seed(0)
        batches = data.batches("test", size, recipe.steps, order, limit)
        assert evaluate.score(network, data, batches, w) == pytest.approx(told["population"][0], rel=1e-5)


def test_no_test_batch_is_larger_than_what_a_recipe_tests():
    network, data, recipe = built(dataset="digits", norm="batch", quantizer="ternary")
    assert measurements.by_batch(network, data, dataclasses.replace(recipe, test_limit=5))["size"] == [2, 4]


def test_without_batch_norm_the_test_batch_does_not_matter():
    network, data, recipe = built()
    told = measurements.by_batch(network, data, recipe, sizes=(2, 16))
    assert told["as_published"] == pytest.approx(told["population"], rel=1e-5)


def test_scores_of_weight_samples_vary_and_only_sampled_networks_have_them():
    network, data, recipe = built(quantizer="ternary(stochastic=True)")
    told = measurements.samples(network, data, dataclasses.replace(recipe, test_limit=400))
    assert len(set(told["drawn"])) == measurements.SAMPLES
    assert told["nearest"] not in told["drawn"]
    network, data, recipe = built(quantizer="ternary")
    assert measurements.samples(network, data, recipe) == {}


def test_both_directions_and_several_layers_can_be_measured():
    spec = {"dataset": "digits", "budget": "smoke(hidden=4, batch=8, calibration=2, bidirectional=True, layers=2)"}
    network, data, recipe = built(**spec, norm="batch")
    assert len(measurements.jacobians(network, data, recipe)["hidden"]) == 64
    assert set(measurements.gates(network, data, recipe)) == {"i", "f", "g", "o"}


def test_rounding_after_training_is_that_of_the_same_weights_written_into_the_network():
    network, data, recipe = built(quantizer="full")
    recipe = dataclasses.replace(recipe, test_limit=400)
    scores = measurements.rounded(network, data, recipe)
    assert scores["bits"] == [32, 8, 6, 5, 4, 3, 2]
    losses = [abs(score - scores["score"][0]) for score in scores["score"]]
    assert losses[0] < losses[1] < losses[-1]
    coarse = quantizers.build("uniform(bits=2)")
    for layer in network.recurrent().values():
        for part, w in (("input", layer.weight_x), ("recurrent", layer.weight_h)):
            w.data = coarse(w.data, layer.site(part), False)
    assert measurements.rounded(network, data, recipe)["score"][0] == pytest.approx(scores["score"][-1], rel=1e-6)
    assert measurements.rounded(*built(quantizer="ternary")) == {}
