"""Figures of the study `long`: what few bits cost by width and by updates, and scores for kilobytes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lowbit.plots.style import BLUE, GRAY, INK, RED, TEAL, WIDTH, legend, log_axis, placeholder
from lowbit.studies import store, width
from lowbit.training import diagnose

LOOKS = {"ternary": (BLUE, "o"), "binary": (RED, "s")}
SIZES = {"full": (INK, "D"), width.ROUNDED: (GRAY, "v"), **LOOKS}  # color, marker
FEWEST = 4  # bits of a weight after rounding that are drawn: with fewer the score is off the scale


def costs() -> plt.Figure:
    """Bits per character more than full precision: on the test text by units, on validation by updates."""
    records = {record.run.key: record for record in store.scan("long").records}
    frame = store.frame(list(records.values()))
    changes = {name: width.costs(frame, name) for name in LOOKS}
    if not any(changes.values()):
        return placeholder("no pair of runs at `long` yet")
    figure, (by_width, by_updates) = plt.subplots(1, 2, figsize=(WIDTH, 3.2))
    for name, (color, marker) in LOOKS.items():
        for change in changes[name]:
            losses = np.subtract(change.scores, change.base)
            face = color if change.seeds > 1 else "none"
            look = {"color": color, "mfc": face, "label": name, "clip_on": False, "zorder": 3}
            by_width.plot([change.alike["hidden"]] * len(losses), losses, marker, **look)
        if width.same_recipe(frame, changes[name]) and (line := width.law(changes[name])) is not None:
            units = np.geomspace(min(change.alike["hidden"] for change in changes[name]), width.AHEAD, 50)
            middle, low, high = np.exp2([line.predict(np.log2(unit)) for unit in units]).T
            by_width.plot(units, middle, color=color, lw=1, ls=":")
            by_width.fill_between(units, low, high, color=color, alpha=0.12, lw=0)
        for change in width.followed(changes[name]):
            lost = width.along(change, records)
            by_updates.plot(lost.index / 1000, lost, color=color, lw=1.4)
            place, settings = (
                (lost.index[-1] / 1000, lost.iloc[-1].max()),
                {"ha": "right", "fontsize": 7, "color": color},
            )
            by_updates.annotate(
                f"{change.alike['hidden']} units", place, (0, 6), textcoords="offset points", **settings
            )
    log_axis(by_width.xaxis, base=2, ticks=(64, 128, 256, 512, width.AHEAD))
    by_width.set(xlabel="units", ylabel="bits per character more\nthan full precision (test)", ylim=(0, None))
    by_updates.set(xlabel="thousand updates", ylabel="the same along training\n(validation)", ylim=(0, None))
    legend(figure, [by_width])
    return figure


def sizes(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks at `long` as `studies.width.sizes` has them; rounded ones of `FEWEST` bits or more."""
    rounded = {
        diagnosis.run.key: dict(zip(diagnosis.rounded["bits"], diagnosis.rounded["score"], strict=True))
        for diagnosis in diagnose.scan("long").diagnoses
        if diagnosis.rounded
    }
    points = width.sizes(frame, rounded)
    return points[(points["method"] != width.ROUNDED) | (points["weight"] >= FEWEST)]


def pareto() -> plt.Figure:
    """Test score of each method and width over the kilobytes of its recurrent weights; the line joins the best."""
    points = sizes(store.frame(store.scan("long").records))
    if points.empty:
        return placeholder("no run at `long` yet")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    best = width.front(points)
    ax.step(best["kilobytes"], best["bits"], where="post", color=TEAL, lw=6, alpha=0.18, label="best for its size")
    for method, (color, marker) in SIZES.items():
        same = points[points["method"] == method].sort_values("kilobytes")
        for _, line in same.groupby("hidden") if method == width.ROUNDED else ((None, same),):
            if len(line):
                ax.plot(line["kilobytes"], line["bits"], color=color, lw=0.8, marker=marker, ms=5, label=method)
    _name(ax, points)
    ax.margins(y=0.1)
    log_axis(ax.xaxis)
    ax.set(xlabel="kilobytes of the recurrent layer's weights", ylabel="bits per character (test)")
    legend(figure)
    return figure


def _name(ax: plt.Axes, points: pd.DataFrame) -> None:
    """Writes the units beside the points of trained networks, and the bits below those that were rounded."""
    for _, point in points.iterrows():
        rounded = point["method"] == width.ROUNDED
        text, color = (f"{point['weight']:.0f}", GRAY) if rounded else (f"{point['hidden']}", INK)
        place, offset = (point["kilobytes"], point["bits"]), (0, -11) if rounded else (4, 4)
        settings = {"textcoords": "offset points", "ha": "center" if rounded else "left", "fontsize": 7}
        ax.annotate(text, place, offset, color=color, **settings)
