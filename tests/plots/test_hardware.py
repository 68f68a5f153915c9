"""The charts of the pages on hardware show what the models say, and the explorer says what they say."""

import json
import re
import shutil
import subprocess

import matplotlib.pyplot as plt
import numpy as np
import pytest

pytest.importorskip("safetensors")

from lowbit import paths
from lowbit.hardware import cost, cycles, technology
from lowbit.onchip import record
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware import block, cards, chip, explorer, gates, precision, time

NODE = """
const rows = [];
const page = PAGE, told = JSON.parse(page.match(/const told = (\\{.*\\}), root/)[1]);
const node = () => ({ innerHTML: "", textContent: "" });
const made = { tbody: node(), area: node(), energy: node(), note: node() };
const select = axis => ({ dataset: { axis }, add() {}, addEventListener(_, f) { this.f = f; } });
const selects = ["lane", "lanes", "hidden"].map(select);
const find = word => word == "tbody" ? made.tbody : made[(word.match(/"(\\w+)"/) || [0, "note"])[1]];
global.Option = class {};
global.document = { getElementById: () => ({ querySelectorAll: () => selects, querySelector: find }) };
eval(page.match(/<script>([^]*)<\\/script>/)[1]);
for (const key of Object.keys(told.rows)) {
  key.split("|").forEach((value, place) => { selects[place].value = value; });
  selects[0].f();
  rows.push([key, made.tbody.innerHTML]);
}
console.log(JSON.stringify(rows));
"""


@pytest.fixture(autouse=True)
def closed():
    """Figures of a test go with it."""
    yield
    plt.close("all")


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setenv("LOWBIT_HOME", str(paths.SOURCE))
    monkeypatch.setattr(explorer, "LANES", (16,))
    monkeypatch.setattr(explorer, "HIDDEN", (64,))
    return Pair()


def test_lane_cycles_are_all_accounted_for(pair):
    (ax,) = time.occupancy(pair, steps=2).axes
    ends = {}
    for bar in ax.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        ends[y] = max(ends.get(y, 0.0), bar.get_x() + bar.get_width())
        assert bar.get_width() >= 0
    assert len(ends) == len(time.carriers(pair))
    np.testing.assert_allclose(list(ends.values()), 100)


def test_what_was_stepped_through_and_simulated_lies_on_the_closed_form(pair):
    (ax,) = time.utilisation(pair, record.recall(pair)).axes
    lines = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in ax.lines}
    closed = next(line for label, line in lines.items() if "this network" in label)
    for label in ("stepped through", "hardware, simulated"):
        for lanes, share in lines[label].items():
            if lanes in closed:
                assert share == pytest.approx(closed[lanes], abs=0.01)  # the first step starts with nothing to hide


def test_a_step_shows_every_output(pair):
    watched = time.watch(pair)
    written = watched.run.trace.when("write")[watched.first :]
    assert written.sum() == pair.work().hidden


def test_every_chart_is_drawn(pair):
    found = record.recall(pair)
    watched = time.watch(pair)
    for figure in (
        block.block(pair), time.timeline(watched), time.sums(watched), precision.errors(pair, found),
        precision.score(pair, found), chip.waterfall(pair), chip.cliff(pair), chip.sweep(pair), gates.split(pair),
        gates.by_library(pair), gates.by_bits(pair), precision.prices(pair, found),
    ):  # fmt: skip
        assert figure.get_figwidth() <= 6
    assert pair.machine in cards.summary(pair, found).data
    assert "golden model" in cards.proof(pair, found).data


def test_widths_cost_what_the_closed_form_says_of_them(pair):
    logic, _, _ = precision.prices(pair, record.recall(pair)).axes
    for line in logic.lines[: len(chip.FAMILIES)]:
        assert {8, 12} < set(line.get_xdata())
        assert (np.diff(line.get_ydata()) > 0).all()
    area = cost.area(pair.accelerator, pair.work())
    own = next(line for line in logic.lines if line.get_label() == chip.NAMES[pair.lane])
    at = dict(zip(*own.get_data(), strict=True))[pair.accelerator.act_bits]
    assert at == pytest.approx((area.lanes_um2 + area.unit_um2) / 1e6)


def test_an_estimate_without_operands_is_told_beside_what_operands_give(pair):
    told = gates.ledger("sg13g2", pair.accelerator)
    ratio = told["multiply"]["energy_vectorless"] / told[pair.lane]["energy_vectorless"]
    assert f"would be {ratio:.1f};" in cards.blind(pair).data
    crosses = next(line for line in gates.split(pair).axes[0].lines if line.get_label() == "without operands")
    assert crosses.get_xdata()[0] in {row["energy_vectorless"] for row in told.values()}


def test_energy_splits_into_what_the_ledger_says(pair):
    told = gates.ledger("sg13g2", pair.accelerator)
    (ax,) = gates.split(pair).axes
    ends = {}
    for bar in ax.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        ends[y] = max(ends.get(y, 0.0), bar.get_x() + bar.get_width())
    assert sorted(ends.values()) == pytest.approx(sorted(row["energy_glitches"] for row in told.values()))


def test_the_front_has_no_point_below_and_left_of_it(pair):
    told = chip.points(pair)
    assert {point.lane for point in told} >= {"binary", "ternary", "multiply"}
    (ax,) = chip.pareto(pair).axes
    front = np.array(next(line for line in ax.lines if line.get_drawstyle() == "steps-post").get_data()).T
    for point in told:
        below = front[front[:, 0] <= point.energy_nj.high]
        assert below[:, 1].min() <= point.score


def test_the_explorer_is_handed_closed_forms_times_prices(pair):
    told = explorer.told(pair)
    assert [name for name, _ in told["axes"]["lane"]] == sorted(
        gates.ledger("sg13g2", pair.accelerator),
        key=lambda name: technology.price("synthesis", f"lane {name}", "area", "sg13g2").value,
    )
    for key in list(told["rows"])[::5]:
        lane, lanes, hidden = key.split("|")
        machine, work = explorer.like(pair.accelerator, lane, int(lanes)), pair.work()._replace(hidden=int(hidden))
        row = dict(zip(told["columns"], told["rows"][key], strict=True))
        assert row["cycles"] == cycles.count(machine, work, 1).cycles
        assert row["lanes_mm2"] + row["unit_mm2"] + row["weights_mm2"] == pytest.approx(
            cost.area(machine, work).total_um2 / 1e6, abs=1e-4
        )
        spent = cost.energy(machine, work).total_pj
        assert (row["least_nj"], row["most_nj"]) == pytest.approx((spent.low / 1e3, spent.high / 1e3), abs=0.01)


def test_the_explorer_stands_alone():
    text = (paths.notebooks() / "explorer.html").read_text()
    assert not re.search(r"//|@import|url\(|src=|href=|fetch|XMLHttp", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the explorer")
def test_the_explorer_shows_what_it_was_handed(pair):
    page = explorer.explorer(pair).data
    done = subprocess.run(
        ["node", "-"], input=NODE.replace("PAGE", json.dumps(page)), capture_output=True, text=True, check=True
    )
    told = json.loads(re.search(r"const told = (\{.*\}), root", page)[1])
    shown = dict(json.loads(done.stdout))
    assert set(shown) == set(told["rows"])
    for key in list(shown)[::5]:
        row = dict(zip(told["columns"], told["rows"][key], strict=True))
        area = float(re.search(r"<td>([\d.]+) mm²</td>", shown[key])[1])
        assert area == pytest.approx(row["lanes_mm2"] + row["unit_mm2"] + row["weights_mm2"], abs=0.006)
        assert row["memory"] in shown[key]
        assert f"<td>{row['used_percent']:g} %</td>" in shown[key]
