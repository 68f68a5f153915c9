"""What the engine does in each cycle while the network reads its own output."""

import dataclasses
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from lowbit.hardware import accelerator, cycles, cyclesim
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.cyclesim import Run
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    NARROW,
    PALE,
    PURPLE,
    RED,
    YELLOW,
    label_rows,
    legend,
    log_axis,
    stack,
)

EVENTS = {  # of a trace: title and color
    "word": ("lanes add", BLUE),
    "starved": ("lanes wait for a word", RED),
    "blocked": ("lanes wait for the unit", PURPLE),
    "transfer": ("sums move", INK),
    "drain": ("units leave", YELLOW),
    "write": ("outputs come", GREEN),
}
CLOSE = 96  # cycles that are shown one by one
UNITS = (64, 512, 2048)
STEPPED = (16, 24, 48, 64, 100, 160, 256, 400)


class Trace(NamedTuple):
    """The simulated second step of a network, after one that fills the registers."""

    pair: Pair
    run: Run
    first: int  # cycle of the step
    cycles: int


def trace(pair: Pair) -> Trace:
    """Simulates two steps cycle by cycle."""
    program, work = pair.program(), pair.work()
    first, both = (cycles.count(program.machine, work, steps).cycles for steps in (1, 2))
    return Trace(pair, cyclesim.simulate(program, pair.generated(2), watched=both), first, both - first)


def timeline(step: Trace) -> plt.Figure:
    """A whole step as two ribbons, and its first change of groups cycle by cycle."""
    count = step.cycles
    flags = {name: step.run.trace.when(name)[step.first : step.first + count] for name in EVENTS}
    figure, (whole, close) = plt.subplots(2, 1, figsize=(NARROW, 3.9), height_ratios=(1, 2.2))
    lanes, unit = np.zeros(count, int), np.zeros(count, int)
    for number, name in enumerate(EVENTS, start=1):
        ribbon = lanes if name in ("word", "starved", "blocked") else unit
        ribbon[flags[name]] = number
    colors = ListedColormap(["white", *(color for _, color in EVENTS.values())])
    whole.pcolormesh(np.stack((unit, lanes)), cmap=colors, vmin=0, vmax=len(EVENTS), rasterized=True)
    whole.set_yticks((0.5, 1.5), ("post-processing", "lanes"))
    whole.set_title(f"a step in a stream: {count:,} cycles", size=9)
    middle = int(np.flatnonzero(flags["transfer"])[1])
    origin = max(0, min(middle - 24, count - CLOSE))
    whole.axvspan(origin, origin + CLOSE, fc="none", ec=INK, lw=1.2)
    _events(close, flags, origin)
    for ax in (whole, close):
        ax.grid(False)
        ax.set_xlabel("cycle of the step")
    return figure


def _events(ax: plt.Axes, flags: dict[str, np.ndarray], origin: int) -> None:
    names = [name for name in reversed(EVENTS) if flags[name].any()]
    for y, name in enumerate(names):
        starts = origin + np.flatnonzero(flags[name][origin : origin + CLOSE])
        ax.broken_barh([(start + 0.08, 0.84) for start in starts], (y + 0.14, 0.72), color=EVENTS[name][1], lw=0)
        ax.axhline(y, color=FAINT, lw=0.8)
    ax.set_yticks(np.arange(len(names)) + 0.5, [EVENTS[name][0] for name in names])
    ax.set(xlim=(origin, origin + CLOSE), ylim=(0, len(names)))
    ax.set_title(f"the {CLOSE} cycles in the frame", size=9)


def sums(step: Trace) -> plt.Figure:
    """The value of every accumulator in every cycle of a step, in units of the activations."""
    values = step.run.trace.sums[step.first : step.first + step.cycles].T / step.pair.accelerator.activation.one
    figure, ax = plt.subplots(figsize=(NARROW, 2.9))
    top = max(1e-3, float(np.quantile(np.abs(values), 0.99)))
    mesh = ax.pcolormesh(values, cmap="RdBu_r", vmin=-top, vmax=top, rasterized=True)
    ax.set(xlabel="cycle of the step", ylabel="lane")
    ax.grid(False)
    figure.colorbar(mesh, ax=ax, label="sum", aspect=30, extend="both")
    return figure


def carriers(pair: Pair) -> dict[str, Machine]:
    """The machine, and all others with the same lanes or with more of them or fewer."""
    same = {name: machine for name, machine in accelerator.catalogue().items() if machine.lane == pair.accelerator.lane}
    return {pair.machine: pair.accelerator} | same


def occupancy(pair: Pair, steps: int = 12) -> plt.Figure:
    """Shares of the cycles of all lanes, by the cycle model, for every machine with such lanes."""
    text, rows = pair.generated(steps), {}
    for name, machine in carriers(pair).items():
        run = cyclesim.simulate(pair.program(machine), text)
        counts, lanes = run.counts, machine.lanes
        parts = {
            "adds": counts.used - run.skipped,
            "skips a zero weight": run.skipped,
            "has no row": counts.words * lanes - counts.used,
            "waits for a word": counts.starved * lanes,
            "waits for the unit": counts.blocked * lanes,
        }
        parts["start and end of a step"] = counts.cycles * lanes - sum(parts.values())
        rows[name] = {part: 100 * value / (counts.cycles * lanes) for part, value in parts.items()}
    colors = {BLUE: "w", "#9cc3e6": INK, PALE: INK, RED: "w", PURPLE: "w", FAINT: INK}  # of bars and of numbers in them
    figure, ax = plt.subplots(figsize=(NARROW, 1.5 + 0.42 * len(rows)))
    for y, parts in enumerate(rows.values()):
        for bar, color in zip(stack(ax, y, parts, colors, height=0.66), colors.values(), strict=True):
            ax.bar_label(
                bar, fmt=lambda share: f"{share:.0f}" if share > 7 else "", label_type="center", size=8, color=color
            )
    label_rows(ax, list(rows))
    ax.set(xlabel="share of the cycles of all lanes, %", xlim=(0, 100))
    ax.grid(False)
    legend(figure)
    return figure


def utilisation(pair: Pair, findings: Findings) -> plt.Figure:
    """Lane utilization against lanes: closed form, cycle model, and RTL in a simulator."""
    machine, work, text = pair.accelerator, pair.work(), pair.generated(2)
    lanes = np.unique([*np.geomspace(8, 4096, 140).astype(int), *STEPPED, machine.lanes])
    figure, ax = plt.subplots(figsize=(NARROW, 3.4))
    variants = {int(count): dataclasses.replace(machine, lanes=int(count)) for count in lanes}
    shades = {work._replace(hidden=hidden): shade for hidden, shade in zip(UNITS, (0.25, 0.5, 0.75), strict=True)}
    for layer, shade in shades.items():
        shares = [100 * cycles.utilisation(variant, layer) for variant in variants.values()]
        ax.plot(lanes, shares, color=INK, alpha=shade, lw=0.9, label=f"{layer.hidden:,} units")
    shares = [100 * cycles.utilisation(variant, work) for variant in variants.values()]
    ax.plot(lanes, shares, color=BLUE, lw=1.8, label=f"{work.hidden}, this network")
    stepped = {}
    for count in sorted({*STEPPED, machine.lanes}):
        counts = cyclesim.simulate(pair.program(variants[count]), text[:1]).counts
        stepped[count] = 100 * counts.used / (counts.cycles * count)
    ax.plot(list(stepped), list(stepped.values()), "o", color=BLUE, ms=5, label="cycle model")
    simulated = [(row["lanes"], 100 * _share(row, work)) for row in findings.hardware]
    if simulated:
        look = {"mfc": "none", "mec": RED, "mew": 1.5, "ms": 10}
        ax.plot(*zip(*simulated, strict=True), "s", label="RTL, simulated", **look)
    ax.axvline(machine.lanes, color=INK, lw=0.8, ls=":")
    log_axis(ax.xaxis, ticks=[8, 32, 128, 512, 2048])
    ax.set(xlabel="lanes", ylabel="lane utilization, %", ylim=(0, 102))
    legend(figure)
    return figure


def _share(row: dict, work: Workload) -> float:
    """Lane utilization as a fraction, from the cycles that a simulator of the RTL took."""
    rows = work.weights // (work.planes[0] * work.inputs + work.planes[1] * work.hidden)
    return row["steps"] * rows * sum(work.lengths) / (row["cycles"] * row["lanes"])
