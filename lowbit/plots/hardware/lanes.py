"""What lanes cost: by library, by bits of a weight, and by part of their energy."""

import matplotlib.pyplot as plt

from lowbit.hardware import accelerator, lanes, libraries, technology
from lowbit.hardware.accelerator import Machine
from lowbit.onchip.pair import Pair
from lowbit.plots.style import BLUE, GREEN, INK, NARROW, PALE, RED, YELLOW, legend, log_axis, stack

LIBRARY = "sg13g2"  # of cells, where a figure has one alone
BASE = "multiply"  # the lane that others are compared with
FAMILIES = {  # titles and colors
    "multiply": ("12-bit weights", RED),
    "shift": ("powers of two", YELLOW),
    "ternary": ("ternary", GREEN),
    "binary": ("binary", BLUE),
}
COLORS = {"sg13g2": BLUE, "sky130": RED, "gf180": GREEN}
MARKERS = {"binary": "s", "ternary": "^", "shift": "D", "multiply(multiplier='array')": "x"}
ENERGIES = ("energy_settled", "energy_glitches")  # the least and the most
NEEDED = {"area_gates", *ENERGIES, "energy_vectorless", "energy_clock", "energy_flops"}
Ledger = dict[str, dict[str, float]]  # quantities by lane


def ledger(library: str, machine: Machine) -> Ledger:
    """The lanes of a machine's widths that a library has all prices of."""
    prices: Ledger = {}
    for row in technology.prices():
        if row.item.startswith("lane ") and row.library == library:
            built = accelerator.lane_machine(row.item.removeprefix("lane "))
            if accelerator.same_widths(built, machine):
                prices.setdefault(built.lane, {})[row.quantity] = row.value
    return {name: quantities for name, quantities in prices.items() if set(quantities) >= NEEDED}


def title(name: str) -> str:
    """A lane in words."""
    lane = lanes.build(name)
    bits = f", {lane.weight_bits} bits" if lane.title in ("multiply", "shift") else ""
    return lane.title + bits + (", array" if "array" in name else "")


def by_library(pair: Pair) -> plt.Figure:
    """Area and energy of each lane on each library; the pair's is set in bold."""
    tables = {name: table for name in libraries.catalogue() if (table := ledger(name, pair.accelerator))}
    first = next(iter(tables.values()))
    names = sorted(first, key=lambda name: first[name]["area_gates"])
    figure, (area_ax, energy_ax) = plt.subplots(1, 2, figsize=(NARROW, 1.3 + 0.29 * len(names)), sharey=True)
    for place, (library, table) in enumerate(tables.items()):
        shift = 0.22 * (place - (len(tables) - 1) / 2)
        rows = {y + shift: table[name] for y, name in enumerate(names) if name in table}
        color, node = COLORS.get(library, INK), libraries.build(library)
        label = f"{library}, {node.node_nm} nm, {node.voltage_v:g} V"
        area_ax.plot([row["area_gates"] for row in rows.values()], list(rows), "o", color=color, ms=4, label=label)
        for y, row in rows.items():
            energy_ax.plot([row[kind] for kind in ENERGIES], [y, y], "|-", color=color, lw=2.5, ms=5)
        energy_ax.plot([row["energy_vectorless"] for row in rows.values()], list(rows), "x", color=color, ms=4)
    energy_ax.plot([], [], "x", color=INK, ms=4, label="without operands")
    area_ax.set_yticks(range(len(names)), [title(name) for name in names])
    for tick, name in zip(area_ax.get_yticklabels(), names, strict=True):
        tick.set_weight("bold" if name == pair.lane else "normal")
    area_ax.set(xlabel="area, NAND2", xlim=(0, None))
    energy_ax.set(xlabel="energy per cycle, pJ")
    log_axis(energy_ax.xaxis, subs=(1, 3))
    legend(figure)
    return figure


def by_bits(pair: Pair) -> plt.Figure:
    """Area and energy against the bits of a weight: multipliers as lines, lanes that only add as marks."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(NARROW, 4.8), sharex=True)
    for library in libraries.catalogue():
        table = ledger(library, pair.accelerator)
        if not table:
            continue
        color, unit = COLORS.get(library, INK), table["binary"]["energy_settled"]
        kinds = {name: lanes.build(name) for name in table}
        booth = [name for name, lane in kinds.items() if lane.title == "multiply" and lane.multiplier == "booth"]
        booth.sort(key=lambda name: kinds[name].weight_bits)
        bits = [kinds[name].weight_bits for name in booth]
        least, most = ([table[name][kind] / unit for name in booth] for kind in ENERGIES)
        top.plot(bits, [table[name]["area_gates"] for name in booth], ".-", color=color, label=library)
        bottom.fill_between(bits, least, most, color=color, alpha=0.2, lw=0)
        bottom.plot(bits, most, ".-", color=color, lw=1)
        for name, marker in MARKERS.items():
            if name in table:
                bit, ends = kinds[name].weight_bits, [table[name][kind] / unit for kind in ENERGIES]
                top.plot(bit, table[name]["area_gates"], marker, color=color, ms=6)
                bottom.plot([bit, bit], ends, color=color, lw=1.5)
                bottom.plot(bit, ends[1], marker, color=color, ms=6)
    for label, marker in zip(("binary", "ternary", "powers of two", "array, not Booth"), MARKERS.values(), strict=True):
        top.plot([], [], marker, color=INK, label=label)
    top.set(ylabel="area, NAND2", ylim=(0, None))
    bottom.set(xlabel="bits of a weight", ylabel="energy over binary", ylim=(0, None))
    bottom.set_xticks([1, 2, 3, 4, 6, 8, 10, 12, 16])
    legend(figure)
    return figure


def split(pair: Pair) -> plt.Figure:
    """The energy of each lane by part; an interval of energies is from no glitches to all."""
    table = ledger(LIBRARY, pair.accelerator)
    names = sorted(table, key=lambda name: table[name]["energy_glitches"])
    figure, ax = plt.subplots(figsize=(NARROW, 1.2 + 0.26 * len(names)))
    for y, name in enumerate(names):
        clock, flops, settled, most, guess = (
            table[name][f"energy_{kind}"] for kind in ("clock", "flops", "settled", "glitches", "vectorless")
        )
        parts = {"clock": clock, "flip-flops": flops, "logic": settled - clock - flops, "glitches": most - settled}
        stack(ax, y, parts, (PALE, YELLOW, BLUE, RED), height=0.7)
        ax.plot(guess, y, "x", color=INK, ms=6, label="without operands")
    ax.set_yticks(range(len(names)), [title(name) for name in names])
    ax.set(xlabel=f"energy per cycle on {LIBRARY}, pJ")
    legend(figure)
    return figure
