"""The cost of an engine: sums of parts, known limits, and A's values with fitted constants."""

import pytest

from lowbit import paths
from lowbit.hardware import accelerator, cost, cycles, scaling, technology
from lowbit.hardware.cost import Interval
from lowbit.hardware.cycles import Workload
from lowbit.hardware.scaling import Process
from lowbit.registry import InputError

FULL, BINARY, TERNARY = (accelerator.build(name) for name in ("full", "binary", "ternary"))


MAPPED = [row for row in technology.prices() if row.item.startswith("engine ") and row.quantity == "area"]


@pytest.mark.parametrize("row", MAPPED, ids=lambda row: f"{row.library} {row.item}")
def test_the_fitted_area_of_the_unit_is_near_the_synthesized_one(row):
    machine = accelerator.build(row.item.removeprefix("engine "))
    assert cost.unit(machine, "area", row.library) == pytest.approx(row.value, rel=0.15)


@pytest.mark.parametrize("hidden", [64, 300, 1000])
def test_energy_is_events_times_prices(hidden):
    work = Workload("lstm", 50, hidden)
    counts, step = cycles.count(TERNARY, work, 1), cost.energy(TERNARY, work)
    price = technology.price("synthesis", "lane ternary", "energy_glitches", "sg13g2").value
    assert step.lanes_pj.high == pytest.approx(100 * counts.words * price)
    assert step.weights_pj.low == pytest.approx(counts.words * cost.weights(TERNARY, work).read_pj)
    assert step.total_pj.low <= step.total_pj.high


def test_off_chip_weights_cost_energy_per_bit_and_no_area():
    work = Workload("lstm", 50, 512)
    on_chip, streamed = accelerator.build("ternary"), accelerator.build("streamed")
    step = cost.energy(streamed, work)
    prices = [technology.price("memory", f"dram {end}", "read").value / 64 for end in ("least", "most")]
    bits = cycles.count(streamed, work, 1).words * streamed.word_bits
    assert step.dram_pj == pytest.approx([bits * price for price in prices])
    assert step.weights_pj == cost.energy(on_chip, work).dram_pj == (0, 0)
    assert cost.area(streamed, work).weights_um2 == 0
    assert step.total_pj.low > cost.energy(on_chip, work).total_pj.high
    assert step.lanes_pj == cost.energy(on_chip, work).lanes_pj


def test_the_cost_of_large_layers_is_that_of_their_weights():
    """With 64 lanes, whose words fill the macros exactly."""
    work = [Workload("lstm", 50, hidden) for hidden in (128, 4000)]
    machines = [accelerator.build(f"{name}(lanes=64)") for name in ("full", "binary")]
    small, large, limit = (stage.area for stage in cost.waterfall(*machines, work)[2:])
    assert small < large < limit == 12
    assert large == pytest.approx(limit, rel=0.03)


def test_ratios_grow_from_the_lane_over_memory_to_the_limit():
    stages = cost.waterfall(FULL, TERNARY, [Workload("lstm", 50, 512)])
    assert [stage.name for stage in stages] == ["lane", "logic", "512 units", "weights alone"]
    assert stages[1].area < stages[0].area < stages[-1].area
    assert all(stage.energy.low <= stage.energy.high for stage in stages)


def test_a_stronger_baseline_makes_every_ratio_smaller():
    array = accelerator.build("full(lane=\"multiply(multiplier='array')\")")
    works = [Workload("lstm", 50, 256)]
    for fair, unfair in zip(cost.waterfall(FULL, BINARY, works), cost.waterfall(array, BINARY, works), strict=True):
        assert fair.area <= unfair.area


def recalled(quantity, reported):
    """Returns the fit to the recalled values of A's five engines."""
    rows = technology.read(paths.reported() / "ardakani2019_hardware.csv")
    values = {
        (row["design"], row["quantizer"].partition("(")[0]): float(row["value"])
        for row in rows
        if row["quantity"] == reported
    }
    names = {
        "full": ("full precision, 12 bit", "full"),
        "binary": ("low power", "binary"),
        "ternary": ("low power", "ternary"),
        "binary_fast": ("high speed", "binary"),
        "ternary_fast": ("high speed", "ternary"),
    }
    machines = {name: accelerator.build(name) for name in names}
    return cost.storage_fit({name: values[design] for name, design in names.items()}, machines, quantity)


@pytest.mark.parametrize(
    ("quantity", "reported", "most"), [("area", "area_mm2", 0.08), ("energy_glitches", "power_mw", 0.12)]
)
def test_two_constants_fit_the_recalled_engines(quantity, reported, most):
    fit = recalled(quantity, reported)
    assert max(map(abs, fit.errors.values())) < most
    assert fit.constants["x"] > 0


def test_the_scaling_implied_by_recalled_areas_is_within_the_sourced_factors():
    step = scaling.step("area", scaling.of("sg13g2"), Process(FULL.node_nm, 1.0))
    assert step.low < recalled("area", "area_mm2").constants["g"] * 1e6 < step.high  # mm2 over um2


def test_intervals_add_and_scale_end_by_end():
    a, b = Interval(1.0, 2.0), Interval(3.0, 5.0)
    assert a + b == (4.0, 7.0)
    assert a.times(2) == (2.0, 4.0)


def test_every_machine_of_the_catalogue_has_a_price():
    for name in accelerator.catalogue():
        machine, work = accelerator.build(name), Workload("lstm", 50, 256)
        step = cost.energy(machine, work).total_pj
        assert 0 < step.low < step.high, name
        assert cost.area(machine, work).unit_um2 > 0, name


def test_narrow_activations_make_lanes_and_unit_smaller():
    short, long = (
        accelerator.build(f"edge(act_bits={bits}, scale_bits=12, table_bits=10, depth=1024)") for bits in (8, 12)
    )
    work = Workload("lstm", 50, 256)
    one, other = (cost.area(machine, work) for machine in (short, long))
    assert one.lanes_um2 < other.lanes_um2
    assert one.unit_um2 < other.unit_um2
    assert one.weights_um2 == other.weights_um2
    assert cost.energy(short, work).lanes_pj.high < cost.energy(long, work).lanes_pj.low


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("ternary(lane='odd(bits=5)')", r"area of lane odd\(bits=5\) on sg13g2; known: lane binary, "),
        ("ternary(act_bits=9)", r"lane ternary\(act_bits=9\) on sg13g2; known: lane ternary, .*ternary\(act_bits=8"),
        ("ternary(depth=100)", r"lane ternary\(depth=100\) on sg13g2; known: lane ternary, "),
        ("ternary(scale_bits=7)", "12 bits of activations, 7 of scales and 10 of tables on sg13g2; known: 12 bits"),
    ],
)
def test_a_lane_without_synthesis_is_refused_with_the_known_ones(machine, message):
    with pytest.raises(InputError, match=message):
        cost.area(accelerator.build(machine), Workload("lstm", 4, 4))
