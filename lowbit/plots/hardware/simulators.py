"""The speed of each model and simulator of an engine, from the records of `benchmarks/simulators.py`."""

import matplotlib.pyplot as plt

from lowbit.plots.style import BLUE, INK, NARROW, PALE, log_axis, placeholder
from lowbit.speed import benchmarks

OURS = ("golden", "cycle-stepped")


def ladder() -> plt.Figure:
    """Millions of cycles a second of each, medians with quartiles, the fastest first; our own models in blue."""
    records = benchmarks.scan("simulators").records
    if not records:
        return placeholder("no record of simulators yet", NARROW)
    case = records[-1].cases[0]
    times = {name: case.time(name) for name in case.seconds}
    names = sorted(times, key=lambda name: -times[name].median)
    figure, ax = plt.subplots(figsize=(NARROW, 1.0 + 0.32 * len(names)))
    for y, name in enumerate(names):
        high, rate, low = (1e-6 / seconds for seconds in times[name])
        ax.barh(y, rate, color=BLUE if name in OURS else PALE, height=0.65)
        ax.plot([low, high], [y, y], color=INK, lw=1)
        ax.annotate(f"{rate:.3g}", (high, y), (4, 0), textcoords="offset points", va="center", size=8)
    ax.set_yticks(range(len(names)), names)
    log_axis(ax.xaxis, subs=(1,))
    ax.set_xlabel("million cycles of the engine a second")
    ax.set_xlim(right=4e-6 / min(time.median for time in times.values()))
    return figure
