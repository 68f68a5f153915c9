"""What lanes cost, out of the ledger: by library, by bits of a weight, and where their energy goes."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowbit.hardware import accelerator, lanes, libraries, technology
from lowbit.hardware.accelerator import Machine
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware import INK, LANES, PALE, UNIT, WAIT, WEIGHTS, WIDTH, plain

COLORS = {"sg13g2": LANES, "sky130": WAIT, "gf180": WEIGHTS}
NEEDED = {"area_gates", *(f"energy_{kind}" for kind in ("settled", "glitches", "vectorless", "clock", "flops"))}
Ledger = dict[str, dict[str, float]]  # quantities by lane


def ledger(library: str, machine: Machine) -> Ledger:
    """The lanes of a machine's widths that a library has all prices of."""
    found: Ledger = {}
    for row in technology.prices():
        if row.item.startswith("lane ") and row.library == library:
            built = accelerator.lane_machine(row.item.removeprefix("lane "))
            if accelerator.same_widths(built, machine):
                found.setdefault(built.lane, {})[row.quantity] = row.value
    return {name: told for name, told in found.items() if set(told) >= NEEDED}


def named(name: str) -> str:
    """A lane in words."""
    lane = lanes.build(name)
    told = {"multiply": f"multiply, {lane.weight_bits} bits", "shift": f"shift, {lane.weight_bits} bits"}
    return told.get(lane.title, lane.title) + (", array" if "array" in name else "")


def by_library(pair: Pair) -> Figure:
    """Area and energy of each lane on each library; the pair's is set in bold."""
    tables = {name: told for name in libraries.catalogue() if (told := ledger(name, pair.accelerator))}
    first = next(iter(tables.values()))
    names = sorted(first, key=lambda name: first[name]["area_gates"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.3 + 0.29 * len(names)), sharey=True)
    for place, (library, told) in enumerate(tables.items()):
        rows = [
            (y + 0.22 * (place - (len(tables) - 1) / 2), told[name]) for y, name in enumerate(names) if name in told
        ]
        color, node = COLORS.get(library, INK), libraries.build(library)
        label = f"{library}, {node.node_nm} nm, {node.voltage_v:g} V"
        left.plot([each["area_gates"] for _, each in rows], [y for y, _ in rows], "o", color=color, ms=4, label=label)
        for y, each in rows:
            right.plot([each["energy_settled"], each["energy_glitches"]], [y, y], "|-", color=color, lw=2.5, ms=5)
        right.plot([each["energy_vectorless"] for _, each in rows], [y for y, _ in rows], "x", color=color, ms=4)
    right.plot([], [], "x", color=INK, ms=4, label="without operands")
    left.set_yticks(range(len(names)), [named(name) for name in names])
    for tick, name in zip(left.get_yticklabels(), names, strict=True):
        tick.set_weight("bold" if name == pair.lane else "normal")
    left.set(xlabel="area, NAND2", xlim=(0, None))
    right.set(xlabel="energy a cycle, pJ")
    right.set_xscale("log")
    plain(right.xaxis, (1.0, 3.0))
    figure.legend(loc="outside upper center", ncols=1 if len(tables) > 2 else 2, fontsize=8)
    return figure


def by_bits(pair: Pair) -> Figure:
    """Area and energy against the bits of a weight: multipliers as lines, lanes that only add as marks."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True)
    for library in libraries.catalogue():
        told = ledger(library, pair.accelerator)
        if not told:
            continue
        color, base = COLORS.get(library, INK), told["binary"]
        each = {name: (lanes.build(name), row) for name, row in told.items()}
        lines = sorted(
            (lane.weight_bits, row)
            for lane, row in each.values()
            if lane.title == "multiply" and lane.multiplier == "booth"
        )
        bits = [bit for bit, _ in lines]
        top.plot(bits, [row["area_gates"] for _, row in lines], ".-", color=color, label=library)
        ends = [
            [row[f"energy_{kind}"] / base["energy_settled"] for _, row in lines] for kind in ("settled", "glitches")
        ]
        bottom.fill_between(bits, *ends, color=color, alpha=0.2, lw=0)
        bottom.plot(bits, ends[1], ".-", color=color, lw=1)
        for name, marker in (("binary", "s"), ("ternary", "^"), ("shift", "D"), ("multiply(multiplier='array')", "x")):
            if name in each:
                lane, row = each[name]
                look = {"color": color, "ms": 6, "ls": "", "marker": marker}
                top.plot(lane.weight_bits, row["area_gates"], **look)
                span = [row[f"energy_{kind}"] / base["energy_settled"] for kind in ("settled", "glitches")]
                bottom.plot([lane.weight_bits] * 2, span, color=color, lw=1.5)
                bottom.plot(lane.weight_bits, span[1], **look)
    for name, marker in (("binary", "s"), ("ternary", "^"), ("powers of two", "D"), ("array instead of Booth", "x")):
        top.plot([], [], marker, color=INK, label=name)
    top.set(ylabel="area, NAND2", ylim=(0, None))
    bottom.set(xlabel="bits of a weight", ylabel="energy, times binary", ylim=(0, None))
    bottom.set_xticks([1, 2, 3, 4, 6, 8, 10, 12, 16])
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def split(pair: Pair, library: str = "sg13g2") -> Figure:
    """Where the energy of each lane goes; glitches are what the interval of energies is of."""
    told = ledger(library, pair.accelerator)
    names = sorted(told, key=lambda name: told[name]["energy_glitches"])
    figure, ax = plt.subplots(figsize=(WIDTH, 1.2 + 0.26 * len(names)))
    for y, name in enumerate(names):
        row, left = told[name], 0.0
        logic = row["energy_settled"] - row["energy_clock"] - row["energy_flops"]
        parts = {"clock": row["energy_clock"], "flip-flops": row["energy_flops"], "logic": logic}
        parts["glitches"] = row["energy_glitches"] - row["energy_settled"]
        for (part, value), color in zip(parts.items(), (PALE, UNIT, LANES, WAIT), strict=True):
            ax.barh(y, value, left=left, color=color, height=0.7, label=part if y == 0 else None)
            left += value
        ax.plot(row["energy_vectorless"], y, "x", color=INK, ms=6, label="without operands" if y == 0 else None)
    ax.set_yticks(range(len(names)), [named(name) for name in names])
    ax.set(xlabel=f"energy a cycle on {library}, pJ")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return figure
