"""Integer arithmetic: formats, lanes, machines and the golden model against loops in Python and real arithmetic."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import paths, quantizers
from lowbit.hardware import accelerator, fixed, golden, lanes, network, program, synthetic, technology
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Format, Table
from lowbit.layers import cells, networks
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

LANES = ["binary", "ternary", "shift(span=5)", "odd(bits=2)", "multiply(bits=4)", "multiply"]
wholes = st.integers(-(2**40), 2**40)
formats = st.builds(Format, st.integers(2, 24), st.integers(0, 20))


@given(form=formats, real=st.floats(-1e6, 1e6))
def test_rounding_gives_the_nearest_number_of_a_format(form, real):
    whole = int(form.quantize(np.array([real]))[0])
    assert form.low <= whole <= form.high
    exact = Fraction(real) * form.one
    best = min(max(math.floor(exact + Fraction(1, 2)), form.low), form.high)
    assert abs(exact - whole) == abs(exact - best)


@given(whole=wholes, places=st.integers(0, 30))
def test_a_rounded_shift_is_a_division_that_rounds_halves_up(whole, places):
    assert int(fixed.shifted(np.array([whole]), places)[0]) == math.floor(Fraction(whole, 2**places) + Fraction(1, 2))


@settings(deadline=None)
@given(bits=st.integers(2, 26), cols=st.integers(1, 40), seed=st.integers(0, 99))
def test_products_are_exact_or_refused(bits, cols, seed):
    random = np.random.default_rng(seed)
    limit = 1 << (bits - 1)
    v, w = random.integers(-limit, limit, (2, cols)), random.integers(-limit, limit, (3, cols))
    try:
        result = fixed.product(v, w, limit)
    except InputError:
        assert max(sum(abs(int(weight)) for weight in row) for row in w) * limit >= 2**53
    else:
        assert result.tolist() == [[sum(int(a) * int(b) for a, b in zip(x, y, strict=True)) for y in w] for x in v]


@given(bits=st.integers(2, 9), reach=st.integers(0, 3))
def test_a_table_is_within_half_a_spacing_of_its_function(bits, reach):
    argument, out = Format(14, 9), Format(14, 12)
    table = Table.of(np.tanh, reach, bits, argument, out)
    whole = np.arange(-(1 << reach + 9), 1 << reach + 9)
    spacing = 2.0 ** (reach + 1 - min(bits, argument.fraction + reach + 1))
    error = np.abs(out.real(table(whole)) - np.tanh(argument.real(whole)))
    past = argument.real(whole) > 2.0**reach - spacing  # where the last point stands for what lies beyond
    assert error[~past].max() <= spacing / 2 + 0.5 / out.one
    assert error.max() <= spacing + 0.5 / out.one


@pytest.mark.parametrize("name", LANES)
def test_lane_codes_have_their_width_and_decode_to_their_weights(name):
    lane = lanes.build(name)
    assert set(lane.encode(lane.values)) <= set(range(2**lane.weight_bits))
    weights = np.unique(lane.values)
    codes = lane.encode(weights)
    assert np.array_equal(lane.decode(codes), weights)
    with pytest.raises(InputError, match="has no weights"):
        lane.encode(np.array([lane.largest + 2]))


@pytest.mark.parametrize("name", LANES)
@pytest.mark.parametrize("additions", [1, 7, 1024])
def test_an_accumulator_is_exactly_as_wide_as_its_largest_sum(name, additions):
    lane, low = lanes.build(name), -(2**7)
    products = [low * int(weight) for weight in lane.values]
    worst = [additions * min(products), additions * max(products)]
    bits = lane.sum_bits(8, additions)
    assert all(Format(bits, 0).low <= total <= Format(bits, 0).high for total in worst)
    assert not all(-Format(bits - 1, 0).high <= total <= Format(bits - 1, 0).high for total in worst)


@pytest.mark.parametrize("name", quantizers.variants())
def test_every_quantizer_has_a_lane_and_its_planes_sum_to_its_levels(name):
    quantizer = quantizers.build(name)
    lane = lanes.lane_for(quantizer)
    if not quantizer.levels:
        return
    site = quantizers.Site(inputs=16, units=16, gates=3)
    w = torch.randn(48, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    site = site._replace(factors=quantizer.factors(w, site))
    planes = quantizer.planes(w, site)
    for plane in planes:
        lane.encode(plane.whole.numpy())
    total = sum(plane.whole * plane.factor[:, None] for plane in planes)
    torch.testing.assert_close(total, quantizer(w, site, sample=False), rtol=1e-5, atol=1e-6)


def python_step(engine, x, values, t):
    """Computes one step of one sequence in Python's integers, row by row."""
    machine, plan, hidden = engine.machine, engine.plan, engine.hidden
    f = machine.act_bits - 1

    def clip(v, bits):
        return max(-(1 << bits - 1), min((1 << bits - 1) - 1, v))

    def rounded(v, places):
        return (v + (1 << places >> 1)) >> places

    def look(function, reach, v):
        places = max(0, f + reach + 1 - machine.table_bits)
        point = clip(rounded(v, places), f + reach + 1 - places)
        return clip(math.floor(function(point * 2.0 ** (places - f)) * 2**f + 0.5), machine.act_bits)

    def sigmoid(v):
        return look(lambda real: 1 / (1 + math.exp(-real)), 3, v)

    def tanh(v):
        return look(math.tanh, 2, v)

    fields = [[0] * hidden for _ in range(plan.fields)]
    for sweep in engine.passes:
        if not sweep.recurrent and engine.inputs is None:
            vector = [(1 << machine.act_bits - 2) if k == x else 0 for k in range(sweep.weights.shape[1])]
        else:
            vector = values[0] if sweep.recurrent else x
        slot = min(t, len(sweep.scale) - 1)
        for row, weights in enumerate(sweep.weights.tolist()):
            total = 0
            for weight, activation in zip(weights, vector, strict=True):
                total = clip(total + weight * int(activation), machine.accumulator.bits)
            y = (total * int(sweep.scale[slot, row]) + int(sweep.offset[slot, row])) >> sweep.places
            gate, unit = divmod(row, hidden)
            field = fields[(plan.h if sweep.recurrent else plan.x)[gate]]
            field[unit] = clip(field[unit] + clip(y, machine.act_bits + 4), machine.act_bits + 4)

    def unit(u):
        z = [field[u] for field in fields]
        if engine.cell == "relu_rnn":
            return (clip(max(z[0], 0), machine.act_bits),)
        if engine.cell == "rnn":
            return (tanh(z[0]),)
        if engine.cell == "gru":
            n = tanh(clip(z[2] + rounded(sigmoid(z[0]) * z[3], f), machine.act_bits + 4))
            return (n + rounded(sigmoid(z[1]) * (int(values[0][u]) - n), f),)
        c = rounded(sigmoid(z[1]) * int(values[1][u]) + sigmoid(z[0]) * tanh(z[2]), f)
        c = clip(c, machine.act_bits + 4)
        return rounded(sigmoid(z[3]) * tanh(c), f), c

    return tuple(zip(*(unit(u) for u in range(hidden)), strict=True))


@pytest.mark.parametrize("cell", program.PLANS)
@settings(max_examples=12, deadline=None)
@given(
    lane=st.sampled_from(LANES),
    act_bits=st.integers(5, 12),
    table_bits=st.integers(4, 12),
    narrow=st.booleans(),
    symbols=st.booleans(),
    seed=st.integers(0, 999),
)
def test_the_golden_model_equals_python_integers(cell, lane, act_bits, table_bits, narrow, symbols, seed):
    acc_bits = act_bits + 3 if narrow else 0
    machine = Machine(lane=lane, act_bits=act_bits, table_bits=table_bits, acc_bits=acc_bits)
    engine = synthetic.program(machine, cell, 5, 3, symbols, planes=(1, 2), slots=2, seed=seed)
    x = synthetic.stimulus(engine, 4, seed=seed)
    outputs, ends = golden.run(engine, x)
    values = tuple(engine.start.tolist())
    for t, row in enumerate(x[:, 0]):
        values = python_step(engine, row, values, t)
        assert outputs[t, 0].tolist() == list(values[0])
    assert [value[0].tolist() for value in ends] == [list(value) for value in values]


def rounding_of_sums(engine, x, h):
    """Returns a bound of the error of scales and shifts, in units of a pre-activation."""
    sums = [np.abs(golden.accumulate(engine, sweep, x, h)).max() / 2.0**sweep.places for sweep in engine.passes]
    return sum(0.5 * total + 1.5 for total in sums)


@pytest.mark.parametrize("name", ["full", "binary", "ternary", "ttq", "alternating", "exponential", "dorefa"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_one_integer_step_is_within_the_error_bound_of_its_bits(cell, name):
    torch.manual_seed(0)
    layer = Recurrent(20, 12, Design(cells.build(cell), quantizers.build(name), "weight")).eval()
    machine = accelerator.with_lane_for(Machine(act_bits=14, table_bits=12, scale_bits=14), quantizers.build(name))
    engine = program.assemble(layer, machine, machine.activation)
    random = np.random.default_rng(1)
    h, x = (random.integers(-(2**13), 2**13, (6, size)) for size in (12, 20))
    real = [torch.from_numpy(machine.activation.real(whole)).float() for whole in (h, x)]
    state = cells.State(tuple([real[0]] * layer.cell.memories), 0)
    with torch.no_grad():
        expected, _ = layer(real[1][None], state)
    result = golden.step(engine, x, (h,) * layer.cell.memories, 0)[0]
    last = 1 / machine.activation.one
    sums = rounding_of_sums(engine, x, h)
    spacing = 2 ** (4 - machine.table_bits)  # of the sigmoid, half of it of the tanh
    gate, candidate = sums * last / 4 + spacing / 8 + last, sums * last + spacing / 4 + last
    # Errors add up at most: two gates and a candidate into the cell, the cell through a tanh, and one gate more.
    bound = 3 * gate + candidate + spacing / 4 + 4 * last
    assert np.abs(machine.activation.real(result) - expected[0].numpy()).max() <= bound
    assert bound < 0.05


@pytest.mark.parametrize(("reach", "most"), [(0, 1.0), (2, 4.0)])
def test_a_relu_is_exact_up_to_its_range(reach, most):
    torch.manual_seed(0)
    layer = Recurrent(20, 12, Design(cells.build("rnn(activation='relu')"), quantizers.build("ternary"), "weight"))
    machine = Machine(act_bits=14, scale_bits=14)
    engine = program.assemble(layer.eval(), machine, machine.activation, reach)
    random = np.random.default_rng(1)
    h, x = random.integers(0, 2**13, (6, 12)), random.integers(-(2**13), 2**13, (6, 20))
    state = cells.State((torch.from_numpy(engine.outputs.real(h)).float(),), 0)
    with torch.no_grad():
        expected, _ = layer(torch.from_numpy(machine.activation.real(x)).float()[None], state)
    result = golden.step(engine, x, (h,), 0)[0]
    assert (expected > most).any() or reach
    last = most / machine.activation.one
    sums = rounding_of_sums(engine, x, h)
    error = np.abs(engine.outputs.real(result) - np.minimum(expected[0].numpy(), most - last))
    assert error.max() <= sums * last < 0.01 * most


@pytest.mark.parametrize(("cell", "both"), [("rnn(activation='relu')", False), ("lstm", True), ("gru", True)])
def test_relu_and_bidirectional_networks_keep_their_predictions(cell, both):
    spec = RunSpec(cell=cell, quantizer="ternary", norm="weight")
    torch.manual_seed(0)
    recipe = dataclasses.replace(spec.recipe, hidden=16, layers=2, bidirectional=both)
    plain = networks.Network(9, 9, recipe, Design(cells.build(cell), quantizers.build("ternary"), "weight")).eval()
    machine = Machine(act_bits=14, table_bits=14, scale_bits=14)
    engine, x = network.on_machine(machine, plain, reach=2 if "relu" in cell else 0), torch.randint(0, 9, (7, 3))
    with torch.no_grad():
        torch.testing.assert_close(engine(x)[0], plain(x)[0], rtol=0, atol=0.02)
        assert not torch.equal(engine(x)[0], plain(x)[0])


def test_more_bits_make_the_score_of_an_engine_closer_to_its_network():
    spec = RunSpec(quantizer="ternary", budget="smoke(calibration=4, hidden=32)")
    plain = train.build(spec)
    evaluate.calibrate(plain, spec.data, spec.recipe, sample=False)

    def score(called):
        return evaluate.score(called, spec.data, spec.data.streams("test", 16, 24, 1600), called.round(sample=False))

    lost = []
    for act_bits in (6, 12):
        machine = dataclasses.replace(accelerator.build("ternary"), act_bits=act_bits)
        lost.append(abs(score(network.on_machine(machine, plain)) - score(plain)))
    assert lost[1] < 0.01
    assert lost[1] < lost[0]


def test_steps_can_be_run_in_segments():
    engine = synthetic.program(Machine(), slots=3)
    x = synthetic.stimulus(engine, 7, batch=2)
    whole, _ = golden.run(engine, x)
    first, state = golden.run(engine, x[:2])
    second, _ = golden.run(engine, x[2:], state, 2)
    assert np.array_equal(np.concatenate((first, second)), whole)


@pytest.mark.parametrize(
    ("cell", "quantizer", "norm", "lane", "message"),
    [
        ("lstm", "full", "none", "ternary", "ternary lane cannot carry full precision"),
        ("lstm", "uniform", "none", "ternary", "has no weights"),
        ("lstm", "ternary", "layer", "ternary", "cannot be folded"),
        ("gru(reset='cho2014')", "ternary", "none", "ternary", "no a reset before the product"),
        ("lstm(normalize_cell=True)", "ternary", "none", "ternary", "no a normalized cell"),
        ("min_gru", "ternary", "none", "ternary", "no cell"),
    ],
)
def test_unsupported_layers_are_refused_by_name(cell, quantizer, norm, lane, message):
    layer = Recurrent(4, 4, Design(cells.build(cell), quantizers.build(quantizer), norm)).eval()
    with pytest.raises(InputError, match=message):
        program.assemble(layer, Machine(lane=lane), None)


def test_only_relus_exceed_one():
    layer = Recurrent(4, 4, Design(cells.build("gru"), quantizers.build("ternary"))).eval()
    with pytest.raises(InputError, match="no outputs past 1"):
        program.assemble(layer, Machine(), None, reach=1)


@pytest.mark.parametrize("name", accelerator.catalogue())
def test_every_machine_of_the_catalogue_can_represent_its_weights(name):
    machine = accelerator.build(name)
    assert machine.source
    assert machine.word_bits == machine.lanes * machine.arithmetic.weight_bits
    engine = synthetic.program(machine)
    assert golden.run(engine, synthetic.stimulus(engine, 2))[0].any()


def test_the_machines_of_a_are_those_reported():
    rows = technology.read(paths.reported() / "ardakani2019_hardware.csv")
    reported = {
        (row["design"], row["quantizer"].partition("(")[0], row["quantity"]): float(row["value"]) for row in rows
    }
    designs = {"full": ("full precision, 12 bit", "full"), "binary": ("low power", "binary")}
    designs |= {"ternary": ("low power", "ternary"), "binary_fast": ("high speed", "binary")}
    designs |= {"ternary_fast": ("high speed", "ternary")}
    for name, design in designs.items():
        machine = accelerator.build(name)
        assert machine.lanes == reported[(*design, "mac_units")]
        assert 2 * machine.lanes * machine.clock_hz == 1e9 * reported[(*design, "throughput_gops")]
        assert machine.node_nm == reported["all designs", "", "technology_nm"]
        assert machine.act_bits == reported["all designs", "", "act_bits"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("tern", "known: .*ternary"),
        ("ternary(lines=3)", "no option 'lines'"),
        ("ternary(act_bits=99)", "act_bits, not 99"),
    ],
)
def test_an_impossible_machine_is_refused(choice, message):
    with pytest.raises(InputError, match=message):
        accelerator.build(choice)
