"""The rule of each source after A and B, by brute force, a closed form, finite differences or plain NumPy."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from lowbit import quantizers
from lowbit.quantizers import Site
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train, weights

SITE = Site(inputs=12, units=5, gates=2)
TINY = "smoke(updates=8, evaluate_every=4, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
seeds = st.integers(0, 10**6)
LOSS_AWARE = ["lab", "lat", "lat(exact=True)", "lat(sides=2)", "lat(exact=True, sides=2)", "laq", "laq(log=True)"]


def sample(seed, rows=SITE.gates * SITE.units, cols=SITE.inputs, gates=SITE.gates):
    """Weights, a curvature, and the site with it."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, cols, generator=generator)
    d = torch.rand(rows, cols, generator=generator) ** 3 + 1e-3
    return w, d, Site(cols, rows // gates, gates, curvature=d)


def by_gate(*tensors):
    return zip(*(tensor.detach().double().chunk(SITE.gates) for tensor in tensors), strict=True)


def error(w, q, d):
    return float((d * (w - q) ** 2).sum())


def for_any_seed(law):
    return settings(max_examples=10, deadline=None)(given(seed=seeds)(law))


# Loss-aware: hou2017loss, hou2018loss


@pytest.mark.parametrize(
    ("name", "signs", "sides"),
    [("lab", (-1, 1), 1), ("lat(exact=True)", (-1, 0, 1), 1), ("lat(exact=True, sides=2)", (-1, 0, 1), 2)],
)
@for_any_seed
def test_loss_aware_weights_are_optimal_over_all_codes_and_scales(name, signs, sides, seed):
    w, d, site = sample(seed, rows=1, cols=5, gates=1)
    best = np.inf
    for codes in itertools.product(signs, repeat=5):
        b = torch.tensor(codes)[None]
        q = torch.zeros_like(w)
        for side in (b != 0,) if sides == 1 else (b > 0, b < 0):
            if side.any():
                alpha = max(0.0, float((d * b * w)[side].sum() / d[side].sum()))
                q[side] = alpha * b[side].float()
        best = min(best, error(w, q, d))
    assert error(w, quantizers.build(name)(w, site), d) == pytest.approx(best, rel=1e-5)


@for_any_seed
def test_no_scale_is_better_than_the_exact_one_of_a_large_matrix(seed):
    w, d, site = sample(seed)
    exact = quantizers.build("lat(exact=True)")(w, site)
    close = quantizers.build("lat")(w, site)
    twn = quantizers.build("twn")(w, SITE)
    for gate, curved, best, near, plain in by_gate(w, d, exact, close, twn):
        least = min(
            error(gate, alpha * gate.sign() * (gate.abs() > alpha / 2), curved) for alpha in np.linspace(0.05, 3, 500)
        )
        assert error(gate, best, curved) <= least * (1 + 1e-6)
        assert error(gate, best, curved) <= error(gate, near, curved) * (1 + 1e-6)
        assert error(gate, best, curved) <= error(gate, plain, curved)


@pytest.mark.parametrize("sides", [1, 2])
@for_any_seed
def test_the_approximate_scale_is_a_fixed_point_of_the_alternation(sides, seed):
    w, d, site = sample(seed)
    for gate, curved, q in by_gate(w, d, quantizers.build(f"lat(sides={sides})")(w, site)):
        b = q.sign()
        for side in (b != 0,) if sides == 1 else (b > 0, b < 0):
            alpha = (curved * gate.abs())[side].sum() / curved[side].sum()
            torch.testing.assert_close(q[side].abs(), alpha.expand(int(side.sum())), rtol=1e-5, atol=0)
            whole = torch.ones_like(side) if sides == 1 else (gate > 0) == (b[side][0] > 0)
            assert torch.equal((gate.abs() > alpha / 2) & whole, side)


@pytest.mark.parametrize(("bits", "log"), [(2, False), (3, False), (4, False), (3, True), (4, True)])
@for_any_seed
def test_laq_equals_the_loop_of_its_code(bits, log, seed):
    w, d, site = sample(seed)
    n = 2 ** (bits - 1) - 1
    expected = []
    for gate, curved in by_gate(w, d):
        w64, d64, b = gate.numpy(), curved.numpy(), gate.sign().numpy()
        for _ in range(100):
            alpha = np.abs(b * d64 * w64).sum() / np.abs(b * d64).sum()
            t = np.clip(np.abs(w64) / alpha, 0, 1)
            if log:
                power = np.maximum(np.round(np.log2(t) - 0.0849625), 1 - n)
                b = np.where(t < 2.0**-n, 0, 2.0**power)
            else:
                b = np.floor(t * n + 0.5) / n
        expected.append(alpha * b * np.sign(w64))
    q = quantizers.build(f"laq(bits={bits}, log={log})")(w, site)
    torch.testing.assert_close(q.double(), torch.from_numpy(np.concatenate(expected)), rtol=1e-4, atol=0)


@for_any_seed
def test_lat_equals_the_loop_of_its_code(seed):
    w, d, site = sample(seed)
    expected = []
    for gate, curved in by_gate(w, d):
        b = gate.abs() > 0.7 * gate.abs().mean()
        for _ in range(100):
            alpha = (b * curved * gate.abs()).sum() / (b * curved).sum()
            b = (gate / alpha).abs() > 0.5
        expected.append(alpha * b * gate.sign())
    torch.testing.assert_close(quantizers.build("lat")(w, site).double(), torch.cat(expected), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", LOSS_AWARE)
@pytest.mark.parametrize("factor", [1e-6, 300.0])
def test_scaling_the_curvature_changes_nothing(name, factor):
    w, d, site = sample(1)
    quantizer = quantizers.build(name)
    torch.testing.assert_close(quantizer(w, site._replace(curvature=factor * d)), quantizer(w, site))
    assert not torch.equal(quantizer(w, site), quantizer(w, SITE))
    torch.testing.assert_close(quantizer(w, site._replace(curvature=torch.ones_like(w))), quantizer(w, SITE))


def test_a_weight_of_large_curvature_is_exact():
    w, _, site = sample(2)
    for gate, curved in zip(w.chunk(2), site.curvature.chunk(2), strict=True):
        curved[0, 0] = 1e6
        gate[0, 0] = -1.5
    for name in LOSS_AWARE:
        q = quantizers.build(name)(w, site)
        torch.testing.assert_close(q[:: SITE.units, 0], w[:: SITE.units, 0], rtol=1e-3, atol=0)


# Learned: zhu2017trained, esser2020learned


def learned(name, seed):
    """Returns a quantizer in double precision, weights, random factors, and the gradient of its output."""
    w = sample(seed)[0].double()
    quantizer = quantizers.build(name)
    factors = quantizer.factors(w, SITE) * (0.7 + torch.rand(2, 1, generator=torch.Generator().manual_seed(seed)))
    return quantizer, w.requires_grad_(), factors.requires_grad_(), torch.randn_like(w)


def slopes(function, at, eps=1e-6):
    """Returns central differences of a sum over gates or weights, for one entry of `at` after the other."""
    differences = torch.zeros_like(at)
    for place in itertools.product(*map(range, at.shape)):
        step = torch.zeros_like(at)
        step[place] = eps
        differences[place] = (function(at + step) - function(at - step)) / (2 * eps)
    return differences


@for_any_seed
def test_ttq_has_the_gradients_of_its_source(seed):
    quantizer, w, factors, g = learned("ttq", seed)
    q = quantizer(w, SITE._replace(factors=factors))
    (q * g).sum().backward()
    with torch.no_grad():
        cut = 0.05 * torch.cat([gate.abs().max().expand(gate.shape) for gate in w.chunk(2)])
        below, above = factors.repeat_interleave(SITE.units, dim=0).split(1, dim=1)
        zero = torch.zeros_like(w)
        torch.testing.assert_close(q, torch.where(w > cut, above, torch.where(w < -cut, -below, zero)))

        def stretched(w):
            return (g * torch.where(w > cut, above * w, torch.where(w < -cut, below * w, w))).sum()

        torch.testing.assert_close(w.grad, slopes(stretched, w.detach()), rtol=1e-5, atol=1e-7)
        rounded = slopes(lambda f: (g * quantizer(w, SITE._replace(factors=f))).sum(), factors.detach())
        torch.testing.assert_close(factors.grad, rounded, rtol=1e-5, atol=1e-7)


def test_ttq_starts_at_the_mean_of_the_weights_of_its_level_or_at_one():
    w = torch.tensor([[-2.0, -1.0, 0.01, 4.0], [10.0, -20.0, 30.0, 0.5]])
    site = Site(inputs=4, units=1, gates=2)
    assert quantizers.build("ttq").factors(w, site).tolist() == [[1.5, 4.0], [20.0, 20.0]]
    assert quantizers.build("ttq(start='one')").factors(w, site).tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("bits", [2, 3, 8])
@for_any_seed
def test_lsq_has_the_gradients_of_its_source(bits, seed):
    quantizer, w, factors, g = learned(f"lsq(bits={bits})", seed)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    q = quantizer(w, SITE._replace(factors=factors))
    (q * g).sum().backward()
    with torch.no_grad():
        step = factors.repeat_interleave(SITE.units, dim=0)
        clipped = (w / step).clamp(low, high)
        torch.testing.assert_close(q, step * clipped.round())
        residue = clipped.round() - clipped  # rounding has gradient 1, so that its difference is a constant

        def surrogate(w, factors):
            s = factors.repeat_interleave(SITE.units, dim=0)
            return (g * s * ((w / s).clamp(low, high) + residue)).sum()

        scale = 1 / np.sqrt(SITE.units * SITE.inputs * high)
        to_w = slopes(lambda w: surrogate(w, factors), w.detach())
        to_step = slopes(lambda f: surrogate(w, f), factors.detach())
        torch.testing.assert_close(w.grad, to_w, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(factors.grad, scale * to_step, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bits", [2, 4])
def test_lsq_starts_at_twice_the_mean_over_the_root_of_its_largest_level(bits):
    w = sample(3)[0]
    for gate, step in zip(w.chunk(2), quantizers.build(f"lsq(bits={bits})").factors(w, SITE), strict=True):
        assert float(step) == pytest.approx(2 * float(gate.abs().mean()) / (2 ** (bits - 1) - 1) ** 0.5)


@pytest.mark.parametrize("name", ["ttq", "lsq"])
def test_the_sign_of_a_learned_factor_is_ignored(name):
    quantizer, w, factors, g = learned(name, 4)
    grads = []
    for sign in (1, -1):
        turned = (sign * factors).detach().requires_grad_()
        q = quantizer(w, SITE._replace(factors=turned))
        grads.append(sign * torch.autograd.grad((q * g).sum(), turned)[0])
        assert torch.equal(q, quantizer(w, SITE._replace(factors=factors)))
    assert torch.equal(*grads)


# Without memory: zhou2016dorefa, ma2024era, xu2018alternating, foucault2025hadamrnn


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@for_any_seed
def test_dorefa_equals_its_formula_in_value_and_gradient(bits, seed):
    w = sample(seed)[0].double().requires_grad_()
    g = torch.randn_like(w)
    quantizer, top = quantizers.build(f"dorefa(bits={bits})"), 2**bits - 1
    squashed = torch.cat([torch.tanh(gate) / torch.tanh(gate).abs().max() for gate in w.chunk(2)])
    q = quantizer(w, SITE)
    torch.testing.assert_close(q, 2 * torch.round(top * (squashed / 2 + 0.5)) / top - 1)
    expected = torch.autograd.grad((squashed * g).sum(), w)[0]
    torch.testing.assert_close(torch.autograd.grad((q * g).sum(), w)[0], expected)


def test_dorefa_of_one_bit_is_the_scaled_sign():
    w = sample(5)[0]
    expected = torch.cat([gate.abs().mean() * gate.sign() for gate in w.chunk(2)])
    torch.testing.assert_close(quantizers.build("dorefa(bits=1)")(w, SITE), expected)


@for_any_seed
def test_bitnet_is_rounded_and_clipped(seed):
    w = sample(seed)[0]
    means = [max(gate.abs().mean(), torch.tensor(1e-5)) for gate in w.chunk(2)]
    expected = [m * torch.round(gate / m).clamp(-1, 1) for m, gate in zip(means, w.chunk(2), strict=True)]
    torch.testing.assert_close(quantizers.build("bitnet")(w, SITE), torch.cat(expected))


def test_bitnet_rounds_half_the_mean_to_zero():
    w = torch.tensor([[3.0, -1.0, 2.0, -2.0, 1.0, -3.0]])
    assert quantizers.build("bitnet")(w).tolist() == [[2.0, 0.0, 2.0, -2.0, 0.0, -2.0]]


def plain_alternating(row, bits, cycles):
    """Runs the alternation on one row; also returns the error of the greedy start."""
    rest, planes, alphas = row, [], []
    for _ in range(bits):
        alphas.append(np.abs(rest).mean())
        planes.append(np.where(rest >= 0, 1.0, -1.0))
        rest = rest - alphas[-1] * planes[-1]
    B, greedy = np.stack(planes, axis=1), float((rest**2).sum())
    every = np.array(list(itertools.product((-1.0, 1.0), repeat=bits)))
    for _ in range(cycles):
        alphas = np.linalg.lstsq(B, row, rcond=None)[0]
        B = every[np.abs(row[:, None] - every @ alphas).argmin(axis=1)]
    return B @ alphas, greedy


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@for_any_seed
def test_alternating_equals_its_algorithm_and_is_no_worse_than_greedy(bits, seed):
    w = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed))
    q = quantizers.build(f"alternating(bits={bits})")(w)
    for row, rounded in zip(w.double().numpy(), q.double().numpy(), strict=True):
        expected, greedy = plain_alternating(row, bits, cycles=2)
        np.testing.assert_allclose(rounded, expected, rtol=1e-3, atol=1e-5)
        assert ((row - rounded) ** 2).sum() <= greedy * (1 + 1e-5)


@pytest.mark.parametrize("bits", [2, 3, 4])
@for_any_seed
def test_more_cycles_never_make_the_error_larger(bits, seed):
    w = torch.randn(8, 30, generator=torch.Generator().manual_seed(seed))
    errors = [
        (w - quantizers.build(f"alternating(bits={bits}, cycles={cycles})")(w)).square().sum(1)
        for cycles in range(1, 6)
    ]
    for before, after in itertools.pairwise(errors):
        assert (after <= before * (1 + 1e-5)).all()


def exhaustive(row, bits):
    """Returns the least error over all codes, each with its best alphas."""
    rows = np.array(list(itertools.product((-1.0, 1.0), repeat=len(row))))
    return min(
        ((row - B @ np.linalg.lstsq(B, row, rcond=None)[0]) ** 2).sum()
        for B in (np.stack(planes, axis=1) for planes in itertools.combinations_with_replacement(rows, bits))
    )


@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_alternating_is_optimal_over_all_codes_after_a_good_greedy_start(seed):
    generator = torch.Generator().manual_seed(seed)
    far = torch.randn(1, 6, generator=generator)
    clear = torch.tensor([[1.3, 0.7, -0.7, -1.3, 0.7, -0.7]])  # all four sums of 1 and 0.3
    near = clear + 0.02 * torch.randn(1, 6, generator=generator)
    for w, well in ((far, False), (near, True)):
        error = float((w - quantizers.build("alternating")(w)).double().square().sum())
        best = exhaustive(w[0].double().numpy(), 2)
        assert error >= best * (1 - 1e-5) - 1e-9
        assert error == pytest.approx(best, rel=1e-3, abs=1e-9) or not well


@pytest.mark.parametrize(
    "row", [[0.0] * 6, [2.0] * 6, [1.0, -1.0] * 3, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0] * 38 + [5.0] * 2]
)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_row_with_few_values_is_represented_exactly(row, bits):
    w = torch.stack((torch.tensor(row), torch.linspace(-1, 2, len(row)) ** 3))
    q = quantizers.build(f"alternating(bits={bits})")(w)
    torch.testing.assert_close(q[0], w[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_hadamard_is_orthogonal_with_signs_from_the_first_column(n):
    w = torch.randn(4 * n, n)
    w[0, 0] = 0.0
    q = quantizers.build("hadamard")(w, Site(n, n, 4))
    for gate, block in zip(w.chunk(4), q.chunk(4), strict=True):
        torch.testing.assert_close(block @ block.T, torch.eye(n))
        signs = np.where(gate[:, :1] >= 0, 1, -1)
        torch.testing.assert_close(block, torch.from_numpy(signs * hadamard(n)).float() / n**0.5)


def test_hadamard_passes_the_gradient_of_its_rows_to_the_first_column():
    w, g = torch.randn(16, 8).requires_grad_(), torch.randn(16, 8)
    (quantizers.build("hadamard")(w, Site(8, 8, 2)) * g).sum().backward()
    expected = (g * torch.from_numpy(hadamard(8)).repeat(2, 1)).sum(1) / 8**0.5
    torch.testing.assert_close(w.grad[:, 0], expected)
    assert not w.grad[:, 1:].any()


@pytest.mark.parametrize("size", [(12, 12), (8, 4)])
def test_the_error_of_hadamard_names_the_impossible_size(size):
    with pytest.raises(InputError, match=f"'hadamard'.*{size[0]}"):
        quantizers.build("hadamard")(torch.randn(size), Site(size[1], size[0]))


@pytest.mark.parametrize(
    "choice",
    ["alternating(bits=5)", "dorefa(bits=0)", "laq(bits=1)", "laq(bits=5, log=True)", "lsq(bits=1)", "lat(sides=3)"],
)
def test_the_error_of_an_impossible_choice_names_it(choice):
    with pytest.raises(InputError, match=choice.partition("(")[0]):
        quantizers.build(choice)


# In training


@pytest.mark.parametrize("name", ["ttq", "lsq"])
def test_factors_are_learned_and_saved(name):
    session = train.Session(RunSpec(quantizer=name, budget=TINY))
    layer = session.network.layers[0]
    before = {part: getattr(layer, f"factors_{part}").detach().clone() for part in ("input", "recurrent")}
    optimized = {id(p) for group in session.optimizer.param_groups for p in group["params"]}
    session._step(next(session._batches()))
    for part, start in before.items():
        factors = getattr(layer, f"factors_{part}")
        assert id(factors) in optimized
        assert start.shape[0] == layer.cell.gates
        assert (factors != start).all()
        assert layer.site(part).factors is factors
        assert torch.equal(session.network.state_dict()[f"layers.0.factors_{part}"], factors)


@pytest.mark.parametrize("name", ["lab", "lat", "laq"])
def test_curvature_is_the_root_of_the_second_moment(name):
    session = train.Session(RunSpec(quantizer=name, budget=TINY))
    layer = session.network.layers[0]
    assert (layer.site("recurrent").curvature == 1).all()
    session._step(next(session._batches()))
    for part, master in (("input", layer.weight_x), ("recurrent", layer.weight_h)):
        expected = torch.sqrt(0.001 * master.grad**2) + 1e-8  # Adam's after one step
        torch.testing.assert_close(layer.site(part).curvature, expected, rtol=1e-4, atol=1e-10)
        assert torch.equal(session.network.state_dict()[f"layers.0.curvature_{part}"], layer.site(part).curvature)


def test_a_record_has_the_levels_of_a_matrix_where_they_are_not_fixed():
    entries = {}
    for name in ("ternary", "lat(sides=2)", "ttq", "alternating", "lsq"):
        network = train.build(RunSpec(quantizer=name, budget=TINY))
        entries[name] = weights.describe(network)["layers.0.weight_h"]
        layer = network.layers[0]
        codes, book = layer.quantizer.encode(layer.weight_h, layer.site("recurrent"))
        ends = (book.min(1).values[:, None], book.max(1).values[:, None])
        beyond = (layer.weight_h <= ends[0]) | (layer.weight_h >= ends[1])
        assert entries[name]["saturated"] == pytest.approx(float(beyond.float().mean()), abs=0.02)
        assert entries[name]["codes"] == codes.flatten().long().bincount(minlength=book.shape[1]).tolist()
    assert {name for name in entries if "levels" in entries[name]} == {"lat(sides=2)", "ttq", "alternating"}


@pytest.mark.parametrize("name", ["lab", "lsq"])
def test_an_interrupted_run_resumes_with_its_factors(name):
    spec = RunSpec(quantizer=name, budget=TINY, norm="layer")
    whole = train.train(spec)
    train.checkpoint_path(spec).unlink()

    def watch(update, *_):
        if update == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(spec, watch)
    assert train.train(spec).digest == whole.digest
