"""The figures of the book, in one style; each takes a record, a table or a quantizer and returns a figure."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from IPython import get_ipython
from matplotlib.figure import Figure

from lowbit import quantizers
from lowbit.quantizers import Quantizer, Site
from lowbit.studies import comparisons
from lowbit.studies.store import Record
from lowbit.training.weights import BINS

INK, PALE = "#2b2d42", "#b8bcc8"
COLORS = {"lstm": "#2f6db3", "gru": "#d1495b", "rnn": "#edae49"}
COLORS |= {"min_lstm": "#66a182", "min_gru": "#8d6a9f", "mlgru": "#00798c"}
MARKERS = {"lstm": "o", "gru": "s", "rnn": "^", "min_lstm": "v", "min_gru": "P", "mlgru": "X"}
OTHER = ("#7a7a7a", "*")  # a cell that is not among them
SITE = Site(inputs=512, units=4, gates=4)  # of the weights that a quantizer is shown on
WIDTH = 7.2  # inches: the width of the text


def style() -> None:
    """The one plot style, as sharp vector graphics in notebooks."""
    shell = get_ipython()
    if getattr(shell, "kernel", None) is not None:  # else a warm kernel, which had matplotlib before, shows nothing
        shell.run_line_magic("matplotlib", "inline")
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.grid": True,
            "grid.color": "#e8eaf0",
            "legend.frameon": False,
            "svg.hashsalt": "lowbit",
        },
    )
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})


def nothing(text: str, width: float = WIDTH) -> Figure:
    """A line of words in the place of a figure that has no data."""
    figure, ax = plt.subplots(figsize=(width, 0.5))
    ax.text(0, 0.5, text, color=INK, va="center")
    ax.set_axis_off()
    return figure


def staircase(quantizer: Quantizer) -> Figure:
    """Q(w) by nearest rounding and the mean of sampled rounding, over w in units of the scale."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.0))
    u, matrix, site, scale = _ramp(quantizer)
    ax.plot(u, u, color=PALE, lw=1, label="w itself")
    if quantizer.levels:
        mean = torch.stack([quantizer(matrix, site, sample=True)[0] for _ in range(100)]).mean(0) / scale
        ax.plot(u, mean, color=COLORS["gru"], lw=1, label="mean of 100 samples")
    nearest = quantizer(matrix, site, sample=False)[0] / scale
    ax.plot(u, nearest, color=INK, lw=2, label="nearest", drawstyle="steps-mid")
    ax.set(xlabel="w / α", ylabel="Q(w) / α")
    ax.legend(loc="upper left")
    return figure


def sampling_law(quantizer: Quantizer) -> Figure:
    """How often each level comes out, counted, over w in units of the scale; the law is drawn behind it."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.6))
    if not quantizer.levels:
        ax.text(0.5, 0.5, "full precision: nothing to sample", ha="center", transform=ax.transAxes, color=INK)
        return figure
    u, matrix, site, _ = _ramp(quantizer)
    taken = torch.stack([quantizer.encode(matrix, site, sample=True)[0][0] for _ in range(200)])
    levels = quantizer.fit(matrix, site).codebook[0].numpy()
    place = quantizer.normalize(matrix, quantizer.scale(matrix, site), site)[0].numpy()
    shown = np.flatnonzero((abs(levels) <= 1.5) & (abs(levels) >= (0.2 if len(levels) > 16 else 0)))
    for code, color in zip(shown, sns.color_palette("viridis", len(shown)), strict=True):
        law = np.interp(place, levels, np.arange(len(levels)) == code)
        ax.plot(u, law, color=color, lw=5, alpha=0.25)
        ax.plot(u, (taken == int(code)).float().mean(0), color=color, lw=1, label=f"{levels[code]:.3g}")
    ax.set(xlabel="w / α", ylabel="share of 200 samples", ylim=(-0.03, 1.03))
    ax.legend(title="level", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def codes(quantizer: Quantizer) -> Figure:
    """Which levels a freshly initialized matrix takes; in full precision, its values."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.2))
    if not quantizer.levels:
        ax.hist(_masters(SITE).flatten().numpy(), bins=64, color=COLORS["lstm"])
        ax.set(xlabel="w", ylabel="weights")
        return figure
    site = _site(quantizer)
    taken, _ = quantizer.encode(_masters(site), site)
    levels = quantizer.fit(_masters(site), site).codebook.mean(0)
    share = taken.flatten().long().bincount(minlength=len(quantizer.levels)) / taken.numel()
    used = share.nonzero().flatten()
    ax.bar(np.arange(len(used)), 100 * share[used].numpy(), color=COLORS["lstm"], width=0.7)
    ax.set_xticks(np.arange(len(used)), [f"{levels[i]:.3g}" for i in used])
    if len(used) > 16:
        ax.tick_params(axis="x", rotation=90, labelsize=6)
    ax.set(xlabel="level (times α)", ylabel="% of weights")
    return figure


def gradient(quantizer: Quantizer) -> Figure:
    """The derivative of Q that training uses, as autograd gives it, over the staircase's axis."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.8))
    u, matrix, site, _ = _ramp(quantizer)
    matrix.requires_grad_()
    quantizer(matrix, site)[0].sum().backward()
    slope = matrix.grad[0].numpy()
    ax.plot(u, slope, color=COLORS["gru"], lw=2)
    ax.set(xlabel="w / α", ylabel="dQ / dw", ylim=(min(-0.1, 1.1 * slope.min()), max(1.4, 1.1 * slope.max())))
    return figure


def curve(record: Record) -> Figure:
    """Training loss and validation score over updates; the best validation is marked."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.8))
    table = pd.DataFrame(record.curve)
    if record.metric["name"] == "bpc":
        ax.plot(table["update"], table["train_nats"] / np.log(2), color=PALE, lw=2, label="training, bits")
    ax.plot(table["update"], table["valid"], color=INK, lw=2, marker=".", label="validation")
    best = table.loc[table["valid"].fillna(np.inf).idxmin()]
    ax.plot(best["update"], best["valid"], "o", color=COLORS["gru"], label=f"best: {best['valid']:.3f}")
    if "skipped" in table:
        skipped = int(table["skipped"].max())
        ax.set_title(f"{skipped} of {table['update'].max()} updates skipped: no finite gradient", size=9)
    if "entropy_bits" in record.data:
        ax.axhline(record.data["entropy_bits"], color=INK, lw=1, ls=":", label="entropy of the source")
    ax.set(xlabel="update", ylabel=record.metric["unit"])
    ax.legend()
    return figure


def evaluations(record: Record) -> Figure:
    """The test score under the three evaluations, side by side."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.7))
    sampled = record.metrics["sampled"]
    rows = ["as published", "deployed", "sampled"]
    values = [record.metrics["as_published"], record.metrics["deployed"], sampled["mean"]]
    ax.errorbar(values, rows, xerr=[0, 0, sampled["std"]], fmt="none", ecolor=PALE, elinewidth=4)
    ax.plot(sampled["values"], ["sampled"] * len(sampled["values"]), "|", color=COLORS["lstm"], ms=12)
    ax.plot(values, rows, "o", color=INK)
    for value, row in zip(values, rows, strict=True):
        ax.annotate(f"{value:.3f}", (value, row), (0, 7), textcoords="offset points", ha="center")
    ax.set(xlabel=f"test, {record.metric['unit']}", ylim=(2.5, -0.8))
    ax.margins(x=0.15)
    return figure


def masters(record: Record) -> Figure:
    """Where the full-precision masters ended, in units of the scale; levels are dotted."""
    names = list(record.weights)
    figure, axes = plt.subplots(1, len(names), figsize=(WIDTH, 2.4), squeeze=False)
    nominal = quantizers.build(record.spec["quantizer"]).levels
    for ax, name in zip(axes[0], names, strict=True):
        told = record.weights[name]
        counts = np.array(told["histogram"])
        ax.stairs(100 * counts / max(counts.sum(), 1), BINS.numpy(), fill=True, color=COLORS["lstm"], alpha=0.8)
        for level in told.get("levels", nominal) if "codes" in told else ():
            if abs(level) <= 4:
                ax.axvline(level, color=INK, lw=1, ls=":")
        beyond = f"{100 * told['saturated']:.0f} % beyond" if "saturated" in told else "not quantized"
        ax.set_title(f"{name.removeprefix('layers.')}: {beyond}", fontsize="medium")
        used = BINS.numpy()[counts.nonzero()[0]] if counts.any() else BINS.numpy()  # none of a run that diverged
        ax.set(xlabel="w / α" if "codes" in told else "w / std", xlim=(used.min() - 0.5, used.max() + 0.6))
    axes[0, 0].set_ylabel("% of weights")
    return figure


def grid(frame: pd.DataFrame, reported: pd.DataFrame, unit: str) -> Figure:
    """Deployed scores of every quantizer and cell; full precision is dashed, what papers report is hollow."""
    shown = comparisons.ranked(frame).sort_values(["bits", "quantizer", "norm"], ascending=[False, True, True])
    order = list(dict.fromkeys(shown["label"]))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.4 + 0.28 * len(order)))
    kinds = shown["cell"].str.split("(").str[0]
    for place, kind in enumerate(present := sorted(set(kinds))):
        rows = shown[kinds == kind]
        y = [order.index(label) + 0.2 * (place - (len(present) - 1) / 2) for label in rows["label"]]
        color, marker = COLORS.get(kind, OTHER[0]), MARKERS.get(kind, OTHER[1])
        ax.hlines(y, rows["deployed"], rows["as_published"], color=color, lw=1.5, alpha=0.45)
        ax.plot(rows["deployed"], y, marker, color=color, ms=6, label=kind.upper(), zorder=3)
        for _, same in rows[rows["quantizer"] == "full"].groupby(["norm", "budget"]):
            ax.axvline(same["deployed"].mean(), color=color, ls="--", lw=1, alpha=0.6)
    for row, group in shown.drop_duplicates("label").groupby("label", sort=False):
        told = reported[reported["quantizer"].isin(group["quantizer"]) & reported["norm"].isin(group["norm"])]
        near = told["value"][told["value"] < 1.5 * shown["deployed"].max()]
        ax.plot(near, [order.index(row)] * len(near), "D", mfc="none", mec=INK, ms=5, label="reported by a paper")
    ax.set_yticks(range(len(order)), order)
    ax.set(xlabel=f"deployed, {unit}; a line ends at the score as published", ylim=(len(order) - 0.4, -0.6))
    handles, labels = ax.get_legend_handles_labels()
    once = {label: handle for handle, label in zip(handles, labels, strict=True) if len(handle.get_xdata())}
    figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=len(once))
    return figure


def svg(figure: Figure) -> str:
    """The figure as text that is the same whenever its numbers are."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _site(quantizer: Quantizer) -> Site:
    return SITE if "input" in quantizer.fits else SITE._replace(inputs=128, units=128, gates=1)


def _masters(site: Site) -> torch.Tensor:
    drawn = torch.rand(site.gates * site.units, site.inputs, generator=torch.Generator().manual_seed(0))
    return (2 * drawn - 1) * 2 * quantizers.build("binary").scale(drawn, site)


def _ramp(quantizer: Quantizer) -> tuple[torch.Tensor, torch.Tensor, Site, torch.Tensor]:
    """A first row from low to high in units of the scale, the initialized matrix that holds it, site and scale."""
    site = _site(quantizer)
    matrix = _masters(site)
    site = site._replace(factors=quantizer.factors(matrix, site))
    matrix[0] = torch.linspace(-1.6, 1.6, site.inputs) * quantizer.scale(matrix, site)[0, 0]
    scale = quantizer.scale(matrix, site)[0, 0]
    return matrix[0] / scale, matrix, site, scale
