"""Every kernel against the reference in float64: values, gradients, populations; and what happens without one."""

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
from lowbit.layers.kernels.check import agrees
from lowbit.layers.kernels.reference import Reference
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train

CELLS = ["rnn", "rnn(activation='relu')", "gru", "gru(reset='cho2014')", "lstm", "lstm(normalize_cell=True)"]
SIZES = (1, 6), (7, 9), (2, 6), (4, 6)  # time, batch, inputs, hidden: a norm of two or three alike is ill conditioned
fast = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")


def layer(cell, norm, kernel, quantizer="full", inputs=3, hidden=6, steps=5, seed=0):
    torch.manual_seed(seed)
    design = Design(cells.build(cell), quantizers.build(quantizer), norm)
    built = Recurrent(inputs, hidden, design, steps)
    for parameter in built.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0.3, 0.7)
    built.kernels = (kernels.build(kernel), Reference())
    return built


def exact(built):
    """The same layer in float64, run by the reference."""
    twin = copy.deepcopy(built).double()
    twin.kernels = (Reference(),)
    return twin


def drawn(built, weights):
    """Quantized weights of one layer for its twin: the same numbers, the twin's own gradients."""
    again = exact(built)
    return again, again.round()._replace(
        x=again.weight_x + (weights.x.double() - again.weight_x).detach(),
        h=again.weight_h + (weights.h.double() - again.weight_h).detach(),
    )


def compare(built, x, state=None):
    weights = built.round()
    twin, doubled = drawn(built, weights)
    out, end = built(x, state, weights)
    wide = state and State(tuple(v.detach().double().requires_grad_() for v in state.values), state.t)
    expected, last = twin(x.double() if x.is_floating_point() else x, wide, doubled)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=2e-5)
    slope = torch.randn_like(out)
    total = (out * slope).sum() + sum(v.square().sum() for v in end.values)
    found = torch.autograd.grad(total, [*_learners(built), *(state.values if state else ())])
    total = (expected * slope).sum() + sum(v.square().sum() for v in last.values)
    wanted = torch.autograd.grad(total, [*_learners(twin), *(wide.values if state else ())])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-3, atol=1e-4 * float(1 + theirs.abs().max()))


def _learners(built):
    return [parameter for parameter in built.parameters() if parameter.requires_grad]


@fast
@pytest.mark.parametrize("kernel", [name for name in kernels.names() if name != "reference"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", norm.names())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.tuples(*(st.integers(*each) for each in SIZES)))
def test_a_kernel_gives_the_values_and_gradients_of_the_reference_in_float64(kernel, cell, name, seed, sizes):
    time, batch, inputs, hidden = sizes
    built = layer(cell, name, kernel, "ternary" if seed % 2 else "full", inputs, hidden, seed=seed)
    symbols = torch.randint(inputs, (time, batch))
    built(symbols)
    if built.kernel_name != kernel:  # another test says which it must run
        return
    compare(built, torch.randn(time, batch, inputs))
    if name not in ("batch", "batch_step"):  # where a batch shares its symbols the variance is none
        compare(built, symbols)
    values, t = built(torch.randn(2, batch, inputs))[1]
    state = State(tuple(value.detach().requires_grad_() for value in values), t)
    compare(built, torch.randn(time, batch, inputs), state)
    assert built.kernel_name == kernel


@fast
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "lstm(normalize_cell=True)"])
@pytest.mark.parametrize("name", ["batch", "batch_step", "layer", "rms"])
def test_the_fused_kernel_covers_what_the_study_trains(cell, name):
    built = layer(cell, name, "fused")
    built(torch.randn(5, 7, 3))
    assert built.kernel_name == "fused"


@fast
def test_symbols_of_a_large_batch_are_normalized_as_the_reference_does():
    built = layer("lstm(normalize_cell=True)", "batch_step", "fused", "ternary", inputs=3)
    compare(built, torch.randint(3, (6, 60)))


@fast
@pytest.mark.parametrize("cell", ["gru", "lstm(normalize_cell=True)"])
@pytest.mark.parametrize("name", ["batch", "batch_step"])
def test_populations_and_what_is_computed_with_them_are_the_reference_s(cell, name):
    ours = layer(cell, name, "fused", steps=4)
    theirs = exact(ours)
    x = torch.randn(7, 9, 3)
    for built, inputs in ((ours, x), (theirs, x.double())):
        for module in built.modules():
            if isinstance(module, norm.Norm):
                module.collect(True)
        with torch.no_grad():
            built(inputs)
            built(inputs.flip(0))
        for module in built.modules():
            if isinstance(module, norm.Norm):
                module.collect(False)
        built.eval()
    for (key, value), expected in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4, msg=key)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0].double(), theirs(x.double())[0], rtol=1e-4, atol=1e-4)
    assert ours.kernel_name in ("fused", "library")


@fast
def test_going_back_twice_gives_the_same_gradients():
    built = layer("lstm(normalize_cell=True)", "batch_step", "fused")
    out, _ = built(torch.randn(5, 8, 3))
    built(torch.randn(5, 8, 3))[0].sum().backward()
    first, second = (torch.autograd.grad(out.square().sum(), built.weight_h, retain_graph=True) for _ in range(2))
    assert torch.equal(*first, *second)


@fast
def test_layers_of_one_shape_do_not_share_their_memory():
    below, above = (layer("gru", "batch", "fused", inputs=6, seed=seed) for seed in (1, 2))
    x = torch.randn(5, 8, 6)
    above(below(x)[0])[0].square().sum().backward()
    lower, upper = exact(below), exact(above)
    for twin in (lower, upper):
        twin.zero_grad()
    upper(lower(x.double())[0])[0].square().sum().backward()
    torch.testing.assert_close(below.weight_h.grad.double(), lower.weight_h.grad, rtol=1e-3, atol=1e-3)


@fast
def test_what_is_not_finite_stays_so():
    built = layer("lstm", "batch_step", "fused")
    x = torch.randn(4, 8, 3)
    x[1, 2, 0] = torch.nan
    assert not built(x)[0][1:].isfinite().any()


@fast
def test_bfloat16_products_are_as_far_from_the_reference_as_their_rounding():
    if kernels.build("fused(products='bfloat16')").missing():
        pytest.skip("no bfloat16 products on this machine")
    built = layer("lstm", "batch_step", "fused(products='bfloat16')", "ternary", hidden=32)
    x = torch.randn(6, 16, 3)
    expected = exact(built)(x.double())[0]
    error = (built(x)[0].double() - expected).abs().max()
    assert built.kernel_name == "fused(products='bfloat16')"
    assert 1e-5 < error < 6e-2


@fast
@pytest.mark.parametrize("cell", CELLS[1:])  # the trial finds a vanilla RNN with tanh too far from the reference
@pytest.mark.parametrize("carried", [False, True])
def test_gradients_of_bfloat16_products_are_near_those_of_the_reference(cell, carried):
    if kernels.build("fused(products='bfloat16')").missing():
        pytest.skip("no bfloat16 products on this machine")
    built = layer(cell, "batch_step", "fused(products='bfloat16')", "ternary", hidden=16)
    x = torch.randn(6, 16, 3)
    state = built(torch.randn(2, 16, 3))[1] if carried else None
    weights = built.round()
    twin, doubled = drawn(built, weights)
    start = state and State(tuple(value.detach() for value in state.values), state.t)
    wide = state and State(tuple(value.double() for value in start.values), state.t)
    slope = torch.randn(6, 16, 16)
    (built(x, start, weights)[0] * slope).sum().backward()
    (twin(x.double(), wide, doubled)[0] * slope).sum().backward()
    assert built.kernel_name == "fused(products='bfloat16')"
    error = (built.weight_h.grad - twin.weight_h.grad).norm() / twin.weight_h.grad.norm()
    assert 1e-4 < error < 5e-2


@fast
def test_products_are_matrix_products():
    import numba

    from lowbit.compiled.words import inner
    from lowbit.layers.kernels.whole import products
    from lowbit.layers.loops import layout
    from lowbit.layers.loops.native.products import multiply

    within = inner(multiply)
    called = numba.njit(lambda x, w, out: within(x, w, out, 0))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(19, 33)).astype(np.float32), rng.normal(size=(5, 33)).astype(np.float32)
    known = [layout.PLAIN] if products.mkl() is None else [layout.PLAIN, layout.PACKED, layout.HALF]
    for kind in known:
        for turned in (w.T, np.ascontiguousarray(w.T)):
            out = np.empty((5, 19), np.float32)
            called(x, products.prepare(turned, 5, kind), out)
            np.testing.assert_allclose(out, x @ w.T, atol=0.2 if kind == layout.HALF else 1e-4)


@fast
def test_compiled_activations_are_within_a_few_units_in_the_last_place():
    import numba

    from lowbit.compiled.words import inner
    from lowbit.layers.loops.native import activations

    tanh, sigmoid = inner(activations.tanh), inner(activations.sigmoid)
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    both = numba.njit(lambda x: [(tanh(each), sigmoid(each)) for each in x])
    ours, wide = np.array(both(x)), x.astype(np.float64)
    np.testing.assert_allclose(ours[:, 0], np.tanh(wide), rtol=6e-7, atol=1e-9)
    np.testing.assert_allclose(ours[:, 1], 1 / (1 + np.exp(-wide)), atol=3e-7)


@dataclasses.dataclass(frozen=True)
class Off(Kernel):
    rank = 9

    def lacks(self, loop):
        return ""

    def run(self, loop):
        out, values = Reference().run(loop)
        return 1.1 * out, values


def test_a_kernel_that_disagrees_is_not_run():
    built = layer("gru", "layer", "reference")
    built.kernels = (Off(), Reference())
    built(torch.randn(3, 7, 3))
    assert built.kernel_name == "reference"


@pytest.mark.parametrize("cell", ["min_gru", "mlgru"])
def test_a_cell_without_a_kernel_is_run_by_the_reference(cell):
    built = layer(cell, "layer", "fused")
    built(torch.randn(3, 7, 3))
    assert built.kernel_name == "reference"


def test_without_numba_the_reference_runs_and_it_is_said_why(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install numba" in kernels.unavailable()["fused"]
    assert [type(each).__name__ for each in kernels.fastest()] == ["Library", "Reference"]
    built = layer("lstm", "batch_step", "fused")
    built(torch.randn(3, 7, 3))
    assert built.kernel_name == "reference"


def test_a_reader_may_name_the_kernel_to_try_first(monkeypatch):
    monkeypatch.setenv("LOWBIT_KERNEL", "reference")
    assert kernels.fastest()[0] == Reference()
    monkeypatch.setenv("LOWBIT_KERNEL", "fused")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="cannot run here: numba is not installed"):
        kernels.fastest()


def test_unknown_products_are_told_with_the_known_ones():
    with pytest.raises(InputError, match="known: bfloat16, float32"):
        kernels.build("fused(products='int8')")


@fast
def test_a_record_says_which_kernel_trained():
    budget = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300"
    record = train.train(RunSpec(budget=f"{budget}, test_limit=300)"))
    assert record.machine["kernels"] == ["fused"]


@fast
def test_checking_a_kernel_draws_nothing_from_the_common_generator():
    built = layer("lstm", "rms", "fused")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    built(torch.ones(2, 7, 3), None)
    assert torch.equal(before, torch.get_rng_state())
    assert callable(agrees)
