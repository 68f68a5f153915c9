"""What a network on a machine costs: ratios of area and energy, memory, a score, and the number of lanes."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import torch

from lowbit import quantizers
from lowbit.hardware import accelerator, cost, cycles, memory
from lowbit.onchip.pair import Pair
from lowbit.plots.hardware.lanes import BASE, FAMILIES, LIBRARY
from lowbit.plots.markdown import span
from lowbit.plots.style import BLUE, GREEN, INK, NARROW, PALE, legend, log_axis, placeholder
from lowbit.registry import InputError
from lowbit.studies import store

ARRAY = "multiply(multiplier='array')"
COUNTS = {16, 24, 32, 48, 64, 100, 160, 256, 400, 768}  # of lanes
LOW_BIT = ("ternary", "binary")


def waterfall(pair: Pair) -> plt.Figure:
    """Ratios of area and energy of 12-bit weights to those of the machine: lane, logic, and the whole engine."""
    machine, work = pair.accelerator, pair.work()
    lanes = {lane: lane for lane in LOW_BIT}
    if machine.arithmetic.title != BASE:
        lanes = {machine.arithmetic.title: machine.lane}
    names = ["lane", "logic", f"{work.hidden} units", "weights\nalone"]
    figure, axes = plt.subplots(2, len(lanes), figsize=(NARROW, 4.2), sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (kind, lane) in zip(axes.T, lanes.items(), strict=True):
        small = dataclasses.replace(machine, lane=lane)
        booth, array = (
            cost.waterfall(dataclasses.replace(machine, lane=base), small, [work], LIBRARY) for base in (BASE, ARRAY)
        )
        areas = [cost.Interval(*sorted((a.area, b.area))) for a, b in zip(booth, array, strict=True)]
        for ax, color, spans in ((top, GREEN, areas), (bottom, BLUE, [stage.energy for stage in booth])):
            for x, (low, high) in enumerate(spans):
                ax.bar(x, low, color=color, width=0.62)
                ax.bar(x, high - low, bottom=low, color=color, alpha=0.35, width=0.62)
                text = span((low, high), ".1f").replace(" to ", "–")
                ax.annotate(text, (x, high), (0, 3), textcoords="offset points", ha="center", size=8)
            ax.set_xticks(range(len(names)), names)
            ax.margins(y=0.15)
            ax.grid(False, axis="x")
        top.set_title(f"12-bit over {FAMILIES[kind][0]}", size=9)
    axes[0, 0].set_ylabel("area ratio")
    axes[1, 0].set_ylabel("energy ratio")
    return figure


def cliff(pair: Pair) -> plt.Figure:
    """Macros of the weights against the size of the layer: area and energy for each bit of weight."""
    machine, work = pair.accelerator, pair.work()
    sizes = np.unique(np.geomspace(24, 2048, 160).astype(int))
    works = [work._replace(hidden=int(hidden)) for hidden in sizes]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(NARROW, 4.4), sharex=True)
    kind, word = machine.arithmetic.title, machine.word_bits
    for lane, (label, color) in sorted(FAMILIES.items(), key=lambda family: family[0] == kind):
        variant = machine if lane == kind else dataclasses.replace(machine, lane=lane)
        banks = [cost.weights(variant, layer) for layer in works]
        bits = [layer.weights * variant.arithmetic.weight_bits for layer in works]
        areas = [bank.area_um2 / count for bank, count in zip(banks, bits, strict=True)]
        top.plot(sizes, areas, color=color, lw=2.2 if lane == kind else 0.9, label=label)
    energies = [bank.read_pj / word for bank in banks]  # of the machine's own lane, which comes last
    bottom.plot(sizes, energies, ".", color=FAMILIES[kind][1], ms=5, label="the smallest memory")
    least = [min(bank.read_pj for bank in memory.banks(cost.words(machine, layer), word)) / word for layer in works]
    bottom.plot(sizes, least, color=INK, lw=1.2, label="the memory of least energy")
    for ax in (top, bottom):
        ax.axvline(work.hidden, color=INK, lw=0.8, ls=":")
    top.set(ylabel="µm² per bit of weight")
    log_axis(top.yaxis)
    bottom.set(ylabel="pJ per bit read", xlabel="hidden units", ylim=(0, None))
    log_axis(bottom.xaxis, ticks=[32, 64, 128, 256, 512, 1024, 2048])
    bottom.legend(loc="upper left", fontsize=8)
    legend(figure, [top])
    return figure


@dataclasses.dataclass(frozen=True)
class Point:
    """A trained run and what a character of it costs."""

    record: store.Record
    energy_nj: cost.Interval
    lane: str

    @property
    def score(self) -> float:
        """The deployed score."""
        return self.record.metrics["deployed"]

    @property
    def label(self) -> str:
        """Quantizer, and whether there is no norm."""
        spec = self.record.spec
        return spec["quantizer"].replace("stochastic=True", "sampled") + ", no norm" * (spec["norm"] == "none")


def points(pair: Pair) -> list[Point]:
    """Every committed record of the network's dataset and budget that the ledger has lanes for."""
    dataset, work = pair.network.partition("-")[0], pair.work()
    priced = []
    for record in store.scan("cpu").records:
        if record.diverged or record.spec["dataset"] != dataset or record.spec["cell"] != work.cell:
            continue
        quantizer = quantizers.build(record.spec["quantizer"])
        machine = accelerator.with_lane_for(pair.accelerator, quantizer)
        layer = work._replace(hidden=record.recipe["hidden"], planes=(_planes(quantizer),) * 2)
        try:
            energy = cost.energy(machine, layer).total_pj.times(1e-3)
        except InputError:  # a lane without a price
            continue
        priced.append(Point(record, energy, machine.arithmetic.title))
    return priced


def _planes(quantizer: quantizers.Quantizer) -> int:
    if not quantizer.levels:
        return 1
    site = quantizers.Site(inputs=8, units=8, gates=4)
    return len(quantizer.planes(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), site))


def pareto(pair: Pair) -> plt.Figure:
    """The score of every trained run against the energy of a character, as intervals; the front is stepped."""
    runs = points(pair)
    if not runs:
        return placeholder("no record yet", NARROW)
    figure, ax = plt.subplots(figsize=(NARROW, 3.8))
    top = 1.3 * min(point.score for point in runs)
    for point in runs:
        color, y = FAMILIES[point.lane][1] if point.lane in FAMILIES else INK, min(point.score, top)
        ax.plot(point.energy_nj, [y] * 2, color=color, lw=3, alpha=0.5, solid_capstyle="butt")
        ax.plot(point.energy_nj.high, y, "o" if point.score <= top else "^", color=color, ms=5)
    best = sorted({(point.energy_nj.high, point.score) for point in runs})
    front = [spot for place, spot in enumerate(best) if all(spot[1] < other[1] for other in best[:place])]
    ax.step(*zip(*front, strict=True), where="post", color=PALE, lw=1.5, zorder=0)
    for label, point in {point.label: point for point in runs}.items():
        text = f"{label} {point.score:.2f}" if point.score > top else label
        spot = (point.energy_nj.high, min(point.score, top))
        ax.annotate(text, spot, (7, -2), textcoords="offset points", size=7.5)
    log_axis(ax.xaxis)
    ax.margins(x=0.1)
    ax.set_xlim(None, 2.2 * max(point.energy_nj.high for point in runs))
    ax.set(xlabel="energy per character, nJ", ylabel=f"deployed, {runs[0].record.metric['unit']}")
    return figure


def sweep(pair: Pair) -> plt.Figure:
    """Energy and area of a step, and steps a second, against the lanes, for each kind of lane."""
    machine, work = pair.accelerator, pair.work()
    counts = np.array(sorted({*COUNTS, machine.lanes}))
    figure, axes = plt.subplots(3, 1, figsize=(NARROW, 6.4), sharex=True)
    for place, (lane, (label, color)) in enumerate(FAMILIES.items()):
        current = lane == machine.arithmetic.title
        lane = machine.lane if current else lane
        machines = [dataclasses.replace(machine, lane=lane, lanes=int(count)) for count in counts]
        x = counts * (1 + 0.05 * (place - 1.5))
        energies = [cost.energy(variant, work, LIBRARY).total_pj.times(1e-3) for variant in machines]
        axes[0].vlines(x, *zip(*energies, strict=True), color=color, lw=4 if current else 2.5)
        areas = [cost.area(variant, work, LIBRARY).total_um2 / 1e6 for variant in machines]
        axes[1].plot(x, areas, ".-", color=color, lw=2 if current else 0.9, label=label)
    rates = [machine.clock_hz / cycles.count(variant, work, 1).cycles / 1e3 for variant in machines]
    axes[2].plot(counts, rates, ".-", color=INK)
    for ax, label in zip(axes, ("energy per step, nJ", "area, mm²", "1,000 steps per second"), strict=True):
        ax.set(ylabel=label)
        log_axis(ax.yaxis)
        ax.axvline(machine.lanes, color=INK, lw=0.8, ls=":")
    log_axis(axes[2].xaxis, ticks=[16, 32, 64, 128, 256, 512])
    axes[2].set_xlabel("lanes")
    legend(figure)
    return figure
