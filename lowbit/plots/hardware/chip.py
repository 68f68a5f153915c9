"""What a network on a machine costs: where a ratio comes from, where memory jumps, and what a score takes."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lowbit import quantizers
from lowbit.hardware import accelerator, cost, cycles, memory
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cost import Interval
from lowbit.onchip.pair import Pair
from lowbit.plots.figures import nothing
from lowbit.plots.hardware import INK, LANES, PALE, UNIT, WAIT, WEIGHTS, WIDTH, plain
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.store import Record

BASE = "multiply"
ARRAY = "multiply(multiplier='array')"
FAMILIES = {"multiply": WAIT, "shift": UNIT, "ternary": WEIGHTS, "binary": LANES}
NAMES = {"multiply": "12-bit weights", "shift": "powers of two", "ternary": "ternary", "binary": "binary"}


def like(machine: Machine, lane: str) -> Machine:
    """The machine with other lanes."""
    return dataclasses.replace(machine, lane=lane)


def small(machine: Machine) -> list[str]:
    """Lanes that the one of 12-bit weights is compared with: the machine's own, or all of two values or three."""
    return ["ternary", "binary"] if machine.arithmetic.title == BASE else [machine.lane]


def waterfall(pair: Pair, library: str = "sg13g2") -> Figure:
    """How many times more the machine would need with 12-bit weights: its lane, its logic, and all of it."""
    machine, work = pair.accelerator, pair.work()
    chosen = small(machine)
    figure, axes = plt.subplots(2, len(chosen), figsize=(WIDTH, 4.2), sharex=True, sharey="row", squeeze=False)
    for column, lane in zip(axes.T, chosen, strict=True):
        told = [cost.waterfall(like(machine, base), like(machine, lane), [work], library) for base in (BASE, ARRAY)]
        names = ["lane", "logic", f"{work.hidden} units", "weights\nalone"]
        for ax, color, spans in (
            (column[0], WEIGHTS, [Interval(*sorted((a.area, b.area))) for a, b in zip(*told, strict=True)]),
            (column[1], LANES, [stage.energy for stage in told[0]]),
        ):
            for x, span in enumerate(spans):
                ax.bar(x, span.low, color=color, width=0.62)
                ax.bar(x, span.high - span.low, bottom=span.low, color=color, alpha=0.35, width=0.62)
                text = f"{span.low:.1f}" if span.high - span.low < 0.05 else f"{span.low:.1f}–{span.high:.1f}"
                ax.annotate(text, (x, span.high), (0, 3), textcoords="offset points", ha="center", size=8)
            ax.set_xticks(range(len(names)), names)
            ax.margins(y=0.15)
            ax.grid(False, axis="x")
        column[0].set_title(f"12-bit over {NAMES[machine.arithmetic.title if len(chosen) == 1 else lane]}", size=9)
    axes[0, 0].set_ylabel("area, times")
    axes[1, 0].set_ylabel("energy, times")
    return figure


def cliff(pair: Pair) -> Figure:
    """Macros of the weights against the size of the layer: area and energy for each bit of weight."""
    machine, work = pair.accelerator, pair.work()
    sizes = np.unique(np.geomspace(24, 2048, 160).astype(int))
    works = [work._replace(hidden=int(hidden)) for hidden in sizes]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.4), sharex=True)
    for lane in sorted(FAMILIES, key=lambda lane: lane == machine.arithmetic.title):
        each = like(machine, lane if lane != machine.arithmetic.title else machine.lane)
        own, bits = lane == machine.arithmetic.title, each.arithmetic.weight_bits
        found = [cost.weights(each, layer) for layer in works]
        areas = [bank.area_um2 / (layer.weights * bits) for bank, layer in zip(found, works, strict=True)]
        top.plot(sizes, areas, color=FAMILIES[lane], lw=2.2 if own else 0.9, label=NAMES[lane])
    color, word = FAMILIES[machine.arithmetic.title], machine.word_bits
    bottom.plot(sizes, [bank.read_pj / word for bank in found], ".", color=color, ms=5, label="the smallest memory")
    least = [min(bank.read_pj for bank in memory.banks(cost.words(machine, layer), word)) / word for layer in works]
    bottom.plot(sizes, least, color=INK, lw=1.2, label="the most frugal one")
    for ax in (top, bottom):
        ax.axvline(work.hidden, color=INK, lw=0.8, ls=":")
    top.set(ylabel="µm² a bit of weight")
    top.set_yscale("log")
    plain(top.yaxis)
    bottom.set(ylabel="pJ a bit that is read", xlabel="hidden units", ylim=(0, None))
    bottom.set_xscale("log", base=2)
    bottom.set_xticks(ticks := [32, 64, 128, 256, 512, 1024, 2048], ticks)
    bottom.legend(loc="upper left", fontsize=8)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


@dataclasses.dataclass(frozen=True)
class Point:
    """A trained run and what a character of it costs."""

    record: Record
    energy_nj: Interval
    lane: str

    @property
    def score(self) -> float:
        """As deployed."""
        return self.record.metrics["deployed"]


def points(pair: Pair) -> list[Point]:
    """Every committed record of the network's dataset and budget that the ledger has lanes for."""
    dataset, *_ = pair.network.partition("-")
    found = []
    for record in store.scan("cpu").records:
        if record.diverged or record.spec["dataset"] != dataset or record.spec["cell"] != pair.work().cell:
            continue
        quantizer = quantizers.build(record.spec["quantizer"])
        machine = accelerator.with_lane_for(pair.accelerator, quantizer)
        work = pair.work()._replace(hidden=record.recipe["hidden"], planes=_planes(quantizer))
        try:
            spent = cost.energy(machine, work).total_pj.times(1e-3)
        except InputError:  # a lane without a price
            continue
        found.append(Point(record, spent, machine.arithmetic.title))
    return found


def _planes(quantizer: quantizers.Quantizer) -> tuple[int, int]:
    import torch

    if not quantizer.levels:
        return 1, 1
    site = quantizers.Site(inputs=8, units=8, gates=4)
    count = len(quantizer.planes(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), site))
    return count, count


def pareto(pair: Pair) -> Figure:
    """The score of every trained run against the energy of a character, as intervals; the front is stepped."""
    told = points(pair)
    if not told:
        return nothing("no record yet", WIDTH)
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    top = 1.3 * min(point.score for point in told)
    for point in told:
        color, y = FAMILIES.get(point.lane, INK), min(point.score, top)
        ax.plot(point.energy_nj, [y] * 2, color=color, lw=3, alpha=0.5, solid_capstyle="butt")
        ax.plot(point.energy_nj.high, y, "o" if point.score <= top else "^", color=color, ms=5)
    best = sorted({(point.energy_nj.high, point.score) for point in told})
    front = [spot for place, spot in enumerate(best) if all(spot[1] < other[1] for other in best[:place])]
    ax.step(*zip(*front, strict=True), where="post", color=PALE, lw=1.5, zorder=0)
    for label, point in {_label(point): point for point in told}.items():
        told_score = f" {point.score:.2f}" if point.score > top else ""
        spot = (point.energy_nj.high, min(point.score, top))
        ax.annotate(label + told_score, spot, (7, -2), textcoords="offset points", size=7.5)
    ax.set_xscale("log")
    plain(ax.xaxis)
    ax.margins(x=0.1)
    ax.set_xlim(None, 2.2 * max(point.energy_nj.high for point in told))
    unit = told[0].record.metric["unit"]
    ax.set(xlabel="energy of a character, nJ", ylabel=f"deployed, {unit}")
    return figure


def _label(point: Point) -> str:
    spec = point.record.spec
    return spec["quantizer"].replace("stochastic=True", "sampled") + (", no norm" if spec["norm"] == "none" else "")


def sweep(pair: Pair, library: str = "sg13g2") -> Figure:
    """Energy and area of a step, and steps a second, against the lanes, for each kind of lane."""
    machine, work = pair.accelerator, pair.work()
    counts = sorted({16, 24, 32, 48, 64, 100, 160, 256, 400, 768, machine.lanes})
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 6.4), sharex=True)
    for place, (lane, color) in enumerate(FAMILIES.items()):
        own = lane == machine.arithmetic.title
        each = [dataclasses.replace(machine, lane=machine.lane if own else lane, lanes=count) for count in counts]
        spots = [count * (1 + 0.05 * (place - 1.5)) for count in counts]
        spent = [cost.energy(one, work, library).total_pj.times(1e-3) for one in each]
        axes[0].vlines(spots, *zip(*spent, strict=True), color=color, lw=4 if own else 2.5)
        areas = [cost.area(one, work, library).total_um2 / 1e6 for one in each]
        axes[1].plot(spots, areas, ".-", color=color, lw=2 if own else 0.9, label=NAMES[lane])
    rates = [machine.clock_hz / cycles.count(one, work, 1).cycles / 1e3 for one in each]
    axes[2].plot(counts, rates, ".-", color=INK)
    for ax, label in zip(axes, ("energy of a step, nJ", "area, mm²", "1,000 steps a second"), strict=True):
        ax.set(ylabel=label)
        ax.set_yscale("log")
        plain(ax.yaxis)
        ax.axvline(machine.lanes, color=INK, lw=0.8, ls=":")
    axes[2].set_xscale("log", base=2)
    axes[2].set_xticks(ticks := [16, 32, 64, 128, 256, 512], ticks)
    axes[2].set_xlabel("lanes")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return figure
