"""The engine as a diagram, drawn from what the machine is and what the network needs."""

import inspect

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lowbit.hardware import cost, golden
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.program import PLANS
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware import FAINT, INK, LANES, PALE, UNIT, WEIGHTS, WIDTH

GATES = {"lstm": "ifgo", "gru": "rzn", "rnn": "a"}
CELLS = {
    "lstm": r"$c' = f\,c + i\,g \qquad h' = o\,\tanh c'$",
    "gru": r"$n = \tanh(a + r\,b) \qquad h' = n + z\,(h - n)$",
    "rnn": r"$h' = \tanh a$",
}


def block(pair: Pair) -> Figure:
    """Memories, lanes, shadow registers and the unit behind them, each with its size."""
    machine, program = pair.accelerator, pair.program()
    work = pair.work()
    figure, ax = plt.subplots(figsize=(WIDTH, 5.9))
    ax.set(xlim=(0, 100), ylim=(0, 110))
    ax.axis("off")
    ax.grid(False)
    words = cost.words(machine, work)
    source = (
        f"from outside, one in {machine.beat} cycles" if machine.off_chip_bits_per_s else "on the chip, one a cycle"
    )
    _box(ax, 2, 94, 60, 14, WEIGHTS, "weights", f"{words:,} words of {machine.word_bits} bits\n{source}")
    both = f"2 × {work.hidden} of {machine.act_bits} bits"
    _box(ax, 70, 94, 28, 14, LANES, "h", both)
    _lanes(ax, machine, GATES[work.cell])
    each = machine.lanes // PLANS[work.cell].gates
    _box(ax, 2, 46, 72, 9, LANES, "", f"shadow registers: {each} units, one leaves each cycle")
    places = sorted({sweep.places for sweep in program.passes})
    shift = " or ".join(map(str, places))
    _box(ax, 2, 31, 72, 9, UNIT, "", rf"scale, offset, shift by {shift}: $z = (a\,s + o) \gg p$")
    entries = len(golden.tables(machine)[0].entries)
    _box(ax, 2, 16, 72, 9, UNIT, "", rf"tables of {entries:,} points: $\sigma$ up to 8, $\tanh$ up to 4")
    _box(ax, 2, 1, 72, 9, UNIT, "", CELLS[work.cell])
    rows = PLANS[work.cell].gates * work.hidden
    _box(ax, 80, 31, 18, 9, PALE, "", f"{rows} × {machine.scale_bits} bits\nand offsets")
    if work.cell == "lstm":
        _box(ax, 80, 16, 18, 9, PALE, "", f"c: {work.hidden}\n× {machine.wide.bits} bits")
        _line(ax, [(80, 18), (77, 18), (77, 7), (74.5, 7)])
    _line(ax, [(32, 94), (32, 86.5)], f"{machine.word_bits} bits", (33.5, 89))
    _line(ax, [(84, 94), (84, 74), (74.5, 74)], f"{machine.act_bits} bits\nto all lanes", (85.5, 80))
    for top, bottom in ((61, 55.5), (46, 40.5), (31, 25.5), (16, 10.5)):
        _line(ax, [(38, top), (38, bottom)])
    _line(ax, [(80, 35.5), (74.5, 35.5)])
    _line(ax, [(74, 3), (99.3, 3), (99.3, 101), (98.5, 101)])
    ax.text(76, 0, "a unit a cycle", size=7.5, color=INK, va="top")
    return figure


def _lanes(ax: Axes, machine: Machine, gates: str) -> None:
    _box(ax, 2, 61, 72, 25, FAINT, "", "")
    doing = inspect.getdoc(type(machine.arithmetic)).partition(":")[0].rstrip(".")
    ax.text(38, 82, f"{machine.lanes} lanes: each {doing[0].lower()}{doing[1:]}", ha="center", va="center", size=8.5)
    shown = [*(gates * 2)[: max(4, len(gates))], "…", *gates[-2:]]
    width = 66 / len(shown)
    for place, gate in enumerate(shown):
        left = 5 + place * width
        if gate == "…":
            ax.text(left + width / 2, 73, "…", ha="center", va="center", size=12)
            continue
        ax.add_patch(
            FancyBboxPatch((left + 0.8, 68), width - 1.6, 10, "round,pad=0,rounding_size=1", fc=LANES, ec="none")
        )
        ax.text(left + width / 2, 73, f"${gate}$", ha="center", va="center", color="white", size=10)
    ax.text(38, 64.5, f"a row a lane, sums of {machine.accumulator.bits} bits", ha="center", va="center", size=8)


def _box(ax: Axes, x: float, y: float, wide: float, high: float, color: str, title: str, text: str) -> None:
    ax.add_patch(
        FancyBboxPatch((x, y), wide, high, "round,pad=0,rounding_size=1.5", fc=color, ec=INK, lw=0.6, alpha=0.35)
    )
    middle = x + wide / 2
    if title:
        ax.text(middle, y + high - 3.4, title, ha="center", va="center", weight="bold", size=9)
        ax.text(middle, y + (high - 4) / 2, text, ha="center", va="center", size=7.8, linespacing=1.25)
    else:
        ax.text(middle, y + high / 2, text, ha="center", va="center", size=7.5 if wide < 30 else 8.5)


def _line(ax: Axes, points: list[tuple[float, float]], text: str = "", at: tuple[float, float] = (0, 0)) -> None:
    """A line through points that ends in an arrow."""
    ax.plot(*zip(*points[:-1], strict=True), color=INK, lw=1)
    ax.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    )
    ax.text(*at, text, size=7.5, color=INK, va="center")
