"""The findings at a glance: what few bits cost on every task that has been trained."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lowbit.figures import INK, WIDTH

# The columns of the findings: quantizer and norm of runs that quantize both matrices, and nothing else changed.
COLUMNS = {
    "full precision": ("full", "batch_step"),
    "ternary": ("ternary", "batch_step"),
    "binary": ("binary", "batch_step"),
    "binary, no norm": ("binaryconnect", "none"),
}
LOSSES = {"ternary": ("#2f6db3", "o"), "binary": ("#d1495b", "s"), "binary, no norm": ("#7a7a7a", "X")}
EDGE = 110  # %: where the figure of losses ends


def gather(frame: pd.DataFrame) -> dict[tuple, dict[str, pd.DataFrame]]:
    """The runs of each column of `COLUMNS`, lowest seed first, by dataset, budget and cell; those with all plain."""
    told: dict[tuple, dict[str, pd.DataFrame]] = {}
    plain = (frame["quantized"] == "input+recurrent") & (frame["activations"] == "full")
    plain &= frame["budget"].isin(("cpu", "paper"))
    for task, runs in frame[plain].groupby(["dataset", "budget", "cell"]):
        for name, (quantizer, norm) in COLUMNS.items():
            same = runs[(runs["quantizer"] == quantizer) & (runs["norm"] == norm)].sort_values("seed")
            if len(same):
                told.setdefault(task, {})[name] = same
    return {task: columns for task, columns in told.items() if "full precision" in columns}


def losses(told: dict[tuple, dict[str, pd.DataFrame]]) -> Figure:
    """How much of what full precision learns beyond the best trivial rule few bits lose, a row a task.

    A perplexity is taken as its logarithm; a run worse than the trivial rule stands at the right edge.
    """
    shares = {}
    for (dataset, _, _), columns in told.items():
        natural = np.log if columns["full precision"]["metric"].iloc[0] == "perplexity" else np.asarray
        full, trivial = (natural(columns["full precision"][name].mean()) for name in ("deployed", "trivial"))
        if np.isfinite(trivial):
            shares[dataset] = {
                name: 100 * (natural(runs["deployed"].to_numpy(float)) - full) / (trivial - full)
                for name, runs in columns.items()
                if name != "full precision"
            }
    order = sorted(shares, key=lambda dataset: shares[dataset].get("ternary", np.array([np.inf])).mean())
    figure, ax = plt.subplots(figsize=(WIDTH, 1.3 + 0.3 * len(order)))
    for (name, (color, marker)), shift in zip(LOSSES.items(), (-0.16, 0, 0.16), strict=True):
        points = [(x, y + shift) for y, task in enumerate(order) for x in shares[task].get(name, [])]
        x, y = np.array(points).reshape(-1, 2).T
        ax.plot(np.fmin(x, EDGE), y, marker, color=color, ms=6, label=name, clip_on=False, zorder=3)
    ax.axvline(0, color=INK, lw=1)
    ax.axvline(100, color=INK, lw=1, ls=":")
    ax.set_yticks(range(len(order)), order)
    ax.set(xlabel="% of what full precision learns that is lost; at 100 % nothing is learned", xlim=(None, EDGE))
    ax.set_ylim(max(len(order), 1) - 0.5, -0.5)
    figure.legend(loc="outside upper center", ncols=len(LOSSES))
    return figure
