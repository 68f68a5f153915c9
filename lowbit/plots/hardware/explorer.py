"""A piece of HTML that looks prices up in the reader's browser: every number in it was computed here."""

import dataclasses
import itertools
import json

from IPython.display import HTML

from lowbit import paths
from lowbit.hardware import cost, cycles
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware.lanes import BASE, FAMILIES, LIBRARY, ledger, title

LANES = (16, 32, 64, 100, 256, 512)
HIDDEN = (64, 128, 192, 256, 512, 1024)


def explorer(pair: Pair) -> HTML:
    """Lanes, their number and units to choose from; it loads nothing and computes ratios alone."""
    text = (paths.notebooks() / "explorer.html").read_text()
    return HTML(
        text.replace("ID", f"explorer-{pair.key}").replace("DATA", json.dumps(data(pair), separators=(",", ":")))
    )


def data(pair: Pair) -> dict:
    """What the browser gets: the choices, the first one of each, and a row for each of their combinations."""
    machine, work = pair.accelerator, pair.work()
    kinds = sorted(
        ledger(LIBRARY, machine), key=lambda name: cost.lane(dataclasses.replace(machine, lane=name), "area", LIBRARY)
    )
    lanes, hidden = sorted({*LANES, machine.lanes}), sorted({*HIDDEN, work.hidden})
    rows = {
        "|".join(map(str, key)): row(with_lanes(machine, *key[:2]), work._replace(hidden=key[2]))
        for key in itertools.product(kinds, lanes, hidden)
    }
    return {
        "axes": {
            "lane": [[name, FAMILIES[name][0] if name in FAMILIES else title(name)] for name in kinds],
            "lanes": [[count, f"{count:,}"] for count in lanes],
            "hidden": [[units, f"{units:,}"] for units in hidden],
        },
        "first": {
            "lane": pair.lane if pair.lane in kinds else BASE,
            "lanes": machine.lanes,
            "hidden": work.hidden,
        },
        "base": BASE,
        "columns": list(next(iter(rows.values()))),
        "rows": {key: list(values.values()) for key, values in rows.items()},
        "note": f"{work.cell.upper()} that reads {work.inputs} symbols; activations of {machine.act_bits} bits, sums "
        f"exact up to {machine.depth:,} additions; cells and macros of {LIBRARY}, weights on the chip.",
    }


def row(machine: Machine, work: Workload) -> dict[str, float | str]:
    """What one combination costs, by the closed forms and the prices of the ledger."""
    count, area = cycles.count(machine, work, 1), cost.area(machine, work, LIBRARY)
    energy, bank = cost.energy(machine, work, LIBRARY).total_pj, cost.weights(machine, work)
    return {
        "cycles": count.cycles,
        "steps_per_s": round(machine.clock_hz / count.cycles),
        "used_percent": round(100 * cycles.utilisation(machine, work), 1),
        "lanes_mm2": round(area.lanes_um2 / 1e6, 5),
        "unit_mm2": round(area.unit_um2 / 1e6, 5),
        "weights_mm2": round(area.weights_um2 / 1e6, 5),
        "least_nj": round(energy.low / 1e3, 2),
        "most_nj": round(energy.high / 1e3, 2),
        "memory": f"{bank.wide * bank.deep:,} × {bank.macro.words:,} × {bank.macro.bits} bits",
    }


def with_lanes(machine: Machine, lane: str, lanes: int) -> Machine:
    """The machine with other lanes, its weights in memory on the chip."""
    return dataclasses.replace(machine, lane=lane, lanes=lanes, off_chip_bits_per_s=0)
