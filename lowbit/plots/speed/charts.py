"""The figures of the chapters on speed, each from a benchmark record."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from lowbit.plots.figures import COLORS, INK, PALE, WIDTH, nothing
from lowbit.plots.speed.tables import GROUPS, label
from lowbit.speed import roofline
from lowbit.speed.benchmarks import Benchmark, Case

HALF = "fused(products='bfloat16')"
STYLES = {  # of the contestants of training: name, color, marker
    "fused": ("fused, float32", COLORS["lstm"], "o"),
    HALF: ("fused, bfloat16", COLORS["gru"], "s"),
    "library": ("torch's layer inside", COLORS["min_lstm"], "^"),
    "brevitas": ("Brevitas, no norm", COLORS["min_gru"], "v"),
    "reference": ("eager loop", COLORS["rnn"], "D"),
    "torch": ("torch's layer", "#7a7a7a", "P"),
}
HUES = {  # of the quantizers of inference
    "binary": COLORS["lstm"],
    "ternary": COLORS["gru"],
    "uniform(bits=4)": COLORS["rnn"],
    "pow2(fraction_bits=3)": COLORS["min_lstm"],
    "uniform(bits=8)": COLORS["min_gru"],
}
OTHER = "#7a7a7a"


def ratios(benchmark: Benchmark, group: str) -> Figure:
    """How many times faster than a group of peers each contestant trains: median, quartiles, and its bar."""
    parts = {}
    for case in benchmark.cases:
        if case.names(group):
            parts.setdefault(case.threads, []).append(case)
    if not parts:
        return nothing("this group of peers was not measured")
    counts = [len(cases) for cases in parts.values()]
    figure, axes = plt.subplots(
        *(len(parts), 1), sharex=True, squeeze=False, height_ratios=counts, figsize=(WIDTH, 1.6 + 0.34 * sum(counts))
    )
    for ax, (threads, cases) in zip(axes[:, 0], parts.items(), strict=True):
        for place, case in enumerate(cases):
            _row(ax, place, case, group)
        ax.axvline(1, color=INK, lw=1, ls=":")
        ax.set_yticks(range(len(cases)), [label(case) for case in cases])
        ax.set_ylim(len(cases) - 0.5, -0.5)
        ax.set_title(f"{threads} thread{'s' if threads > 1 else ''}", size=9)
    _log(axes[-1, 0].xaxis, axes[-1, 0].set_xscale)
    axes[-1, 0].set_xlabel(f"times as fast as {GROUPS[group]}")
    _legend(figure, axes[:, 0])
    return figure


def training_roofline(benchmark: Benchmark) -> Figure:
    """Operations a second of an update over operations a byte, under what the machine can do, with one thread."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    reach = (4.0, 256.0)
    _roofs(ax, benchmark, reach, ("float32", "bfloat16"))
    for case in (case for case in benchmark.cases if case.threads == 1):
        for name in case.seconds:
            told, color, marker = STYLES[name]
            operations, moved = roofline.update(case.about, name == HALF)
            rate = operations / case.time(name).median / 1e9
            ax.plot(operations / moved, rate, marker, color=color, ms=6, mec="white", mew=0.5, label=told, zorder=3)
    ax.set(xlabel="operations a byte between time steps", ylabel="billion operations a second", xlim=reach)
    _legend(figure, [ax])
    return figure


def learning(benchmark: Benchmark | None) -> Figure:
    """Validation over updates with both products, each seed a line; and what bfloat16 changes, by seed."""
    if benchmark is None or not benchmark.tables["curves"]:
        return nothing("no record of products in bfloat16")
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=(3, 1.4))
    curves, unit = pd.DataFrame(benchmark.tables["curves"]), benchmark.settings["unit"]
    for products, name in (("float32", "fused"), ("bfloat16", HALF)):
        _, color, _ = STYLES[name]
        for seed, each in curves[curves["products"] == products].groupby("seed"):
            line = {"lw": 2.4, "alpha": 0.45} if products == "float32" else {"lw": 1, "ls": "--"}
            left.plot(each["update"], each["valid"], color=color, label=None if seed else products, **line)
    scores = pd.DataFrame(benchmark.tables["scores"]).pivot(index="seed", columns="products", values="deployed")
    both, last = scores.dropna(), curves[curves["update"] == curves["update"].max()]
    last = last.pivot(index="seed", columns="products", values="valid").dropna()
    for table, color, name in ((last, OTHER, "validation"), (both, INK, "test")):
        right.plot(table["bfloat16"] - table["float32"], table.index, "o", color=color, label=name)
    spread = both["float32"].std() if len(both) > 1 else 0.0
    right.axvspan(-spread, spread, color=PALE, alpha=0.4, label="± between seeds")
    right.axvline(0, color=INK, lw=1, ls=":")
    right.set_yticks(both.index, [f"seed {seed}" for seed in both.index])
    right.xaxis.set_major_locator(MaxNLocator(3))
    right.set(xlabel="bfloat16 − float32", ylim=(-0.7, max(both.index, default=0) + 0.7))
    right.tick_params(axis="x", labelsize=7)
    left.set(xlabel="update", ylabel=f"validation, {unit}")
    left.legend()
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=7)
    return figure


def steps(benchmark: Benchmark, instructions: str = "all") -> Figure:
    """How many times faster a step is than the fastest peer in float32 and than int8, over units."""
    cases = [case for case in benchmark.cases if case.about["instructions"] == instructions]
    if not cases:
        return nothing("not measured: this machine has no AVX-512 to leave alone")
    groups = [group for group in ("float32", "int8") if any(case.names(group) for case in cases)]
    figure, axes = plt.subplots(1, len(groups), figsize=(WIDTH, 3.4), sharey=True, squeeze=False)
    for ax, group in zip(axes[0], groups, strict=True):
        for name in cases[0].names("ours"):
            note = cases[0].notes[name]
            color, eight = HUES.get(note["quantizer"], OTHER), note["bits"] == 8
            found = [(case.about["units"], case.ratio(name, group)) for case in cases if name in case.seconds]
            units, medians = [each for each, _ in found], [ratio.median for _, ratio in found]
            around = [[r.median - r.low for _, r in found], [r.high - r.median for _, r in found]]
            line = {"ls": "-" if eight else ":", "marker": "o" if eight else None, "ms": 4, "elinewidth": 1.5}
            ax.errorbar(units, medians, around, color=color, label=note["quantizer"] if eight else None, **line)
            bars = [(case.about["units"], case.bars.get(name, {}).get(group)) for case in cases]
            for size, bar in ((size, bar) for size, bar in bars if bar):
                ax.plot([size * 0.86, size * 1.16], [bar, bar], color=color, lw=2.5, alpha=0.5)
        ax.axhline(1, color=INK, lw=1, ls=":")
        _log(ax.xaxis, ax.set_xscale)
        _log(ax.yaxis, ax.set_yscale)
        sizes = [case.about["units"] for case in cases]
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_title(f"against {GROUPS[group]}", size=9)
        ax.set_xlabel("units")
    axes[0, 0].set_ylabel("times as fast")
    _legend(figure, axes[0])
    return figure


def inference_roofline(benchmark: Benchmark) -> Figure:
    """Operations a second of a step over operations a byte of weights, under what one core can do."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    reach = (0.35, 24.0)
    _roofs(ax, benchmark, reach, ("float32", "int8"))
    for case in (case for case in benchmark.cases if case.about["instructions"] == "all"):
        peers = [name for group in ("float32", "int8") if (name := case.fastest(group))]
        for name in [*peers, *(name for name in case.names("ours") if case.notes[name]["bits"] == 8)]:
            note = case.notes[name]
            told = note.get("quantizer", GROUPS.get(note["group"]))
            operations = 2 * 4 * case.about["units"] ** 2
            rate = operations / case.time(name).median / 1e9
            size = 2 + case.about["units"] ** 0.5 / 5
            color, marker = (
                (HUES.get(told, OTHER), "o") if note["group"] == "ours" else (INK, "sD"[note["group"] == "int8"])
            )
            where = operations / note["weight_bytes"]
            ax.plot(where, rate, marker, color=color, ms=size, mec="white", mew=0.5, alpha=0.85, label=told, zorder=3)
    ax.set(xlabel="operations a byte of weights", ylabel="billion operations a second", xlim=reach)
    _legend(figure, [ax])
    return figure


def shared(benchmark: Benchmark | None) -> Figure:
    """Bits a symbol over the first steps that keep statistics of their own, in float32 activations."""
    if benchmark is None or not benchmark.tables["kept"]:
        return nothing("no record of shared statistics")
    table = pd.DataFrame(benchmark.tables["kept"])
    table = table[table["act_bits"] == 32].sort_values("kept")
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
    for quantizer, each in table.groupby("quantizer"):
        color = HUES.get(quantizer, OTHER)
        own = each["segments"].iloc[-1], each["stream"].iloc[-1]
        left.plot(each["kept"], each["segments"] - own[0], "o-", color=color, label=f"{quantizer}, segments", ms=4)
        left.plot(each["kept"], each["stream"] - own[1], "s:", color=color, label=f"{quantizer}, one stream", ms=4)
        right.plot(each["kept"], each["bytes"] / 1000, "o-", color=color, label=quantizer, ms=4)
    for ax in (left, right):
        kept = sorted(table["kept"].unique())
        ax.set_xscale("symlog", linthresh=1, base=2)
        ax.set_xticks(kept, [str(each) for each in kept])
        ax.minorticks_off()
        ax.set_xlabel("first steps with their own statistics")
    left.axhline(0, color=INK, lw=1, ls=":")
    left.set_ylabel(f"{benchmark.settings['unit']} more than all apart")
    right.set(ylabel="file, kB", ylim=(0, None))
    _legend(figure, [left])
    return figure


def _row(ax: Axes, place: int, case: Case, group: str) -> None:
    shown = [name for name in STYLES if name in case.seconds and case.notes[name]["group"] != group]
    for number, name in enumerate(shown):
        told, color, marker = STYLES[name]
        ratio, y = case.ratio(name, group), place + 0.16 * (number - (len(shown) - 1) / 2)
        ax.hlines(y, ratio.low, ratio.high, color=color, lw=2, alpha=0.6)
        ax.plot(ratio.median, y, marker, color=color, ms=6, label=told, zorder=3)
        bar = case.bars.get(name, {}).get(group)
        if bar:
            ax.vlines(bar, y - 0.2, y + 0.2, color=color, lw=2.5)


def _roofs(ax: Axes, benchmark: Benchmark, reach: tuple[float, float], numbers: tuple[str, ...]) -> None:
    """Level lines of products and slanted ones of reading, each up to the highest level."""
    tops = {each["numbers"]: each["giga_operations"] for each in benchmark.limits["products"]}
    tops = {name: top for name, top in tops.items() if name in numbers}
    x = np.geomspace(*reach, 100)
    for name, top in tops.items():
        ax.plot(reach, [top, top], color=INK, lw=1.2)
        ax.annotate(f"{name} products", (reach[1], top), (-3, 3), textcoords="offset points", ha="right", size=8)
    highest = max(tops.values())
    for name, speed in roofline.levels(benchmark.machine, benchmark.limits).items():
        ax.plot(x, np.where(speed * x <= highest, speed * x, np.nan), color=PALE, lw=1.5, zorder=1)
        ax.annotate(name, (reach[0], speed * reach[0]), (3, 4), textcoords="offset points", size=8, color="#6b7080")
    _log(ax.xaxis, ax.set_xscale)
    _log(ax.yaxis, ax.set_yscale, base=10)


def _log(axis, scale, base: int = 2) -> None:
    scale("log", base=base)
    axis.set_major_locator(LogLocator(base, (1, 1.5) if base == 2 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes) -> None:
    told = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            told.setdefault(name, handle)
    figure.legend(told.values(), told.keys(), loc="outside upper center", ncols=min(4, len(told)), fontsize=8)
