"""How fast each telling of an engine goes, from the records of `results/benchmarks`."""

import json

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowbit import paths
from lowbit.charts import INK, LANES, PALE, WIDTH, plain


def ladder() -> Figure:
    """Cycles a second of each, the fastest first, of the newest record; our own models in blue."""
    files = sorted((paths.results() / "benchmarks").glob("simulators-*.json"))
    if not files:
        figure, ax = plt.subplots(figsize=(WIDTH, 1.0))
        ax.text(0.5, 0.5, "no record of simulators yet", ha="center", va="center", transform=ax.transAxes, color=INK)
        ax.axis("off")
        return figure
    told = json.loads(files[-1].read_text())["cycles_per_second"]
    names = sorted(told, key=told.get)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.32 * len(names)))
    for y, name in enumerate(names):
        ax.barh(y, told[name], color=LANES if name.startswith(("golden", "cycle")) else PALE, height=0.65)
        ax.annotate(f"{told[name]:,.0f}", (told[name], y), (4, 0), textcoords="offset points", va="center", size=8)
    ax.set_yticks(range(len(names)), names)
    ax.set_xscale("log")
    plain(ax.xaxis)
    ax.set(xlabel="cycles of the engine a second", xlim=(None, 20 * max(told.values())))
    return figure
