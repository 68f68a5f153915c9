"""The figures of the pages on hardware show the results of the models, and so does the explorer."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("safetensors")

from lowbit import paths
from lowbit.hardware import cost, technology
from lowbit.hardware.cycles import count
from lowbit.onchip import record
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware import block, costs, cycles, explorer, lanes, precision, tables

NODE = """
const rows = [];
const page = PAGE, data = JSON.parse(page.match(/const data = (\\{.*\\}), root/)[1]);
const node = () => ({ innerHTML: "", textContent: "" });
const nodes = { tbody: node(), area: node(), energy: node(), note: node() };
const select = axis => ({ dataset: { axis }, add() {}, addEventListener(_, f) { this.f = f; } });
const selects = ["lane", "lanes", "hidden"].map(select);
const find = word => word == "tbody" ? nodes.tbody : nodes[(word.match(/"(\\w+)"/) || [0, "note"])[1]];
global.Option = class {};
global.document = { getElementById: () => ({ querySelectorAll: () => selects, querySelector: find }) };
eval(page.match(/<script>([^]*)<\\/script>/)[1]);
for (const key of Object.keys(data.rows)) {
  key.split("|").forEach((value, place) => { selects[place].value = value; });
  selects[0].f();
  rows.push([key, nodes.tbody.innerHTML]);
}
console.log(JSON.stringify(rows));
"""


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setenv("LOWBIT_HOME", str(paths.SOURCE))
    monkeypatch.setattr(explorer, "LANES", (16,))
    monkeypatch.setattr(explorer, "HIDDEN", (64,))
    return Pair()


def test_shares_of_the_cycles_of_all_lanes_sum_to_one(pair):
    (ax,) = cycles.occupancy(pair, steps=2).axes
    ends = {}
    for bar in ax.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        ends[y] = max(ends.get(y, 0.0), bar.get_x() + bar.get_width())
        assert bar.get_width() >= 0
    assert len(ends) == len(cycles.carriers(pair))
    np.testing.assert_allclose(list(ends.values()), 100)


def test_cycle_model_and_simulator_agree_with_the_closed_form(pair):
    (ax,) = cycles.utilisation(pair, record.recall(pair)).axes
    lines = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in ax.lines}
    closed = next(line for label, line in lines.items() if "this network" in label)
    for label in ("cycle model", "RTL, simulated"):
        for number, share in lines[label].items():
            if number in closed:
                assert share == pytest.approx(closed[number], abs=1)  # %: the first step has nothing to hide


def test_the_trace_of_a_step_has_every_output(pair):
    step = cycles.trace(pair)
    written = step.run.trace.when("write")[step.first :]
    assert written.sum() == pair.work().hidden


def test_every_chart_is_drawn(pair):
    findings, step = record.recall(pair), cycles.trace(pair)
    for figure in (
        block.block(pair), cycles.timeline(step), cycles.sums(step), precision.errors(pair, findings),
        precision.score(pair, findings), costs.waterfall(pair), costs.cliff(pair), costs.sweep(pair),
        lanes.split(pair), lanes.by_library(pair), lanes.by_bits(pair), precision.prices(pair, findings),
    ):  # fmt: skip
        assert figure.get_figwidth() <= 6
    assert pair.machine in tables.summary(pair, findings).data
    assert "golden model" in tables.proof(pair, findings).data


def test_costs_of_widths_equal_the_closed_form(pair):
    logic, _, _ = precision.prices(pair, record.recall(pair)).axes
    for line in logic.lines[: len(lanes.FAMILIES)]:
        assert {8, 12} < set(line.get_xdata())
        assert (np.diff(line.get_ydata()) > 0).all()
    area = cost.area(pair.accelerator, pair.work())
    own = next(line for line in logic.lines if line.get_label() == lanes.FAMILIES[pair.lane][0])
    at = dict(zip(*own.get_data(), strict=True))[pair.accelerator.act_bits]
    assert at == pytest.approx((area.lanes_um2 + area.unit_um2) / 1e6)


def test_the_estimate_without_operands_is_in_the_table_and_the_figure(pair):
    ledger = lanes.ledger("sg13g2", pair.accelerator)
    ratio = ledger["multiply"]["energy_vectorless"] / ledger[pair.lane]["energy_vectorless"]
    assert f"would be {ratio:.1f};" in tables.vectorless(pair).data
    crosses = next(line for line in lanes.split(pair).axes[0].lines if line.get_label() == "without operands")
    assert crosses.get_xdata()[0] in {row["energy_vectorless"] for row in ledger.values()}


def test_parts_of_energy_are_those_of_the_ledger(pair):
    ledger = lanes.ledger("sg13g2", pair.accelerator)
    (ax,) = lanes.split(pair).axes
    ends = {}
    for bar in ax.patches:
        y = round(bar.get_y() + bar.get_height() / 2)
        ends[y] = max(ends.get(y, 0.0), bar.get_x() + bar.get_width())
    assert sorted(ends.values()) == pytest.approx(sorted(row["energy_glitches"] for row in ledger.values()))


def test_no_point_dominates_the_front(pair):
    points = costs.points(pair)
    assert {point.lane for point in points} >= {"binary", "ternary", "multiply"}
    (ax,) = costs.pareto(pair).axes
    front = np.array(next(line for line in ax.lines if line.get_drawstyle() == "steps-post").get_data()).T
    for point in points:
        below = front[front[:, 0] <= point.energy_nj.high]
        assert below[:, 1].min() <= point.score


def test_the_rows_of_the_explorer_are_closed_forms_times_prices(pair):
    data = explorer.data(pair)
    assert [name for name, _ in data["axes"]["lane"]] == sorted(
        lanes.ledger("sg13g2", pair.accelerator),
        key=lambda name: technology.price("synthesis", f"lane {name}", "area", "sg13g2").value,
    )
    for key in list(data["rows"])[::5]:
        lane, number, hidden = key.split("|")
        machine, work = (
            explorer.with_lanes(pair.accelerator, lane, int(number)),
            pair.work()._replace(hidden=int(hidden)),
        )
        row = dict(zip(data["columns"], data["rows"][key], strict=True))
        assert row["cycles"] == count(machine, work, 1).cycles
        assert row["lanes_mm2"] + row["unit_mm2"] + row["weights_mm2"] == pytest.approx(
            cost.area(machine, work).total_um2 / 1e6, abs=1e-4
        )
        spent = cost.energy(machine, work).total_pj
        assert (row["least_nj"], row["most_nj"]) == pytest.approx((spent.low / 1e3, spent.high / 1e3), abs=0.01)


def test_the_explorer_loads_nothing():
    text = (paths.notebooks() / "explorer.html").read_text()
    assert not re.search(r"//|@import|url\(|src=|href=|fetch|XMLHttp", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the explorer")
def test_the_explorer_has_its_rows(pair):
    page = explorer.explorer(pair).data
    process = subprocess.run(
        ["node", "-"], input=NODE.replace("PAGE", json.dumps(page)), capture_output=True, text=True, check=True
    )
    data = json.loads(re.search(r"const data = (\{.*\}), root", page)[1])
    shown = dict(json.loads(process.stdout))
    assert set(shown) == set(data["rows"])
    for key in list(shown)[::5]:
        row = dict(zip(data["columns"], data["rows"][key], strict=True))
        area = float(re.search(r"<td>([\d.]+) mm²</td>", shown[key])[1])
        assert area == pytest.approx(row["lanes_mm2"] + row["unit_mm2"] + row["weights_mm2"], abs=0.006)
        assert row["memory"] in shown[key]
        assert f"<td>{row['used_percent']:g} %</td>" in shown[key]
