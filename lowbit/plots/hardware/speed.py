"""How fast each telling of an engine goes, from the benchmarks of `benchmarks/simulators.py`."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowbit.plots.figures import nothing
from lowbit.plots.hardware import INK, LANES, PALE, WIDTH, plain
from lowbit.speed import benchmarks

OURS = ("golden", "cycle-stepped")


def ladder() -> Figure:
    """Millions of cycles a second of each, medians with quartiles, the fastest first; our own models in blue."""
    found = benchmarks.scan("simulators").records
    if not found:
        return nothing("no record of simulators yet", WIDTH)
    (case, *_) = found[-1].cases
    times = {name: case.time(name) for name in case.seconds}
    names = sorted(times, key=lambda name: -times[name].median)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.32 * len(names)))
    for y, name in enumerate(names):
        low, rate, high = (1e-6 / times[name][place] for place in (2, 1, 0))
        ax.barh(y, rate, color=LANES if name in OURS else PALE, height=0.65)
        ax.plot([low, high], [y, y], color=INK, lw=1)
        ax.annotate(f"{rate:.3g}", (high, y), (4, 0), textcoords="offset points", va="center", size=8)
    ax.set_yticks(range(len(names)), names)
    ax.set_xscale("log")
    plain(ax.xaxis, (1.0,))
    ax.set_xlabel("million cycles of the engine a second")
    ax.set_xlim(right=4e-6 / min(each.median for each in times.values()))
    return figure
