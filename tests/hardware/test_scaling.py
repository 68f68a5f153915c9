"""Scaling between nodes: sourced ratios, an error measured on the ledger, and processes outside the rows."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.hardware import scaling, technology
from lowbit.hardware.scaling import Process
from lowbit.registry import InputError

processes = st.builds(Process, st.floats(7, 180), st.floats(0.9, 1.8))
quantities = st.sampled_from(["area", "energy"])


def test_the_published_example_is_reproduced():
    """The example of the corrigendum: 65 nm at 1.3 V to 32 nm for speed at 0.9 V."""
    assert scaling.formula("energy", Process(65, 1.3), Process(32, 0.9)).low == pytest.approx(0.1755, rel=1e-3)


@pytest.mark.parametrize(
    ("start", "end", "ratio"), [(90, 65, 0.53), (65, 45, 0.66), (180, 130, 0.34), (32, 45, 2.2), (65, 7, 0.039)]
)
def test_areas_scale_as_the_published_table_between_nodes(start, end, ratio):
    """The rows hold the factors from 130 nm alone; the other factors are published with two digits."""
    assert scaling.formula("area", Process(start, 1), Process(end, 1)).low == pytest.approx(ratio, rel=0.12)


@settings(deadline=None, max_examples=30)
@given(quantity=quantities, start=processes, end=processes)
def test_a_scaling_and_its_inverse_cancel(quantity, start, end):
    there, back = scaling.formula(quantity, start, end), scaling.formula(quantity, end, start)
    assert there.low * back.high == pytest.approx(1)
    assert there.high * back.low == pytest.approx(1)


@settings(deadline=None, max_examples=30)
@given(quantity=quantities, process=processes)
def test_scaling_to_the_same_process_is_one_within_the_error(quantity, process):
    wrong = scaling.error(quantity)
    assert scaling.formula(quantity, process, process) == pytest.approx((1, 1))
    assert scaling.step(quantity, process, process) == pytest.approx((1 / wrong, wrong))


@pytest.mark.parametrize("quantity", ["area", "energy"])
def test_every_lane_of_the_ledger_is_within_the_scaled_interval_of_every_other_library(quantity):
    lanes = {row.item for row in technology.prices() if row.item.startswith("lane ")}
    names, tight = scaling.MEASURED[quantity], 1.0
    for one in ("sg13g2", "sky130", "gf180"):
        for other in ("sg13g2", "sky130", "gf180"):
            low, high = scaling.step(quantity, scaling.of(one), scaling.of(other))
            for name in names:
                for item in lanes:
                    value, start = (
                        technology.price("synthesis", item, name, library).value for library in (other, one)
                    )
                    assert low * 0.999999 <= value / start <= high * 1.000001
                    tight = min(tight, math.log(value / start / low), math.log(high * start / value))
    assert tight == pytest.approx(0, abs=1e-9)


def test_smaller_nodes_take_less_area_and_lower_voltages_less_energy():
    for quantity in ("area", "energy"):
        steps = [scaling.formula(quantity, Process(130, 1.2), Process(node, 1.0)).high for node in (90, 65, 45, 28, 7)]
        assert steps == sorted(steps, reverse=True)
    lower = [scaling.formula("energy", Process(65, 1.2), Process(65, voltage)).high for voltage in (1.2, 1.1, 1.0)]
    assert lower == sorted(lower, reverse=True)


@pytest.mark.parametrize(("process", "message"), [((5, 0.7), "known: 7 to 180 nm"), ((180, 0.5), "voltage is too low")])
def test_a_process_outside_the_rows_is_refused(process, message):
    with pytest.raises(InputError, match=message):
        scaling.formula("energy", Process(130, 1.2), Process(*process))
