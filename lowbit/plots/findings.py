"""The findings at a glance: what few bits cost on every task that has been trained."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lowbit import datasets
from lowbit.plots.figures import INK, PALE, WIDTH
from lowbit.studies import comparisons

# The columns of the findings: quantizer and norm of runs that quantize both matrices, and nothing else changed.
COLUMNS = {
    "full precision": ("full", "batch_step"),
    "ternary": ("ternary", "batch_step"),
    "binary": ("binary", "batch_step"),
    "binaryconnect, no norm": ("binaryconnect", "none"),
}
LOSSES = {"ternary": ("#2f6db3", "o"), "binary": ("#d1495b", "s"), "binaryconnect, no norm": ("#7a7a7a", "X")}
EDGE = 110  # %: where the figure of losses ends


def gather(frame: pd.DataFrame) -> dict[tuple, dict[str, pd.DataFrame]]:
    """The runs of each column of `COLUMNS`, lowest seed first, by dataset, budget and cell; those with all plain."""
    columns: dict[tuple, dict[str, pd.DataFrame]] = {}
    plain = (frame["quantized"] == "input+recurrent") & (frame["activations"] == "full")
    plain &= frame["budget"].isin(("cpu", "paper"))
    for task, runs in comparisons.ranked(frame[plain]).groupby(["dataset", "budget", "cell"]):
        for name, (quantizer, norm) in COLUMNS.items():
            same = runs[(runs["quantizer"] == quantizer) & (runs["norm"] == norm)].sort_values("seed")
            if len(same):
                columns.setdefault(task, {})[name] = same
    return {task: found for task, found in columns.items() if "full precision" in found}


def shares(columns: dict[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """The share of what full precision learns beyond the best trivial rule that is lost, in %, for each shared seed.

    A perplexity counts by its logarithm. Empty where full precision is no better than the rule.
    """
    natural = np.log if columns["full precision"]["metric"].iloc[0] == "perplexity" else np.asarray
    full = columns["full precision"]
    full = full[~comparisons.superseded(full)]
    found = {}
    for name, runs in columns.items():
        pairs = runs.merge(full, on="seed", suffixes=("", "_full"))
        score, base, trivial = (natural(pairs[of].to_numpy(float)) for of in ("deployed", "deployed_full", "trivial"))
        if name != "full precision" and len(pairs) and (trivial > base).all():
            found[name] = 100 * (score - base) / (trivial - base)
    return found


def unlearned(columns: dict[str, pd.DataFrame]) -> bool:
    """Whether full precision itself is wrong on more than half of the items."""
    full = columns["full precision"]
    unit = datasets.build(full["dataset"].iloc[0]).metric.unit
    return unit.startswith("%") and bool(full["deployed"].mean() > 50)


def losses(gathered: dict[tuple, dict[str, pd.DataFrame]]) -> Figure:
    """The `shares` that few bits lose, a row a task; what is worse than the trivial rule stands at the right edge."""
    tasks = {dataset: shares(columns) for (dataset, _, _), columns in gathered.items()}
    gray = {dataset for (dataset, _, _), columns in gathered.items() if unlearned(columns)}
    mean = {dataset: found.get("ternary", np.array([np.inf])).mean() for dataset, found in tasks.items() if found}
    order = sorted(mean, key=lambda dataset: (dataset in gray, mean[dataset]))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.3 + 0.3 * len(order)))
    for (name, (color, marker)), shift in zip(LOSSES.items(), (-0.16, 0, 0.16), strict=True):
        for once in (False, True):
            points = [
                (x, y + shift)
                for y, task in enumerate(order)
                for x in tasks[task].get(name, ())
                if (len(tasks[task][name]) == 1) == once
            ]
            x, y = np.array(points).reshape(-1, 2).T
            face = "none" if once else color
            label = None if once else name
            ax.plot(np.fmin(x, EDGE), y, marker, color=color, mfc=face, ms=6, label=label, clip_on=False, zorder=3)
    ax.axvline(0, color=INK, lw=1)
    ax.axvline(100, color=INK, lw=1, ls=":")
    ax.set_yticks(range(len(order)), order)
    for text, task in zip(ax.get_yticklabels(), order, strict=True):
        text.set_color(PALE if task in gray else INK)
    ax.set(xlabel="% of what full precision learns that is lost; at 100 % nothing is learned", xlim=(None, EDGE))
    ax.set_ylim(max(len(order), 1) - 0.5, -0.5)
    figure.legend(loc="outside upper center", ncols=len(LOSSES))
    return figure
