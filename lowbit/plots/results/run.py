"""The page of a run: scores, learning curve, final weights and provenance."""

import html
import shlex

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from lowbit import quantizers
from lowbit.plots.markdown import spread, table
from lowbit.plots.style import BLUE, INK, PALE, RED, WIDTH
from lowbit.studies.store import Record
from lowbit.training.weights import BINS

EVALUATIONS = {
    "deployed": "population statistics, nearest rounding, state carried",
    "as published": "statistics of the test batch, weights as in training",
    "sampled": "population statistics, each weight sample held fixed",
}
SPENT = {"cpu_seconds": "s of a processor", "peak_memory_mb": "MB at most", "energy_joules": "J"}


def scores(record: Record) -> Markdown:
    """The three test scores of a run."""
    metrics, unit = record.metrics, record.metric["unit"]
    texts = {name: f"{metrics[name.replace(' ', '_')]:.3f}" for name in ("deployed", "as published")}
    texts["sampled"] = spread(metrics["sampled"]["mean"], metrics["sampled"]["std"])
    rows = [{"evaluation": name, "what it means": text, unit: texts[name]} for name, text in EVALUATIONS.items()]
    return Markdown(table(rows))


def evaluations(record: Record) -> plt.Figure:
    """The test score under the three evaluations, side by side."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.7))
    sampled = record.metrics["sampled"]
    rows = ["as published", "deployed", "sampled"]
    values = [record.metrics["as_published"], record.metrics["deployed"], sampled["mean"]]
    ax.errorbar(values, rows, xerr=[0, 0, sampled["std"]], fmt="none", ecolor=PALE, elinewidth=4)
    ax.plot(sampled["values"], ["sampled"] * len(sampled["values"]), "|", color=BLUE, ms=12)
    ax.plot(values, rows, "o", color=INK)
    for value, row in zip(values, rows, strict=True):
        ax.annotate(f"{value:.3f}", (value, row), (0, 7), textcoords="offset points", ha="center")
    ax.set(xlabel=f"test, {record.metric['unit']}", ylim=(2.5, -0.8))
    ax.margins(x=0.15)
    return figure


def curve(record: Record) -> plt.Figure:
    """Training loss and validation score over updates; the best validation is marked."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.8))
    points = pd.DataFrame(record.curve)
    if record.metric["name"] == "bpc":
        ax.plot(points["update"], points["train_nats"] / np.log(2), color=PALE, lw=2, label="training, bits")
    ax.plot(points["update"], points["valid"], color=INK, lw=2, marker=".", label="validation")
    best = points.loc[points["valid"].fillna(np.inf).idxmin()]
    ax.plot(best["update"], best["valid"], "o", color=RED, label=f"best: {best['valid']:.3f}")
    if "skipped" in points:
        skipped = int(points["skipped"].max())
        ax.set_title(f"{skipped} of {points['update'].max()} updates skipped: no finite gradient", size=9)
    if "entropy_bits" in record.data:
        ax.axhline(record.data["entropy_bits"], color=INK, lw=1, ls=":", label="entropy of the source")
    ax.set(xlabel="update", ylabel=record.metric["unit"])
    ax.legend()
    return figure


def masters(record: Record) -> plt.Figure:
    """Histograms of the final full-precision masters, in units of the scale; levels are dotted."""
    columns = min(4, len(record.weights))
    rows = -(-len(record.weights) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.1 * rows + 0.3), squeeze=False)
    nominal = quantizers.build(record.spec["quantizer"]).levels
    for ax, (name, entry) in zip(axes.flat, record.weights.items(), strict=False):
        counts = np.array(entry["histogram"])
        ax.stairs(100 * counts / max(counts.sum(), 1), BINS.numpy(), fill=True, color=BLUE, alpha=0.8)
        for level in entry.get("levels", nominal) if "codes" in entry else ():
            if abs(level) <= 4:
                ax.axvline(level, color=INK, lw=1, ls=":")
        beyond = f"{100 * entry['saturated']:.0f} % beyond" if "saturated" in entry else "not quantized"
        ax.set_title(f"{name.removeprefix('layers.')}\n{beyond}", fontsize=8)
        used = BINS.numpy()[counts.nonzero()[0]] if counts.any() else BINS.numpy()  # none of a run that diverged
        ax.set(xlabel="w / α" if "codes" in entry else "w / std", xlim=(used.min() - 0.5, used.max() + 0.6))
    for ax in axes[:, 0]:
        ax.set_ylabel("% of weights")
    for ax in axes.flat[len(record.weights) :]:
        ax.set_axis_off()
    return figure


def provenance(record: Record) -> HTML:
    """The box at the end of a page: specification, data, machine, code and digest."""
    machine, sizes = record.machine, record.sizes
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    changes = " and changes" if machine.get("dirty") else ""
    spent = machine.get("spent", {})  # older records have none
    amounts = [f"{spent[name]:,.1f} {unit}" for name, unit in SPENT.items() if spent.get(name) is not None]
    canary = f"canary {record.canary['sha256']}" if record.canary else "no canary"
    rows = {
        "run": record.run.key,
        "spec": _options(record.spec, ", "),
        "recipe": _options({name: value for name, value in record.recipe.items() if value}, ", "),
        "data": ", ".join(f"{name} {value}" for name, value in record.data.items()),
        "size": f"{sizes['parameters']:,} parameters; recurrent weights {sizes['packed_bytes']:,} bytes packed",
        "time": f"{record.seconds:.1f} s, {machine['time']}",
        "took": ", ".join(amounts) or "not kept",
        "machine": f"{machine['processor']}, {machine['system']}, {machine['threads']} thread(s){gpu}",
        "code": f"lowbit {machine['lowbit']} at {machine['revision']}{changes}; {canary}",
        "versions": f"torch {machine['torch']}, Python {machine['python']}; lock {machine.get('lock') or 'not kept'}",
        "digest": record.digest,
        "again": f"lowbit train {_options(record.spec, ' ')}",
    }
    lines = "".join(f"<tr><th>{name}</th><td>{html.escape(str(text))}</td></tr>" for name, text in rows.items())
    return HTML(f'<div class="provenance"><table>{lines}</table></div>')


def _options(values: dict, separator: str) -> str:
    return separator.join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())
