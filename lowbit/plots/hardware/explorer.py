"""A piece of HTML that looks prices up in the reader's browser: every number in it was computed here."""

import dataclasses
import json

from IPython.display import HTML

from lowbit import paths
from lowbit.hardware import cost, cycles
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware.chip import BASE, NAMES
from lowbit.plots.hardware.gates import ledger, named

LANES = (16, 32, 64, 100, 256, 512)
HIDDEN = (64, 128, 192, 256, 512, 1024)


def explorer(pair: Pair, library: str = "sg13g2") -> HTML:
    """Lanes, their number and units to choose from; it loads nothing and computes ratios alone."""
    text = (paths.notebooks() / "explorer.html").read_text()
    data = json.dumps(told(pair, library), separators=(",", ":"))
    return HTML(text.replace("ID", f"explorer-{pair.key}").replace("DATA", data))


def told(pair: Pair, library: str = "sg13g2") -> dict:
    """What the browser is handed: the choices, where they stand first, and a row for each of their combinations."""
    machine, work = pair.accelerator, pair.work()
    kinds = sorted(ledger(library, machine), key=lambda name: cost.lane(like(machine, name, 4), "area", library))
    lanes, hidden = (sorted({*known, own}) for known, own in ((LANES, machine.lanes), (HIDDEN, work.hidden)))
    each = {
        (k, n, h): row(like(machine, k, n), work._replace(hidden=h), library)
        for k in kinds
        for n in lanes
        for h in hidden
    }
    depth = f"sums exact up to {machine.depth:,} additions"
    return {
        "axes": {
            "lane": [[name, NAMES.get(name, named(name))] for name in kinds],
            "lanes": [[count, f"{count:,}"] for count in lanes],
            "hidden": [[units, f"{units:,}"] for units in hidden],
        },
        "first": {
            "lane": pair.lane if pair.lane in kinds else BASE,
            "lanes": machine.lanes,
            "hidden": work.hidden,
        },
        "base": BASE,
        "columns": list(next(iter(each.values()))),
        "rows": {"|".join(map(str, key)): list(value.values()) for key, value in each.items()},
        "note": f"{work.cell.upper()} that reads {work.inputs} symbols; activations of {machine.act_bits} bits, "
        f"{depth}; cells and macros of {library}, weights on the chip.",
    }


def row(machine: Machine, work: Workload, library: str) -> dict[str, float | str]:
    """What one combination costs, by the closed forms and the prices of the ledger."""
    count, area = cycles.count(machine, work, 1), cost.area(machine, work, library)
    spent, bank = cost.energy(machine, work, library).total_pj, cost.weights(machine, work)
    return {
        "cycles": count.cycles,
        "steps_per_s": round(machine.clock_hz / count.cycles),
        "used_percent": round(100 * cycles.utilisation(machine, work), 1),
        "lanes_mm2": round(area.lanes_um2 / 1e6, 5),
        "unit_mm2": round(area.unit_um2 / 1e6, 5),
        "weights_mm2": round(area.weights_um2 / 1e6, 5),
        "least_nj": round(spent.low / 1e3, 2),
        "most_nj": round(spent.high / 1e3, 2),
        "memory": f"{bank.wide * bank.deep:,} × {bank.macro.words:,} × {bank.macro.bits} bits",
    }


def like(machine: Machine, lane: str, lanes: int) -> Machine:
    """The machine with other lanes and so many, its weights on the chip."""
    return dataclasses.replace(machine, lane=lane, lanes=lanes, off_chip_bits_per_s=0)
