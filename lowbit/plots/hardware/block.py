"""The engine as a diagram of a machine and the sizes that a network needs."""

import inspect

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from lowbit.hardware import cost, golden
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.program import PLANS
from lowbit.onchip.pair import Pair
from lowbit.plots.style import BLUE, FAINT, GREEN, INK, NARROW, PALE, YELLOW

GATES = {"lstm": "ifgo", "gru": "rzn", "rnn": "a"}
CELLS = {
    "lstm": r"$c' = f\,c + i\,g \qquad h' = o\,\tanh c'$",
    "gru": r"$n = \tanh(a + r\,b) \qquad h' = n + z\,(h - n)$",
    "rnn": r"$h' = \tanh a$",
}


def block(pair: Pair) -> plt.Figure:
    """Memories, lanes, shadow registers and the post-processing unit, each with its size."""
    machine, program, work = pair.accelerator, pair.program(), pair.work()
    gates, acts = PLANS[work.cell].gates, f"{machine.act_bits} bits"
    figure, ax = plt.subplots(figsize=(NARROW, 5.9))
    ax.set(xlim=(0, 100), ylim=(0, 110))
    ax.axis("off")
    beat = f"off chip, one in {machine.beat} cycles" if machine.off_chip_bits_per_s else "on chip, one per cycle"
    memory = f"{cost.words(machine, work):,} words of {machine.word_bits} bits\n{beat}"
    places = " or ".join(map(str, sorted({sweep.places for sweep in program.passes})))
    entries = len(golden.tables(machine)[0].entries)
    _box(ax, 2, 94, 60, 14, GREEN, memory, "weights")
    _box(ax, 70, 94, 28, 14, BLUE, f"2 × {work.hidden} of {acts}", "h")
    _lanes(ax, machine, GATES[work.cell])
    _box(ax, 2, 46, 72, 9, BLUE, f"shadow registers: {machine.lanes // gates} units, one leaves per cycle")
    _box(ax, 2, 31, 72, 9, YELLOW, rf"scale, offset, shift by {places}: $z = (a\,s + o) \gg p$")
    _box(ax, 2, 16, 72, 9, YELLOW, rf"tables of {entries:,} points: $\sigma$ up to 8, $\tanh$ up to 4")
    _box(ax, 2, 1, 72, 9, YELLOW, CELLS[work.cell])
    _box(ax, 80, 31, 18, 9, PALE, f"{gates * work.hidden} × {machine.scale_bits} bits\nand offsets")
    if work.cell == "lstm":
        _box(ax, 80, 16, 18, 9, PALE, f"c: {work.hidden}\n× {machine.wide.bits} bits")
        _arrow(ax, (80, 18), (77, 18), (77, 7), (74.5, 7))
    _arrow(ax, (32, 94), (32, 86.5))
    ax.text(33.5, 89, f"{machine.word_bits} bits", size=7.5, color=INK, va="center")
    _arrow(ax, (84, 94), (84, 74), (74.5, 74))
    ax.text(85.5, 80, f"{acts}\nto all lanes", size=7.5, color=INK, va="center")
    for top, bottom in ((61, 55.5), (46, 40.5), (31, 25.5), (16, 10.5)):
        _arrow(ax, (38, top), (38, bottom))
    _arrow(ax, (80, 35.5), (74.5, 35.5))
    _arrow(ax, (74, 3), (99.3, 3), (99.3, 101), (98.5, 101))
    ax.text(76, 0, "a unit per cycle", size=7.5, color=INK, va="top")
    return figure


def _lanes(ax: plt.Axes, machine: Machine, gates: str) -> None:
    _box(ax, 2, 61, 72, 25, FAINT)
    action = inspect.getdoc(type(machine.arithmetic)).partition(":")[0].rstrip(".")
    centered = {"ha": "center", "va": "center"}
    ax.text(38, 82, f"{machine.lanes} lanes: each {action[0].lower()}{action[1:]}", size=8.5, **centered)
    names = [*(gates * 2)[: max(4, len(gates))], "…", *gates[-2:]]
    width = 66 / len(names)
    for place, gate in enumerate(names):
        start = 5 + place * width
        if gate == "…":
            ax.text(start + width / 2, 73, "…", size=12, **centered)
            continue
        _patch(ax, start + 0.8, 68, width - 1.6, 10, rounding=1, fc=BLUE, ec="none")
        ax.text(start + width / 2, 73, f"${gate}$", color="white", size=10, **centered)
    ax.text(38, 64.5, f"a row per lane, sums of {machine.accumulator.bits} bits", size=8, **centered)


def _box(
    ax: plt.Axes, x: float, y: float, width: float, height: float, color: str, text: str = "", title: str = ""
) -> None:
    """A box with a text in its middle, below a title where there is one."""
    _patch(ax, x, y, width, height, rounding=1.5, fc=color, ec=INK, lw=0.6, alpha=0.35)
    size = 7.8 if title else 7.5 if width < 30 else 8.5
    middle, below = x + width / 2, y + (height - 4 * bool(title)) / 2
    ax.text(middle, y + height - 3.4, title, ha="center", va="center", weight="bold", size=9)
    ax.text(middle, below, text, ha="center", va="center", size=size, linespacing=1.25 if title else 1.2)


def _patch(ax: plt.Axes, x: float, y: float, width: float, height: float, rounding: float, **look) -> None:
    ax.add_patch(FancyBboxPatch((x, y), width, height, f"round,pad=0,rounding_size={rounding}", **look))


def _arrow(ax: plt.Axes, *points: tuple[float, float]) -> None:
    """A line through points that ends in an arrow."""
    ax.plot(*zip(*points[:-1], strict=True), color=INK, lw=1)
    look = {"arrowstyle": "-|>", "color": INK, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", points[-1], points[-2], arrowprops=look)
