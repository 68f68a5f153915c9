"""Every kernel against the reference in float64: values, gradients, populations; and the choice among kernels."""

import copy
import dataclasses
import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import quantizers
from lowbit.layers import cells, kernels, norm
from lowbit.layers.cells import State
from lowbit.layers.kernels import Kernel
from lowbit.layers.kernels.reference import Reference
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train

CELLS = ["rnn", "rnn(activation='relu')", "gru", "gru(reset='cho2014')", "lstm", "lstm(normalize_cell=True)"]
SIZES = (1, 6), (7, 9), (2, 6), (4, 6)  # time, batch, inputs, hidden: a norm of two or three alike is ill conditioned
fast = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
HALF = "fused(products='bfloat16')"
halves = pytest.mark.skipif(bool(kernels.build(HALF).missing()), reason="no bfloat16 products on this machine")


def recurrent_layer(cell, norm, kernel, quantizer="full", inputs=3, hidden=6, steps=5, seed=0):
    torch.manual_seed(seed)
    design = Design(cells.build(cell), quantizers.build(quantizer), norm)
    layer = Recurrent(inputs, hidden, design, steps)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0.3, 0.7)
    layer.kernels = (kernels.build(kernel), Reference())
    return layer


def exact(layer):
    """Returns the same layer in float64, run by the reference."""
    twin = copy.deepcopy(layer).double()
    twin.kernels = (Reference(),)
    return twin


def twin_of(layer, weights):
    """Returns the layer in float64 with the same quantized weights, and gradients of its own masters."""
    twin = exact(layer)
    return twin, twin.round()._replace(
        x=twin.weight_x + (weights.x.double() - twin.weight_x).detach(),
        h=twin.weight_h + (weights.h.double() - twin.weight_h).detach(),
    )


def compare(layer, x, state=None):
    weights = layer.round()
    twin, doubled = twin_of(layer, weights)
    out, end = layer(x, state, weights)
    wide = state and State(tuple(v.detach().double().requires_grad_() for v in state.values), state.t)
    expected, last = twin(x.double() if x.is_floating_point() else x, wide, doubled)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=2e-5)
    slope = torch.randn_like(out)
    total = (out * slope).sum() + sum(v.square().sum() for v in end.values)
    gradients = torch.autograd.grad(total, [*_learners(layer), *(state.values if state else ())])
    total = (expected * slope).sum() + sum(v.square().sum() for v in last.values)
    expected = torch.autograd.grad(total, [*_learners(twin), *(wide.values if state else ())])
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-3, atol=1e-4 * float(1 + theirs.abs().max()))


def _learners(layer):
    return [parameter for parameter in layer.parameters() if parameter.requires_grad]


@fast
@pytest.mark.parametrize("kernel", [name for name in kernels.names() if name != "reference"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", norm.names())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.tuples(*(st.integers(*bounds) for bounds in SIZES)))
def test_a_kernel_gives_the_values_and_gradients_of_the_reference_in_float64(kernel, cell, name, seed, sizes):
    time, batch, inputs, hidden = sizes
    layer = recurrent_layer(cell, name, kernel, "ternary" if seed % 2 else "full", inputs, hidden, seed=seed)
    symbols = torch.randint(inputs, (time, batch))
    layer(symbols)
    if layer.kernel_name != kernel:  # the next test names the loops that it must run
        return
    compare(layer, torch.randn(time, batch, inputs))
    if name not in ("batch", "batch_step"):  # where a batch shares its symbols the variance is zero
        compare(layer, symbols)
    values, t = layer(torch.randn(2, batch, inputs))[1]
    state = State(tuple(value.detach().requires_grad_() for value in values), t)
    compare(layer, torch.randn(time, batch, inputs), state)
    assert layer.kernel_name == kernel


@fast
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "lstm(normalize_cell=True)"])
@pytest.mark.parametrize("name", ["batch", "batch_step", "layer", "rms"])
def test_the_fused_kernel_covers_what_the_study_trains(cell, name):
    layer = recurrent_layer(cell, name, "fused")
    layer(torch.randn(5, 7, 3))
    assert layer.kernel_name == "fused"


@fast
def test_symbols_of_a_large_batch_are_normalized_as_the_reference_does():
    layer = recurrent_layer("lstm(normalize_cell=True)", "batch_step", "fused", "ternary", inputs=3)
    compare(layer, torch.randint(3, (6, 60)))


@fast
@pytest.mark.parametrize("cell", ["gru", "lstm(normalize_cell=True)"])
@pytest.mark.parametrize("name", ["batch", "batch_step"])
def test_population_statistics_and_results_with_them_equal_the_reference(cell, name):
    ours = recurrent_layer(cell, name, "fused", steps=4)
    theirs = exact(ours)
    x = torch.randn(7, 9, 3)
    for layer, inputs in ((ours, x), (theirs, x.double())):
        members = [module for module in layer.modules() if isinstance(module, norm.Norm)]
        for module in members:
            module.collect(True)
        with torch.no_grad():
            layer(inputs)
            layer(inputs.flip(0))
        for module in members:
            module.collect(False)
        layer.eval()
    for (key, value), expected in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4, msg=key)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0].double(), theirs(x.double())[0], rtol=1e-4, atol=1e-4)
    assert ours.kernel_name in ("fused", "library")


@fast
def test_a_second_backward_pass_gives_the_same_gradients():
    layer = recurrent_layer("lstm(normalize_cell=True)", "batch_step", "fused")
    out, _ = layer(torch.randn(5, 8, 3))
    layer(torch.randn(5, 8, 3))[0].sum().backward()
    first, second = (torch.autograd.grad(out.square().sum(), layer.weight_h, retain_graph=True) for _ in range(2))
    assert torch.equal(*first, *second)


@fast
def test_layers_of_one_shape_do_not_share_their_memory():
    below, above = (recurrent_layer("gru", "batch", "fused", inputs=6, seed=seed) for seed in (1, 2))
    x = torch.randn(5, 8, 6)
    above(below(x)[0])[0].square().sum().backward()
    lower, upper = exact(below), exact(above)
    for twin in (lower, upper):
        twin.zero_grad()
    upper(lower(x.double())[0])[0].square().sum().backward()
    torch.testing.assert_close(below.weight_h.grad.double(), lower.weight_h.grad, rtol=1e-3, atol=1e-3)


@fast
def test_numbers_that_are_not_finite_stay_not_finite():
    layer = recurrent_layer("lstm", "batch_step", "fused")
    x = torch.randn(4, 8, 3)
    x[1, 2, 0] = torch.nan
    assert not layer(x)[0][1:].isfinite().any()


@halves
def test_bfloat16_products_differ_from_the_reference_by_their_rounding():
    layer = recurrent_layer("lstm", "batch_step", HALF, "ternary", hidden=32)
    x = torch.randn(6, 16, 3)
    expected = exact(layer)(x.double())[0]
    error = (layer(x)[0].double() - expected).abs().max()
    assert layer.kernel_name == HALF
    assert 1e-5 < error < 6e-2


@halves
@pytest.mark.parametrize("cell", CELLS[1:])  # a vanilla RNN with tanh is too far from the reference
@pytest.mark.parametrize("carried", [False, True])
def test_gradients_of_bfloat16_products_are_close_to_those_of_the_reference(cell, carried):
    layer = recurrent_layer(cell, "batch_step", HALF, "ternary", hidden=16)
    x = torch.randn(6, 16, 3)
    state = layer(torch.randn(2, 16, 3))[1] if carried else None
    weights = layer.round()
    twin, doubled = twin_of(layer, weights)
    start = state and State(tuple(value.detach() for value in state.values), state.t)
    wide = state and State(tuple(value.double() for value in start.values), state.t)
    slope = torch.randn(6, 16, 16)
    (layer(x, start, weights)[0] * slope).sum().backward()
    (twin(x.double(), wide, doubled)[0] * slope).sum().backward()
    assert layer.kernel_name == HALF
    error = (layer.weight_h.grad - twin.weight_h.grad).norm() / twin.weight_h.grad.norm()
    assert 1e-4 < error < 5e-2


@fast
def test_products_are_matrix_products():
    import numba

    from lowbit.compiled.emit import inner
    from lowbit.layers.loops import layout, products
    from lowbit.layers.loops.native.products import multiply

    compiled = inner(multiply)
    product = numba.njit(lambda x, w, out: compiled(x, w, out, 0))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(19, 33)).astype(np.float32), rng.normal(size=(5, 33)).astype(np.float32)
    for kind in [layout.PLAIN] if products.mkl() is None else [layout.PLAIN, layout.PACKED, layout.HALF]:
        for matrix in (w.T, np.ascontiguousarray(w.T)):
            out = np.empty((5, 19), np.float32)
            product(x, products.prepare(matrix, 5, kind), out)
            np.testing.assert_allclose(out, x @ w.T, atol=0.2 if kind == layout.HALF else 1e-4)


@fast
def test_compiled_activations_are_within_a_few_units_in_the_last_place():
    import numba

    from lowbit.compiled.emit import inner
    from lowbit.layers.loops.native import activations

    tanh, sigmoid = inner(activations.tanh), inner(activations.sigmoid)
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    both = numba.njit(lambda x: [(tanh(value), sigmoid(value)) for value in x])
    ours, wide = np.array(both(x)), x.astype(np.float64)
    np.testing.assert_allclose(ours[:, 0], np.tanh(wide), rtol=6e-7, atol=1e-9)
    np.testing.assert_allclose(ours[:, 1], 1 / (1 + np.exp(-wide)), atol=3e-7)


@dataclasses.dataclass(frozen=True)
class Off(Kernel):
    rank = 9

    def obstacle(self, loop):
        return ""

    def run(self, loop):
        out, values = Reference().run(loop)
        return 1.1 * out, values


def test_a_kernel_that_disagrees_is_not_run():
    layer = recurrent_layer("gru", "layer", "reference")
    layer.kernels = (Off(), Reference())
    layer(torch.randn(3, 7, 3))
    assert layer.kernel_name == "reference"


@pytest.mark.parametrize("cell", ["min_gru", "mlgru"])
def test_a_cell_without_a_kernel_is_run_by_the_reference(cell):
    layer = recurrent_layer(cell, "layer", "fused")
    layer(torch.randn(3, 7, 3))
    assert layer.kernel_name == "reference"


def test_without_numba_the_reference_runs_and_the_reason_is_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install numba" in kernels.unavailable()["fused"]
    assert [type(kernel).__name__ for kernel in kernels.fastest()] == ["Library", "Reference"]
    layer = recurrent_layer("lstm", "batch_step", "fused")
    layer(torch.randn(3, 7, 3))
    assert layer.kernel_name == "reference"


def test_the_environment_names_the_kernel_to_try_first(monkeypatch):
    monkeypatch.setenv("LOWBIT_KERNEL", "reference")
    assert kernels.fastest()[0] == Reference()
    monkeypatch.setenv("LOWBIT_KERNEL", "fused")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="cannot run here: numba is not installed"):
        kernels.fastest()


def test_an_error_about_unknown_products_names_the_known_ones():
    with pytest.raises(InputError, match="known: bfloat16, float32"):
        kernels.build("fused(products='int8')")


@fast
def test_a_record_names_the_kernel_that_trained():
    budget = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300"
    record = train.train(RunSpec(budget=f"{budget}, test_limit=300)"))
    assert record.machine["kernels"] == ["fused"]


@fast
def test_checking_a_kernel_does_not_use_the_global_generator():
    layer = recurrent_layer("lstm", "rms", "fused")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    layer(torch.ones(2, 7, 3), None)
    assert torch.equal(before, torch.get_rng_state())
