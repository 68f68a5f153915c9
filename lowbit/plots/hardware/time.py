"""What the engine does in each cycle, watched while the network reads what it wrote itself."""

import dataclasses
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from lowbit.hardware import accelerator, cycles, cyclesim
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.cyclesim import Run
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.hardware import FAINT, INK, LANES, PALE, UNIT, WAIT, WEIGHTS, WIDTH

ROWS = {
    "word": ("lanes add", LANES),
    "starved": ("lanes wait for a word", WAIT),
    "blocked": ("lanes wait for the unit", "#8d6a9f"),
    "transfer": ("sums move", INK),
    "drain": ("units leave", UNIT),
    "write": ("outputs come", WEIGHTS),
}
CLOSE = 96  # cycles that are shown one by one
UNITS = (64, 512, 2048)
STEPPED = (16, 24, 48, 64, 100, 160, 256, 400)


class Watched(NamedTuple):
    """A network at work: its second step, after one that fills the registers."""

    pair: Pair
    run: Run
    first: int  # cycle of the step
    cycles: int


def watch(pair: Pair) -> Watched:
    """Two steps cycle by cycle."""
    program, work = pair.program(), pair.work()
    first, both = (cycles.count(program.machine, work, steps).cycles for steps in (1, 2))
    return Watched(pair, cyclesim.simulate(program, pair.generated(2), watched=both), first, both - first)


def timeline(watched: Watched) -> Figure:
    """A whole step as two ribbons, and its first change of groups cycle by cycle."""
    trace, first, taken = watched.run.trace, watched.first, watched.cycles
    flags = {name: trace.when(name)[first : first + taken] for name in ROWS}
    figure, (whole, close) = plt.subplots(2, 1, figsize=(WIDTH, 3.9), height_ratios=(1, 2.2))
    lanes, unit = np.zeros(taken, int), np.zeros(taken, int)
    for number, name in enumerate(ROWS, start=1):
        ribbon = lanes if name in ("word", "starved", "blocked") else unit
        ribbon[flags[name]] = number
    colors = ListedColormap(["white", *(color for _, color in ROWS.values())])
    whole.pcolormesh(np.stack((unit, lanes)), cmap=colors, vmin=0, vmax=len(ROWS), rasterized=True)
    whole.set_yticks((0.5, 1.5), ("unit behind", "lanes"))
    whole.set_title(f"a further step of a stream: {taken:,} cycles", size=9)
    middle = int(np.flatnonzero(flags["transfer"])[1])
    left = max(0, min(middle - 24, taken - CLOSE))
    whole.axvspan(left, left + CLOSE, fc="none", ec=INK, lw=1.2)
    _rows(close, flags, left)
    for ax in (whole, close):
        ax.grid(False)
        ax.set_xlabel("cycle of the step")
    return figure


def _rows(ax: Axes, flags: dict[str, np.ndarray], left: int) -> None:
    shown = [name for name in ROWS if flags[name].any()]
    for y, name in enumerate(reversed(shown)):
        happens = np.flatnonzero(flags[name][left : left + CLOSE])
        ax.broken_barh([(left + at + 0.08, 0.84) for at in happens], (y + 0.14, 0.72), color=ROWS[name][1], lw=0)
        ax.axhline(y, color=FAINT, lw=0.8)
    ax.set_yticks(np.arange(len(shown)) + 0.5, [ROWS[name][0] for name in reversed(shown)])
    ax.set(xlim=(left, left + CLOSE), ylim=(0, len(shown)))
    ax.set_title(f"the {CLOSE} cycles in the frame", size=9)


def sums(watched: Watched) -> Figure:
    """What every accumulator holds in every cycle of a step, in units of the activations."""
    machine = watched.pair.accelerator
    part = slice(watched.first, watched.first + watched.cycles)
    held = watched.run.trace.sums[part].T / machine.activation.one
    figure, ax = plt.subplots(figsize=(WIDTH, 2.9))
    top = max(1e-3, float(np.quantile(np.abs(held), 0.99)))
    drawn = ax.pcolormesh(held, cmap="RdBu_r", vmin=-top, vmax=top, rasterized=True)
    ax.set(xlabel="cycle of the step", ylabel="lane")
    ax.grid(False)
    figure.colorbar(drawn, ax=ax, label="sum", aspect=30, extend="both")
    return figure


def carriers(pair: Pair) -> dict[str, Machine]:
    """The machine, and all others with the same lanes or with more of them or fewer."""
    same = pair.accelerator.lane
    return {pair.machine: pair.accelerator} | {
        name: machine for name, machine in accelerator.catalogue().items() if machine.lane == same
    }


def occupancy(pair: Pair, steps: int = 12) -> Figure:
    """Where the lane-cycles go, on every machine with such lanes: stepped through, not computed."""
    text, rows = pair.generated(steps), {}
    for name, machine in carriers(pair).items():
        found = cyclesim.simulate(pair.program(machine), text)
        counts = found.counts
        spent = {
            "adds": counts.used - found.skipped,
            "skips a zero weight": found.skipped,
            "has no row": counts.words * machine.lanes - counts.used,
            "waits for a word": counts.starved * machine.lanes,
            "waits for the unit": counts.blocked * machine.lanes,
        }
        whole = counts.cycles * machine.lanes
        spent["start and end of a step"] = whole - sum(spent.values())
        rows[name] = {what: 100 * each / whole for what, each in spent.items()}
    colors = (LANES, "#9cc3e6", PALE, WAIT, "#8d6a9f", FAINT)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.5 + 0.42 * len(rows)))
    for y, spent in enumerate(rows.values()):
        left = 0.0
        for (what, share), color in zip(spent.items(), colors, strict=True):
            ax.barh(y, share, left=left, color=color, height=0.66, label=what if y == 0 else None)
            if share > 7:
                dark = color in (LANES, WAIT, "#8d6a9f")
                ax.text(
                    left + share / 2, y, f"{share:.0f}", ha="center", va="center", size=8, color="w" if dark else INK
                )
            left += share
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel="% of lane-cycles", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5))
    ax.grid(False)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def utilisation(pair: Pair, found: Findings | None) -> Figure:
    """The share of lane-cycles in use against lanes: closed form, stepped through, and hardware in a simulator."""
    machine, work, text = pair.accelerator, pair.work(), pair.generated(2)
    lanes = np.unique([*np.geomspace(8, 4096, 140).astype(int), *STEPPED, machine.lanes])
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))

    def share(count: int, of: Workload) -> float:
        return cycles.utilisation(dataclasses.replace(machine, lanes=int(count)), of)

    for shade, hidden in zip((0.25, 0.5, 0.75), UNITS, strict=True):
        shares = [share(count, work._replace(hidden=hidden)) for count in lanes]
        ax.plot(lanes, shares, color=INK, alpha=shade, lw=0.9, label=f"{hidden:,} units")
    ax.plot(lanes, [share(count, work) for count in lanes], color=LANES, lw=1.8, label=f"{work.hidden}, this network")
    stepped = []
    for count in sorted({*STEPPED, machine.lanes}):
        told = cyclesim.simulate(pair.program(dataclasses.replace(machine, lanes=count)), text[:1]).counts
        stepped.append((count, told.used / (told.cycles * count)))
    ax.plot(*zip(*stepped, strict=True), "o", color=LANES, ms=5, label="stepped through")
    dots = [(row["lanes"], _share(row, work)) for row in (found.hardware if found else ())]
    if dots:
        ax.plot(*zip(*dots, strict=True), "s", mfc="none", mec=WAIT, mew=1.5, ms=10, label="hardware, simulated")
    ax.axvline(machine.lanes, color=INK, lw=0.8, ls=":")
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks := [8, 32, 128, 512, 2048], ticks)
    ax.set(xlabel="lanes", ylabel="lane-cycles in use", ylim=(0, 1.02))
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _share(row: dict, work: Workload) -> float:
    """Additions over lane-cycles, with the cycles that a simulator of hardware took."""
    read = sum(work.lengths)
    rows = work.weights // (work.planes[0] * work.inputs + work.planes[1] * work.hidden)
    return row["steps"] * rows * read / (row["cycles"] * row["lanes"])
