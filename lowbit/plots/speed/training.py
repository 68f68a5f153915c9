"""The page of a benchmark of training."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.ticker import MaxNLocator

from lowbit.plots import style
from lowbit.plots.markdown import over_seeds, table
from lowbit.plots.speed.benchmark import GROUPS, OCTAVES, PRODUCTS, digits, label, roofs, trained
from lowbit.plots.style import INK, WIDTH, label_rows, legend, log_axis, placeholder
from lowbit.speed import roofline
from lowbit.speed.benchmarks import Benchmark, Case

HALF = "fused(products='bfloat16')"
CONTESTANTS = {  # title, color, marker
    "fused": ("fused, float32", style.BLUE, "o"),
    HALF: ("fused, bfloat16", style.RED, "s"),
    "library": ("torch's layer inside", style.GREEN, "^"),
    "brevitas": ("Brevitas, no norm", style.PURPLE, "v"),
    "reference": ("eager loop", style.YELLOW, "D"),
    "torch": ("torch's layer", style.GRAY, "P"),
}


def times(benchmark: Benchmark) -> Markdown:
    """Every case: seconds of torch's layer, and how many times faster each contestant is."""
    rows = []
    for case in benchmark.cases:
        ours = {PRODUCTS[name]: case.ratio(name, "torch") for name in case.names("ours")}
        peers = {group: (name := case.fastest(group)) and case.ratio(name, "torch") for group in ("eager", "brevitas")}
        rows.append(
            {
                "layer": label(case),
                "threads": case.threads,
                "torch's layer, s": f"{case.time('torch').median:.3f}",
                "ours": digits(ours.get("float32") or ours.get("torch's layer inside")),
                "ours, bfloat16": digits(ours.get("bfloat16")),
                "eager loop": digits(peers["eager"]),
                "Brevitas": digits(peers["brevitas"]),
                "memory of ours": ", ".join(f"{value:.2f}" for value in _memory(case)) or "–",
            }
        )
    return Markdown(table(rows))


def memory(benchmark: Benchmark) -> Markdown:
    """One sentence on the peak memory of an update."""
    values = [value for case in benchmark.cases for value in _memory(case)]
    if not values:
        return Markdown("Peak memory was not measured.")
    bar = benchmark.settings["memory_bar"]
    return Markdown(
        f"An update needs at most {max(values):.2f} times the memory of torch's layer;"
        f" {sum(value <= bar for value in values)} of {len(values)} layers stay within the target of {bar:g}."
    )


def _memory(case: Case) -> list[float]:
    """The peak memory of each of our layers over that of torch's, where both were measured."""
    ours = [case.notes[name].get("peak_mib") for name in case.names("ours")]
    torch = case.notes["torch"].get("peak_mib")
    return [value / torch for value in ours if value and torch]


def ratios(benchmark: Benchmark, group: str) -> plt.Figure:
    """How many times faster than a group of peers each contestant trains: median, quartiles, and its target."""
    panels: dict[int, list[Case]] = {}
    for case in benchmark.cases:
        if case.names(group):
            panels.setdefault(case.threads, []).append(case)
    if not panels:
        return placeholder("this group of peers was not measured")
    counts = [len(cases) for cases in panels.values()]
    size = (WIDTH, 1.6 + 0.34 * sum(counts))
    figure, axes = plt.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=counts, figsize=size)
    for ax, (threads, cases) in zip(axes[:, 0], panels.items(), strict=True):
        for place, case in enumerate(cases):
            _contestants(ax, place, case, group)
        ax.axvline(1, color=INK, lw=1, ls=":")
        label_rows(ax, [label(case) for case in cases])
        ax.set_title(f"{threads} thread{'s' if threads > 1 else ''}", size=9)
    log_axis(ax.xaxis, **OCTAVES)
    ax.set_xlabel(f"times as fast as {GROUPS[group]}")
    legend(figure)
    return figure


def _contestants(ax: plt.Axes, place: int, case: Case, group: str) -> None:
    names = [name for name in CONTESTANTS if name in case.seconds and case.notes[name]["group"] != group]
    for number, name in enumerate(names):
        title, color, marker = CONTESTANTS[name]
        ratio, y = case.ratio(name, group), place + 0.16 * (number - (len(names) - 1) / 2)
        ax.hlines(y, ratio.low, ratio.high, color=color, lw=2, alpha=0.6)
        ax.plot(ratio.median, y, marker, color=color, ms=6, label=title, zorder=3)
        if bar := case.bars.get(name, {}).get(group):
            ax.vlines(bar, y - 0.2, y + 0.2, color=color, lw=2.5)


def under_roof(benchmark: Benchmark) -> plt.Figure:
    """Operations a second of an update over operations a byte, under the limits of the machine, with one thread."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    roofs(ax, benchmark, (4.0, 256.0), ("float32", "bfloat16"))
    for case in (case for case in benchmark.cases if case.threads == 1):
        for name in case.seconds:
            title, color, marker = CONTESTANTS[name]
            operations, moved = roofline.update(case.about, name == HALF)
            rate = operations / case.time(name).median / 1e9
            ax.plot(operations / moved, rate, marker, color=color, ms=6, mec="white", mew=0.5, label=title, zorder=3)
    ax.set_xlabel("operations a byte between time steps")
    legend(figure)
    return figure


def learning(benchmark: Benchmark | None) -> plt.Figure:
    """Validation over updates with both products, each seed a line; and what bfloat16 changes, by seed."""
    if benchmark is None or not benchmark.tables["curves"]:
        return placeholder("no record of products in bfloat16")
    figure, (curve_ax, score_ax) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=(3, 1.4))
    curves = pd.DataFrame(benchmark.tables["curves"])
    looks = {
        "float32": {"color": style.BLUE, "lw": 2.4, "alpha": 0.45},
        "bfloat16": {"color": style.RED, "lw": 1, "ls": "--"},
    }
    for products, look in looks.items():
        for seed, curve in curves[curves["products"] == products].groupby("seed"):
            curve_ax.plot(curve["update"], curve["valid"], label=None if seed else products, **look)
    scores = pd.DataFrame(benchmark.tables["scores"]).pivot(index="seed", columns="products", values="deployed")
    last = curves[curves["update"] == curves["update"].max()]
    last = last.pivot(index="seed", columns="products", values="valid")
    scores, last = scores.dropna(), last.dropna()
    for values, color, name in ((last, style.GRAY, "validation"), (scores, INK, "test")):
        score_ax.plot(values["bfloat16"] - values["float32"], values.index, "o", color=color, label=name)
    deviation = scores["float32"].std() if len(scores) > 1 else 0.0
    score_ax.axvspan(-deviation, deviation, color=style.PALE, alpha=0.4, label="± between seeds")
    score_ax.axvline(0, color=INK, lw=1, ls=":")
    score_ax.set_yticks(scores.index, [f"seed {seed}" for seed in scores.index])
    score_ax.xaxis.set_major_locator(MaxNLocator(3))
    score_ax.set(xlabel="bfloat16 − float32", ylim=(-0.7, max(scores.index, default=0) + 0.7))
    score_ax.tick_params(axis="x", labelsize=7)
    curve_ax.set(xlabel="update", ylabel=f"validation, {benchmark.settings['unit']}")
    curve_ax.legend()
    score_ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=7)
    return figure


def products(benchmark: Benchmark | None) -> Markdown:
    """Test scores of both products, mean and deviation over seeds, and the time of training."""
    if benchmark is None:
        return Markdown("No record yet: `python benchmarks/bfloat16.py` makes one.")
    scores = pd.DataFrame(benchmark.tables["scores"]).groupby("products", sort=False)
    rows = [
        {
            "products": name,
            f"deployed, {benchmark.settings['unit']}": over_seeds(runs["deployed"]),
            "seeds": len(runs),
            "training, s": f"{runs['seconds'].median():.0f}",
        }
        for name, runs in scores
    ]
    return Markdown(f"{table(rows)}\n\n{trained(benchmark, 'dataset', 'cell', 'quantizer', 'budget')}")
