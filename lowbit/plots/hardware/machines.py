"""The tables of the chapter on hardware: machines, lanes, where a ratio comes from, and what others report."""

import csv
import math

from lowbit import paths
from lowbit.hardware import accelerator, cost, cycles, scaling, technology
from lowbit.hardware.cycles import Workload
from lowbit.plots.markdown import span

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
PEERS = (  # dearer lane over cheaper lane, and the ratio of others by items of the ledger, with its source
    ("8 bits over binary", "multiply(bits=8)", ("BrainTTA 8 bits",), "BrainTTA binary", "braintta"),
    ("ternary over binary", "ternary", ("BrainTTA ternary",), "BrainTTA binary", "braintta"),
    ("8 bits over binary", "multiply(bits=8)", ("add 32 bits", "multiply 8 bits"), "add 32 bits", "horowitz"),
)
SOURCES = {
    "braintta": "{cite}`molendijk2022braintta`, 22 nm, whole chip",
    "horowitz": "{cite}`horowitz2014computing`, 45 nm: multiply and add over add",
}


def tables() -> dict[str, list[dict]]:
    """The rows of every table by name; they depend on committed tables and on code alone."""
    return {
        "machines": [_machine(name) for name in accelerator.catalogue()],
        "lanes": _lanes(),
        "waterfall": _waterfall(),
        "engines": _engines(),
        "peers": _peers(),
        "steps": _steps(),
    }


def _machine(name: str) -> dict[str, object]:
    machine, work = accelerator.build(name), CHARACTERS
    counts = cycles.count(machine, work, 1)
    return {
        "machine": name,
        "lanes": machine.lanes,
        "lane": machine.lane,
        "bits of h": machine.act_bits,
        "bits of a sum": machine.accumulator.bits,
        "bits of a word": machine.word_bits,
        "cycles per step": f"{counts.cycles:,}",
        "waiting": f"{100 * (counts.starved + counts.blocked) / counts.cycles:.0f} %",
        "lane utilization": f"{100 * cycles.utilisation(machine, work):.0f} %",
        "steps per second": f"{machine.clock_hz / counts.cycles:,.0f}",
    }


def _lanes() -> list[dict[str, object]]:
    """The lanes of the widths of A's machines, the largest first."""
    full, values = accelerator.build("full"), {}
    for price in technology.prices():
        item, _, lane = price.item.partition(" ")
        if (
            item == "lane"
            and price.library in LIBRARIES
            and accelerator.same_widths(accelerator.lane_machine(lane), full)
        ):
            values.setdefault(lane, {})[price.library, price.quantity] = price.value
    rows = []
    for lane, prices in sorted(values.items(), key=lambda entry: -entry[1]["sg13g2", "area"]):
        row: dict[str, object] = {"lane": lane}
        for library in LIBRARIES:
            ends = (prices[library, "energy_settled"], prices[library, "energy_glitches"])
            row[f"{library}: NAND2"] = f"{prices[library, 'area_gates']:,.0f}"
            row[f"{library}: pJ per cycle"] = span(ends, ".1f")
        rows.append(row)
    return rows


def _waterfall() -> list[dict[str, object]]:
    works = [Workload("lstm", 50, hidden) for hidden in UNITS]
    booth, array = accelerator.build("full"), accelerator.build("full(lane=\"multiply(multiplier='array')\")")
    rows: dict[str, dict[str, object]] = {}
    for name in ("binary", "ternary"):
        small = accelerator.build(name)
        for one, other in zip(*(cost.waterfall(full, small, works) for full in (booth, array)), strict=True):
            row = rows.setdefault(one.name, {"part": one.name})
            row[f"area over {name}"] = span((one.area, other.area), ".1f")
            row[f"energy over {name}"] = span(one.energy, ".1f")
    return list(rows.values())


def _engines() -> list[dict[str, object]]:
    values = _recalled()
    machines = {name: accelerator.build(name) for name in ENGINES}
    rows = {name: {"engine": name, "lanes": machine.lanes} for name, machine in machines.items()}
    for quantity, ours, unit in (("area_mm2", "area", "mm²"), ("power_mw", "energy_glitches", "mW")):
        reported = {name: values[(*design, quantity)] for name, design in ENGINES.items()}
        fit = cost.storage_fit(reported, machines, ours)
        for name, value in reported.items():
            rows[name][f"A: {unit} †"] = f"{value:g}"
            rows[name][f"fitted: {unit}"] = f"{value * (1 + fit.errors[name]):.3g}"
    return list(rows.values())


def _recalled() -> dict[tuple[str, str, str], float]:
    """A's values by design, quantizer and quantity."""
    rows = csv.DictReader((paths.reported() / "ardakani2019_hardware.csv").read_text().splitlines())
    return {(row["design"], row["quantizer"].partition("(")[0], row["quantity"]): float(row["value"]) for row in rows}


def _steps() -> list[dict[str, object]]:
    rows, recalled = [], _recalled()
    for name, design in ENGINES.items():
        machine = accelerator.build(name)
        built = cost.area(machine, CHARACTERS)
        synthesized = built.lanes_um2 + built.unit_um2
        step = scaling.step("area", scaling.of("sg13g2"), scaling.Process(machine.node_nm, math.nan)).times(1e-6)
        logic, whole = step.times(synthesized), step.times(built.total_um2)
        area = recalled[(*design, "area_mm2")]
        rows.append(
            {
                "engine": name,
                "lanes": machine.lanes,
                "logic, 130 nm: mm²": f"{synthesized / 1e6:.2f}",
                f"at {machine.node_nm:g} nm: mm²": span(logic, ".1f"),
                "with weights": span(whole, ".1f"),
                "A: mm² †": f"{area:g}",
                "position of A's area †": f"{_place(area, logic)} the logic, {_place(area, whole)} that with weights",
            }
        )
    return rows


def _place(value: float, interval: cost.Interval) -> str:
    """Where a value lies about an interval."""
    return "below" if value < min(interval) else "above" if value > max(interval) else "within"


def _peers() -> list[dict[str, object]]:
    def published(item: str) -> float:
        return technology.price("published", item, "energy").value

    def here(lane: str) -> list[float]:
        quantities = ("energy_settled", "energy_glitches")
        return [technology.price("synthesis", f"lane {lane}", quantity, "sg13g2").value for quantity in quantities]

    return [
        {
            "energy ratio": title,
            "here": span([full / small for full, small in zip(here(lane), here("binary"), strict=True)], ".1f"),
            "published": f"{sum(map(published, dear)) / published(cheap):.1f}",
            "source": SOURCES[source],
        }
        for title, lane, dear, cheap, source in PEERS
    ]
