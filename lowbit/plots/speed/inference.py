"""The page of a benchmark of inference."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from lowbit.plots.markdown import table
from lowbit.plots.speed.benchmark import GROUPS, OCTAVES, roofs, trained
from lowbit.plots.style import BLUE, GRAY, GREEN, INK, PURPLE, RED, WIDTH, YELLOW, legend, log_axis, placeholder
from lowbit.speed.benchmarks import Benchmark

COLORS = {  # of quantizers
    "binary": BLUE,
    "ternary": RED,
    "uniform(bits=4)": YELLOW,
    "pow2(fraction_bits=3)": GREEN,
    "uniform(bits=8)": PURPLE,
}


def times(benchmark: Benchmark, instructions: str = "all") -> Markdown:
    """Microseconds of a step by contestant and units."""
    rows: dict[str, dict] = {}
    for case in (case for case in benchmark.cases if case.about["instructions"] == instructions):
        for name in case.seconds:
            row = rows.setdefault(name, {"contestant": name, "kernel": case.notes[name].get("kernel", "–")})
            micro = 1e6 * case.time(name).median
            row[f"{case.about['units']} units, µs"] = f"{micro:,.1f}" if micro < 100 else f"{micro:,.0f}"
    return Markdown(table(pd.DataFrame(list(rows.values())).fillna("–")))


def steps(benchmark: Benchmark, instructions: str = "all") -> plt.Figure:
    """How many times faster a step is than the fastest peer in float32 and than int8, over units."""
    cases = [case for case in benchmark.cases if case.about["instructions"] == instructions]
    if not cases:
        return placeholder("not measured: this machine has no AVX-512 to leave alone")
    groups = [group for group in ("float32", "int8") if any(case.names(group) for case in cases)]
    figure, axes = plt.subplots(1, len(groups), figsize=(WIDTH, 3.4), sharey=True, squeeze=False)
    sizes = [case.about["units"] for case in cases]
    for ax, group in zip(axes[0], groups, strict=True):
        for name in cases[0].names("ours"):
            quantizer, eight = cases[0].notes[name]["quantizer"], cases[0].notes[name]["bits"] == 8
            color = COLORS.get(quantizer, GRAY)
            ratios = {case.about["units"]: case.ratio(name, group) for case in cases if name in case.seconds}
            medians = [ratio.median for ratio in ratios.values()]
            around = list(zip(*((r.median - r.low, r.high - r.median) for r in ratios.values()), strict=True))
            look = {"ls": "-" if eight else ":", "marker": "o" if eight else None, "ms": 4, "elinewidth": 1.5}
            ax.errorbar(list(ratios), medians, around, color=color, label=quantizer if eight else None, **look)
            for case in cases:
                if bar := case.bars.get(name, {}).get(group):
                    units = case.about["units"]
                    ax.plot([units * 0.86, units * 1.16], [bar, bar], color=color, lw=2.5, alpha=0.5)
        ax.axhline(1, color=INK, lw=1, ls=":")
        log_axis(ax.xaxis, ticks=sizes)
        log_axis(ax.yaxis, **OCTAVES)
        ax.minorticks_off()
        ax.set_title(f"against {GROUPS[group]}", size=9)
        ax.set_xlabel("units")
    axes[0, 0].set_ylabel("times as fast")
    legend(figure)
    return figure


def under_roof(benchmark: Benchmark) -> plt.Figure:
    """Operations a second of a step over operations a byte of weights, under the limits of one core."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    roofs(ax, benchmark, (0.35, 24.0), ("float32", "int8"))
    looks = {"float32": (INK, "s"), "int8": (INK, "D")}
    for case in (case for case in benchmark.cases if case.about["instructions"] == "all"):
        best = [case.fastest(group) for group in ("float32", "int8")]
        ours = [name for name in case.names("ours") if case.notes[name]["bits"] == 8]
        for name in [*filter(None, best), *ours]:
            note = case.notes[name]
            title = note.get("quantizer", GROUPS.get(note["group"]))
            color, marker = looks.get(note["group"], (COLORS.get(title, GRAY), "o"))
            operations = 2 * 4 * case.about["units"] ** 2
            rate, size = operations / case.time(name).median / 1e9, 2 + case.about["units"] ** 0.5 / 5
            look = {"color": color, "ms": size, "mec": "white", "mew": 0.5, "alpha": 0.85}
            ax.plot(operations / note["weight_bytes"], rate, marker, label=title, zorder=3, **look)
    ax.set_xlabel("operations a byte of weights")
    legend(figure)
    return figure


def files(benchmark: Benchmark) -> Markdown:
    """Packed files beside the float32 values of the same networks."""
    rows = []
    for row in benchmark.tables.get("files", ()):
        smaller = row["float32_bytes"] / row["bytes"]
        rows.append(
            {
                "weights": row["quantizer"],
                "units": row["units"],
                "file, kB": f"{row['bytes'] / 1000:,.0f}",
                "float32, kB": f"{row['float32_bytes'] / 1000:,.0f}",
                "times smaller": f"{smaller:.1f}",
                "target": f"{row['bar']:g}" if "bar" in row else "–",
                "met": "–" if "bar" not in row else "yes" if smaller >= row["bar"] else "no",
            }
        )
    return Markdown(table(rows))


def shared(benchmark: Benchmark | None) -> plt.Figure:
    """Bits a symbol over the first steps that keep statistics of their own, in float32 activations."""
    if benchmark is None or not benchmark.tables["kept"]:
        return placeholder("no record of shared statistics")
    rows = pd.DataFrame(benchmark.tables["kept"])
    rows = rows[rows["act_bits"] == 32].sort_values("kept")
    figure, (cost_ax, size_ax) = plt.subplots(1, 2, figsize=(WIDTH, 3.0))
    for quantizer, same in rows.groupby("quantizer"):
        color = COLORS.get(quantizer, GRAY)
        for column, line, title in (("segments", "o-", "segments"), ("stream", "s:", "one stream")):
            change = same[column] - same[column].iloc[-1]
            cost_ax.plot(same["kept"], change, line, color=color, label=f"{quantizer}, {title}", ms=4)
        size_ax.plot(same["kept"], same["bytes"] / 1000, "o-", color=color, ms=4)
    ticks = sorted(rows["kept"].unique())
    for ax in (cost_ax, size_ax):
        ax.set_xscale("symlog", linthresh=1, base=2)
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("first steps with their own statistics")
    cost_ax.axhline(0, color=INK, lw=1, ls=":")
    cost_ax.set_ylabel(f"{benchmark.settings['unit']} more than all apart")
    size_ax.set(ylabel="file, kB", ylim=(0, None))
    legend(figure)
    return figure


def activations(benchmark: Benchmark | None) -> Markdown:
    """The cost of rounding activations where all steps share their statistics."""
    if benchmark is None:
        return Markdown("No record yet: `python benchmarks/shared_statistics.py` makes one.")
    unit = benchmark.settings["unit"]
    rows = [
        {
            "weights": row["quantizer"],
            "bits of activations": "float32" if row["act_bits"] == 32 else str(row["act_bits"]),
            f"one stream, {unit}": f"{row['stream']:.4f}",
            f"segments, {unit}": f"{row['segments']:.4f}",
            "file, kB": f"{row['bytes'] / 1000:,.0f}",
        }
        for row in benchmark.tables["kept"]
        if row["kept"] == 0
    ]
    return Markdown(f"{table(rows)}\n\n{trained(benchmark, 'dataset', 'cell', 'budget')}")
