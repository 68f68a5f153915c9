"""The tables of the chapter on hardware: machines, lanes, where a ratio comes from, and what others report."""

import csv
import math

import pandas as pd

from lowbit import paths
from lowbit.hardware import accelerator, cost, cycles, scaling, technology
from lowbit.hardware.cost import Interval
from lowbit.hardware.cycles import Workload
from lowbit.hardware.scaling import Process
from lowbit.plots.report import markdown

CHARACTERS = Workload("lstm", 50, 512)  # a layer of A's size on characters, one-hot
UNITS = (128, 512, 2048)
LIBRARIES = ("sg13g2", "sky130", "gf180")
ENGINES = {  # A's five by design and quantizer as `data/reported` has them
    "full": ("full precision, 12 bit", "full"),
    "binary": ("low power", "binary"),
    "ternary": ("low power", "ternary"),
    "binary_fast": ("high speed", "binary"),
    "ternary_fast": ("high speed", "ternary"),
}


def texts() -> dict[str, str]:
    """Every table by file name; they depend on committed tables and on code alone."""
    return {
        "machines.md": markdown(pd.DataFrame([_machine(name) for name in accelerator.catalogue()])),
        "lanes.md": markdown(pd.DataFrame(_lanes())),
        "waterfall.md": markdown(pd.DataFrame(_waterfall())),
        "engines.md": markdown(pd.DataFrame(_engines())),
        "peers.md": markdown(pd.DataFrame(_peers())),
        "steps.md": markdown(pd.DataFrame(_steps())),
    }


def _machine(name: str) -> dict[str, object]:
    machine, work = accelerator.build(name), CHARACTERS
    counts = cycles.count(machine, work, 1)
    return {
        "machine": name,
        "lanes": machine.lanes,
        "lane": machine.lane,
        "bits of h": machine.act_bits,
        "of a sum": machine.accumulator.bits,
        "of a word": machine.word_bits,
        "cycles a step": f"{counts.cycles:,}",
        "waiting": f"{100 * (counts.starved + counts.blocked) / counts.cycles:.0f} %",
        "lanes in use": f"{100 * cycles.utilisation(machine, work):.0f} %",
        "steps a second": f"{machine.clock_hz / counts.cycles:,.0f}",
    }


def _lanes() -> list[dict[str, object]]:
    rows: dict[str, dict[str, object]] = {}
    for price in technology.prices():
        if price.item.startswith("lane ") and price.library in LIBRARIES and _of_a(price.item):
            row = rows.setdefault(price.item, {"lane": price.item.removeprefix("lane ")})
            row[f"{price.library} {price.quantity}"] = price.value
    told = []
    for row in sorted(rows.values(), key=lambda row: -row["sg13g2 area"]):
        new: dict[str, object] = {"lane": row["lane"]}
        for library in LIBRARIES:
            new[f"{library}: NAND2"] = f"{row[f'{library} area_gates']:,.0f}"
            new[f"{library}: pJ a cycle"] = _span(
                Interval(row[f"{library} energy_settled"], row[f"{library} energy_glitches"])
            )
        told.append(new)
    return told


def _of_a(item: str) -> bool:
    """Whether a lane of the ledger has the widths of A's machines."""
    return accelerator.same_widths(accelerator.lane_machine(item.removeprefix("lane ")), accelerator.build("full"))


def _waterfall() -> list[dict[str, object]]:
    works = [Workload("lstm", 50, hidden) for hidden in UNITS]
    booth, small = accelerator.build("full"), {name: accelerator.build(name) for name in ("binary", "ternary")}
    array = accelerator.build("full(lane=\"multiply(multiplier='array')\")")
    columns = {}
    for name, machine in small.items():
        columns[name, "Booth"] = cost.waterfall(booth, machine, works)
        columns[name, "array"] = cost.waterfall(array, machine, works)
    rows = []
    for number, stage in enumerate(columns["binary", "Booth"]):
        row: dict[str, object] = {"what is compared": stage.name}
        for name in small:
            areas = [columns[name, kind][number].area for kind in ("Booth", "array")]
            row[f"area over {name}"] = _span(Interval(*areas))
            row[f"energy over {name}"] = _span(columns[name, "Booth"][number].energy)
        rows.append(row)
    return rows


def _engines() -> list[dict[str, object]]:
    values = _recalled()
    machines = {name: accelerator.build(name) for name in ENGINES}
    rows = [{"engine": name, "lanes": machine.lanes} for name, machine in machines.items()]
    for quantity, ours, unit in (("area_mm2", "area", "mm²"), ("power_mw", "energy_glitches", "mW")):
        given = {name: values[(*design, quantity)] for name, design in ENGINES.items()}
        fit = cost.storage_fit(given, machines, ours)
        for row in rows:
            value = given[row["engine"]]
            row[f"A: {unit} †"] = f"{value:g}"
            row[f"fitted: {unit}"] = f"{value * (1 + fit.errors[row['engine']]):.3g}"
    return rows


def _recalled() -> dict[tuple[str, str, str], float]:
    """A's values by design, quantizer and quantity."""
    told = csv.DictReader((paths.reported() / "ardakani2019_hardware.csv").read_text().splitlines())
    return {(row["design"], row["quantizer"].partition("(")[0], row["quantity"]): float(row["value"]) for row in told}


def _steps() -> list[dict[str, object]]:
    rows, recalled = [], _recalled()
    for name, design in ENGINES.items():
        machine = accelerator.build(name)
        built = cost.area(machine, CHARACTERS)
        step = scaling.step("area", scaling.of("sg13g2"), Process(machine.node_nm, math.nan)).times(1e-6)
        logic, whole = step.times(built.lanes_um2 + built.unit_um2), step.times(built.total_um2)
        area = recalled[(*design, "area_mm2")]
        rows.append(
            {
                "engine": name,
                "lanes": machine.lanes,
                "logic, 130 nm: mm²": f"{(built.lanes_um2 + built.unit_um2) / 1e6:.2f}",
                f"at {machine.node_nm:g} nm: mm²": _span(logic),
                "with weights": _span(whole),
                "A: mm² †": f"{area:g}",
                "A's † area would lie": f"{_place(area, logic)} the logic, {_place(area, whole)} that with weights",
            }
        )
    return rows


def _place(value: float, interval: Interval) -> str:
    """Where a value lies about an interval."""
    low, high = sorted(interval)
    return "below" if value < low else "above" if value > high else "within"


def _peers() -> list[dict[str, object]]:
    def energy(item: str) -> float:
        return technology.price("published", item, "energy").value

    def here(lane: str) -> Interval:
        each = (
            technology.price("synthesis", f"lane {lane}", f"energy_{kind}", "sg13g2")
            for kind in ("settled", "glitches")
        )
        return Interval(*(price.value for price in each))

    def like(base: str, small: str) -> str:
        ends = [a / b for a, b in zip(here(base), here(small), strict=True)]
        return _span(Interval(min(ends), max(ends)))

    add, multiply = energy("add 32 bits"), energy("multiply 8 bits")
    return [
        {
            "energy of": "8 bits over binary",
            "here": like("multiply(bits=8)", "binary"),
            "others": f"{energy('BrainTTA 8 bits') / energy('BrainTTA binary'):.1f}",
            "whose": "{cite}`molendijk2022braintta`, 22 nm, whole chip",
        },
        {
            "energy of": "ternary over binary",
            "here": like("ternary", "binary"),
            "others": f"{energy('BrainTTA ternary') / energy('BrainTTA binary'):.1f}",
            "whose": "{cite}`molendijk2022braintta`, 22 nm, whole chip",
        },
        {
            "energy of": "8 bits over binary",
            "here": like("multiply(bits=8)", "binary"),
            "others": f"{(add + multiply) / add:.1f}",
            "whose": "{cite}`horowitz2014computing`, 45 nm: multiply and add over add",
        },
    ]


def _span(interval: Interval) -> str:
    low, high = (f"{value:.1f}" for value in sorted(interval))
    return low if low == high else f"{low} to {high}"
