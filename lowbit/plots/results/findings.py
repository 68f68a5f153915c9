"""The findings at a glance: what few bits cost on every task that has been trained."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lowbit import datasets
from lowbit.plots.style import BLUE, GRAY, INK, PALE, RED, WIDTH, label_rows
from lowbit.studies import comparisons

# The columns of the findings: quantizer and norm of runs that quantize both matrices, and nothing else changed.
COLUMNS = {
    "full precision": ("full", "batch_step"),
    "ternary": ("ternary", "batch_step"),
    "binary": ("binary", "batch_step"),
    "binaryconnect, no norm": ("binaryconnect", "none"),
}
LOSSES = {"ternary": (BLUE, "o"), "binary": (RED, "s"), "binaryconnect, no norm": (GRAY, "X")}
EDGE = 110  # %: where the figure of losses ends


def gather(frame: pd.DataFrame) -> dict[tuple, dict[str, pd.DataFrame]]:
    """The runs of each column of `COLUMNS`, lowest seed first, by dataset, budget and cell; those with all plain."""
    tasks: dict[tuple, dict[str, pd.DataFrame]] = {}
    plain = (frame["quantized"] == "input+recurrent") & (frame["activations"] == "full")
    plain &= frame["budget"].isin(("cpu", "paper"))
    for task, runs in comparisons.ranked(frame[plain]).groupby(["dataset", "budget", "cell"]):
        for name, (quantizer, norm) in COLUMNS.items():
            same = runs[(runs["quantizer"] == quantizer) & (runs["norm"] == norm)].sort_values("seed")
            if len(same):
                tasks.setdefault(task, {})[name] = same
    return {task: columns for task, columns in tasks.items() if "full precision" in columns}


def shares(columns: dict[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """The share of what full precision learns beyond the best baseline that is lost, in %, for each shared seed.

    A perplexity counts by its logarithm. Empty where full precision is no better than the rule.
    """
    full = columns["full precision"]
    natural = np.log if full["metric"].iloc[0] == "perplexity" else np.asarray
    full = full[~comparisons.superseded(full)]
    lost = {}
    for name, runs in columns.items():
        pairs = runs.merge(full, on="seed", suffixes=("", "_full"))
        score, base, trivial = (natural(pairs[of].to_numpy(float)) for of in ("deployed", "deployed_full", "trivial"))
        if name != "full precision" and len(pairs) and (trivial > base).all():
            lost[name] = 100 * (score - base) / (trivial - base)
    return lost


def unlearned(columns: dict[str, pd.DataFrame]) -> bool:
    """Whether full precision itself is wrong on more than half of the items."""
    full = columns["full precision"]
    unit = datasets.build(full["dataset"].iloc[0]).metric.unit
    return unit.startswith("%") and bool(full["deployed"].mean() > 50)


def losses(tasks: dict[tuple, dict[str, pd.DataFrame]]) -> plt.Figure:
    """The `shares` that few bits lose, a row a task; what is worse than the best baseline stands at the right edge."""
    lost = {dataset: shares(columns) for (dataset, _, _), columns in tasks.items()}
    gray = {dataset for (dataset, _, _), columns in tasks.items() if unlearned(columns)}
    mean = {dataset: share.get("ternary", np.array([np.inf])).mean() for dataset, share in lost.items() if share}
    order = sorted(mean, key=lambda dataset: (dataset in gray, mean[dataset]))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.3 + 0.3 * len(order)))
    for (name, (color, marker)), shift in zip(LOSSES.items(), (-0.16, 0, 0.16), strict=True):
        rows = [(lost[task].get(name, np.empty(0)), y + shift) for y, task in enumerate(order)]
        for once in (False, True):
            points = [(x, y) for values, y in rows for x in values if (len(values) == 1) == once]
            x, y = np.array(points).reshape(-1, 2).T
            look = {"mfc": "none"} if once else {"label": name}
            ax.plot(np.fmin(x, EDGE), y, marker, color=color, ms=6, clip_on=False, zorder=3, **look)
    ax.axvline(0, color=INK, lw=1)
    ax.axvline(100, color=INK, lw=1, ls=":")
    label_rows(ax, order)
    for text, task in zip(ax.get_yticklabels(), order, strict=True):
        text.set_color(PALE if task in gray else INK)
    ax.set(xlabel="% of what full precision learns that is lost; at 100 % nothing is learned", xlim=(None, EDGE))
    figure.legend(loc="outside upper center", ncols=len(LOSSES))
    return figure
