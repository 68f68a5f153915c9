"""The laws of DESIGN 3.1 over everything registered, and what A and B prescribe as independent formulas."""

import dataclasses
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import paths, quantizers
from lowbit.quantizers import Quantizer, Site, packing
from lowbit.registry import InputError, parse

OPTIONS = [
    "alternating(bits=3)",
    "dorefa(bits=1)",
    "dorefa(bits=4)",
    "laq(log=True)",
    "lat(exact=True)",
    "lat(exact=True, sides=2)",
    "lat(sides=2)",
    "lsq(bits=2)",
]
CODED = [name for name in (*quantizers.names(), *OPTIONS) if quantizers.build(name).levels]
SITE = Site(inputs=24, units=8, gates=4)


def weights(seed: int, spread: float) -> torch.Tensor:
    shape = SITE.gates * SITE.units, SITE.inputs
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def placed(name: str, w: torch.Tensor) -> tuple[Quantizer, torch.Tensor, Site]:
    """Returns a quantizer, the part of the matrix that it takes, and its site with the state of training."""
    quantizer = quantizers.build(name)
    site = SITE if "input" in quantizer.fits else SITE._replace(inputs=SITE.units)
    w = w[:, : site.inputs]
    if quantizer.curved:
        site = site._replace(curvature=0.01 + torch.rand(w.shape, generator=torch.Generator().manual_seed(0)))
    return quantizer, w, site._replace(factors=quantizer.factors(w, site))


def scaled(quantizer: Quantizer, w: torch.Tensor, site: Site) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the weights and the levels of each row, at scale 1."""
    fit = quantizer.fit(w, site)
    return quantizer.normalize(w, fit.scale, site), fit.codebook.expand(len(w), -1).contiguous()


matrices = st.builds(weights, st.integers(0, 10**6), st.sampled_from([1e-3, 0.05, 0.3, 1.0, 20.0]))


def for_any_matrix(law):
    return settings(max_examples=10, deadline=None)(given(w=matrices)(law))


def stochastic(name: str) -> str:
    """Returns the stochastic variant of a choice, by its name in `variants`."""
    return f"{parse(name)[0]}(stochastic=True)"


every = pytest.mark.parametrize("name", quantizers.names())
coded = pytest.mark.parametrize("name", CODED)


def keeping(law: str):
    return pytest.mark.parametrize("name", [name for name in CODED if law not in quantizers.build(name).breaks])


@keeping("idempotence")
@for_any_matrix
def test_rounding_is_idempotent(name, w):
    quantizer, w, site = placed(name, w)
    codes, book = quantizer.encode(w, site)
    rounded = quantizer.decode(codes, book)
    again = quantizer(rounded, site)
    torch.testing.assert_close(again, rounded, rtol=1e-5, atol=0)
    assert torch.equal(quantizer.encode(rounded, site)[0], codes)


@keeping("order")
@for_any_matrix
def test_rounding_is_monotone_within_a_codebook(name, w):
    quantizer, w, site = placed(name, w)
    codes, book = quantizer.encode(w, site)
    books = book.expand(len(w), -1)
    for gate, code, levels in zip(*(part.chunk(site.gates) for part in (w, codes, books)), strict=True):
        rows = [(gate, code)] if (levels == levels[0]).all() else zip(gate, code, strict=True)
        for values, indices in rows:
            assert (indices.flatten()[values.flatten().argsort()].int().diff() >= 0).all()


def test_a_quantizer_that_declares_an_exception_to_a_law_breaks_it():
    breaking = {parse(name)[0] for name in CODED if "idempotence" in quantizers.build(name).breaks}
    observed = set()
    for name in CODED:
        for spread in (0.05, 1.0):
            quantizer, w, site = placed(name, weights(0, spread))
            once = quantizer(w, site)
            if not torch.allclose(quantizer(once, site), once, rtol=1e-3, atol=0):
                observed.add(parse(name)[0])
    assert observed == breaking


@coded
@for_any_matrix
def test_levels_ascend_in_every_row_and_thresholds_lie_between_them(name, w):
    quantizer, w, site = placed(name, w)
    _, book, cuts = quantizer.fit(w, site)
    assert book.shape[1] == len(quantizer.levels) == cuts.shape[1] + 1
    assert (book[:, :-1] < cuts).all()
    assert (cuts < book[:, 1:]).all()


@coded
@settings(max_examples=20, deadline=None)
@given(w=matrices, sample=st.booleans())
def test_codes_survive_packing(name, w, sample):
    quantizer, w, site = placed(name, w)
    codes, book = quantizer.encode(w, site, sample)
    packed = packing.pack(codes.numpy(), len(quantizer.levels))
    back = torch.from_numpy(packing.unpack(packed, len(quantizer.levels), tuple(codes.shape)))
    assert torch.equal(back, codes)
    assert torch.equal(quantizer.decode(back, book), quantizer.decode(codes, book))
    assert int(codes.max()) < len(quantizer.levels) <= 2**quantizer.bits


@pytest.mark.parametrize("name", [name for name in CODED if stochastic(name) in quantizers.variants()])
def test_sampled_rounding_is_right_on_average(name):
    """Within standard errors of a two-point distribution, for weights between the outermost levels."""
    torch.manual_seed(0)
    count, copies = 1000, 50  # of each weight in a row, which does not change the scale
    quantizer, w, site = placed(name, weights(1, 0.05))
    wide = site if site.curvature is None else site._replace(curvature=site.curvature.repeat(1, copies))
    samples = [quantizer(w.repeat(1, copies), wide, sample=True) for _ in range(count // copies)]
    u, levels = scaled(quantizer, w, site)
    u = u.clamp(levels[:, :1], levels[:, -1:])
    at = torch.searchsorted(levels, u).clamp(1, levels.shape[1] - 1)
    below, above = levels.gather(1, at - 1), levels.gather(1, at)
    mean = torch.cat(samples, dim=1).double().unflatten(1, (count, -1)).mean(1) / quantizer.scale(w, site)
    # One draw more or less is allowed for, as an event of one in ten thousand has no normal error.
    error = ((u - below) * (above - u) / count).clamp(min=0).sqrt() + (above - below) / count
    gap = (mean - u) / error
    assert gap.abs().max() < 5
    assert gap.square().mean() < 1.2
    assert gap.mean().abs() < 0.15


@coded
def test_a_sample_is_one_of_the_two_neighbouring_levels(name):
    quantizer, w, site = placed(name, weights(2, 0.1))
    codes, _ = quantizer.encode(w, site, sample=True)
    u, levels = scaled(quantizer, w, site)
    top = levels.shape[1] - 1
    u, sample = u.clamp(levels[:, :1], levels[:, -1:]), levels.gather(1, codes.long())
    upper = levels.gather(1, torch.searchsorted(levels, u).clamp(0, top))
    lower = levels.gather(1, (torch.searchsorted(levels, u, right=True) - 1).clamp(0, top))
    assert (torch.isclose(sample, upper, atol=1e-6) | torch.isclose(sample, lower, atol=1e-6)).all()


@pytest.mark.parametrize("name", ["full", *CODED])
@settings(max_examples=10, deadline=None)
@given(w=matrices, sample=st.booleans())
def test_the_gradient_is_straight_through_unless_the_quantizer_declares_another(name, w, sample):
    quantizer, w, site = placed(name, w)
    learned = [] if site.factors is None else [site.factors.requires_grad_()]
    inputs = [w.clone().requires_grad_(), *learned]
    slope = torch.randn_like(w)
    gradients = torch.autograd.grad((quantizer(inputs[0], site, sample) * slope).sum(), inputs)
    if type(quantizer).surrogate is Quantizer.surrogate:
        assert torch.equal(gradients[0], slope)
    else:
        expected = torch.autograd.grad((quantizer.surrogate(inputs[0], site) * slope).sum(), inputs)
        assert all(map(torch.equal, gradients, expected))


@coded
def test_the_forward_pass_is_exact_to_the_bit(name):
    quantizer, w, site = placed(name, weights(3, 0.1))
    expected = quantizer.decode(*quantizer.encode(w, site))
    assert torch.equal(quantizer(w.requires_grad_(), site), expected)


@coded
def test_only_a_scale_that_is_not_fixed_depends_on_the_weights(name):
    quantizer, w, _ = placed(name, weights(4, 0.1))
    site = SITE._replace(inputs=w.shape[1])
    assert torch.equal(quantizer.scale(w, site), quantizer.scale(2 * w, site)) == quantizer.fixed


@coded
@pytest.mark.parametrize("value", [0.0, -0.25])
def test_a_constant_matrix_is_rounded_to_finite_values(name, value):
    quantizer, w, site = placed(name, torch.full((SITE.gates * SITE.units, SITE.inputs), value))
    for sample in (False, True):
        assert quantizer(w, site, sample).isfinite().all()
    w = w.requires_grad_()
    quantizer(w, site).sum().backward()
    assert w.grad.isfinite().all()


@pytest.mark.parametrize("name", ["full", *CODED])
def test_only_input_and_recurrent_matrices_need_state_of_training(name):
    quantizer, _, site = placed(name, weights(5, 0.1))
    if quantizer.curved or site.factors is not None:
        assert set(quantizer.fits) <= {"input", "recurrent"}


@every
def test_nominal_levels_ascend_and_thresholds_lie_between_them(name):
    quantizer = quantizers.build(name)
    levels, cuts = quantizer.levels, quantizer.thresholds
    assert list(levels) == sorted(set(levels))
    assert len(cuts) == max(0, len(levels) - 1)
    assert all(low < cut < high for low, cut, high in zip(levels, cuts, levels[1:], strict=False))
    assert quantizer.ties in ("up", "down", "away", "toward")


@every
def test_every_member_has_a_hardware_lane(name):
    quantizer = quantizers.build(name)
    lane = quantizer.lane(12)
    assert lane.operation in ("multiply", "shift", "add or skip", "add", "add per bit")
    assert (lane.weight_bits, lane.act_bits) == (quantizer.bits, 12)


@every
def test_variants_have_the_stochastic_rounding_that_can_be_built(name):
    choice = stochastic(name)
    if choice in quantizers.variants():
        assert quantizers.build(choice).stochastic
    else:
        with pytest.raises(InputError, match=f"'{name}' cannot be stochastic"):
            quantizers.build(choice)


@every
def test_every_source_is_in_the_bibliography(name):
    keys = re.findall(r"^@\w+\{(\w+),", (paths.SOURCE / "book" / "references.bib").read_text(), re.M)
    quantizer = type(quantizers.build(name))
    assert quantizer.reference in keys
    cited = re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b", quantizer.__doc__)
    assert set(cited) <= set(keys)


@every
def test_every_docstring_has_its_formula(name):
    assert "$" in type(quantizers.build(name)).__doc__


@every
def test_file_class_and_registered_name_are_the_same_word(name):
    cls = type(quantizers.build(name))
    assert cls.__module__.rpartition(".")[2] == name == cls.__name__.lower()


def test_full_precision_is_the_identity_and_cannot_be_stochastic():
    w = weights(4, 1.0)
    assert quantizers.build("full")(w) is w
    with pytest.raises(InputError, match="'full' cannot be stochastic"):
        quantizers.build("full(stochastic=True)")


# Each source's rule, written out with other means than the codebook.


def test_alpha_of_ardakani_is_half_the_glorot_bound_with_all_gates():
    """The values that PAPERS derives for the Penn Treebank: 50 symbols, 1000 units."""
    w = torch.zeros(4000, 50)
    for name in ("binary", "ternary"):
        quantizer = quantizers.build(name)
        assert float(quantizer.scale(w, Site(50, 1000, 4))) == pytest.approx(0.01925, abs=5e-6)
        assert float(quantizer.scale(w, Site(1000, 1000, 4))) == pytest.approx(0.01732, abs=5e-6)


def test_binary_is_the_sign_and_its_probability_the_hard_sigmoid():
    torch.manual_seed(0)
    w = torch.tensor([[-0.5, -0.01, 0.0, 0.01, 0.5]])
    for name in ("binary", "binaryconnect"):
        quantizer = quantizers.build(name)
        alpha = float(quantizer.scale(w, SITE))
        assert torch.equal(quantizer(w, SITE, sample=False), torch.where(w >= 0, alpha, -alpha))
        share = (quantizer(w.repeat(4000, 1), SITE, sample=True) > 0).double().mean(0, keepdim=True)
        odds = ((w.double() / alpha + 1) / 2).clamp(0, 1)
        torch.testing.assert_close(share, odds, atol=0.04, rtol=0)


def test_the_threshold_of_ternary_is_a_third_of_alpha():
    quantizer = quantizers.build("ternary")
    alpha = float(quantizer.scale(torch.zeros(32, 24), SITE))
    w = alpha * torch.tensor([[-2.0, -0.34, -0.33, 0.0, 0.33, 0.34, 2.0]])
    expected = alpha * torch.tensor([[-1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0]])
    torch.testing.assert_close(quantizer(w, SITE), expected)


def test_ternaryconnect_counts_one_gate_and_its_threshold_is_a_half():
    quantizer = quantizers.build("ternaryconnect")
    w0 = math.sqrt(6 / (SITE.inputs + SITE.units))
    assert float(quantizer.scale(torch.zeros(32, 24), SITE)) == pytest.approx(w0)
    w = w0 * torch.tensor([[-0.51, -0.49, 0.49, 0.51]])
    torch.testing.assert_close(quantizer(w, SITE), w0 * torch.tensor([[-1.0, 0.0, 0.0, 1.0]]))


@given(st.floats(-4, 4, width=32), st.sampled_from([(0, 1), (1, 2), (2, 3), (0, 4)]))
def test_pow2_rounds_half_away_and_saturates_after_rounding(value, form):
    m, f = form
    scaled = math.floor(abs(value) * 2**f + 0.5) * math.copysign(1, value)
    top = 2 ** (f + m) - 1
    expected = max(-top, min(top, scaled)) / 2**f
    quantizer = quantizers.build(f"pow2(integer_bits={m}, fraction_bits={f})")
    assert float(quantizer(torch.tensor([[value]]))) == expected


def test_pow2_has_three_levels_by_default():
    assert quantizers.build("pow2").levels == (-0.5, 0.0, 0.5)


@given(st.floats(-2000, 2000, width=32))
def test_exponential_rounds_up_beyond_the_middle(value):
    """B's rule: exponent clipped to [-22, 9], rounded up where |w| / 2^k - 1 > 1/2; the sign of zero is minus."""
    k = min(9, max(-22, math.floor(math.log2(abs(value))))) if value else -22
    up = abs(value) / 2.0**k - 1 > 0.5
    expected = math.copysign(2.0 ** (k + up), value) if value else -(2.0**-22)
    assert float(quantizers.build("exponential")(torch.tensor([[value]]))) == expected


@settings(max_examples=30, deadline=None)
@given(st.floats(2**-22, 1024, width=32), st.booleans())
def test_exponential_samples_only_the_two_neighbouring_powers(value, negative):
    w = torch.full((1, 50), -value if negative else value)
    k = math.floor(math.log2(value))
    values = quantizers.build("exponential")(w, sample=True).abs().unique().tolist()
    assert set(values) <= {2.0**k, 2.0 ** (k + 1)}


def test_exponential_preserves_the_sign_of_small_weights():
    w = torch.tensor([[1e-9, -1e-9, 0.0]])
    for sample in (False, True):
        q = quantizers.build("exponential")(w, sample=sample)
        assert torch.equal(q, 2.0**-22 * torch.tensor([[1.0, -1.0, -1.0]]))


@for_any_matrix
def test_twn_equals_the_formula_of_li_and_liu_gate_by_gate(w):
    expected = []
    for gate in w.chunk(SITE.gates):
        cut = 0.7 * gate.abs().mean()
        beyond = gate.abs() > cut
        expected.append(gate.abs()[beyond].mean() * gate.sign() * beyond)
    torch.testing.assert_close(quantizers.build("twn")(w, SITE), torch.cat(expected), rtol=1e-5, atol=0)


@settings(max_examples=20, deadline=None)
@given(w=matrices, bits=st.integers(2, 8))
def test_the_error_of_uniform_is_at_most_half_a_step(w, bits):
    quantized = quantizers.build(f"uniform(bits={bits})")(w, SITE)
    for gate, q in zip(w.chunk(SITE.gates), quantized.chunk(SITE.gates), strict=True):
        step = gate.abs().max() / (2 ** (bits - 1) - 1)
        assert (gate - q).abs().max() <= step * 0.5001


@pytest.mark.parametrize("choice", ["uniform(bits=1)", "uniform(bits=9)", "pow2(fraction_bits=0)"])
def test_impossible_precisions_are_refused(choice):
    with pytest.raises(InputError, match="bits"):
        quantizers.build(choice)


NUMBERS = [
    (name, field.name, kind(bound))
    for name in quantizers.names()
    for field in dataclasses.fields(quantizers.build(name))
    if (kind := type(field.default)) in (int, float)
    for bound in (-1, 10**6)
]


@pytest.mark.parametrize(("name", "option", "value"), NUMBERS)
def test_a_number_outside_its_range_is_refused_by_name(name, option, value):
    with pytest.raises(InputError, match=f"'{name}' takes .* for {option}, not|'{name}' with .* for {option}, not"):
        quantizers.build(f"{name}({option}={value!r})")
