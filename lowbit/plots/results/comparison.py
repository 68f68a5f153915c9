"""The page over all records of a dataset and budget."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from lowbit.plots import markdown
from lowbit.plots.markdown import over_seeds, spread
from lowbit.plots.results.reported import comparable
from lowbit.plots.style import BLUE, GRAY, GREEN, INK, PURPLE, RED, TEAL, WIDTH, YELLOW, label_rows, legend
from lowbit.studies import comparisons, store
from lowbit.studies.comparisons import SAME, Difference, against_full, seeds
from lowbit.studies.spec import RunSpec

CELLS = {"lstm": (BLUE, "o"), "gru": (RED, "s"), "rnn": (YELLOW, "^")}  # color and marker
CELLS |= {"min_lstm": (GREEN, "v"), "min_gru": (PURPLE, "P"), "mlgru": (TEAL, "X")}


def records(spec: RunSpec) -> pd.DataFrame:
    """One row for every record of a spec's dataset and budget; `label` tells the rows of a figure apart."""
    scanned = store.scan(spec.folder).records
    frame = store.frame([record for record in scanned if record.spec["dataset"] == spec.dataset])
    frame["label"] = [_label(run) for run in frame.to_dict("records")]
    return frame


def _label(run: dict) -> str:
    parts = [
        run["quantizer"],
        run["norm"],
        run["quantized"].replace("+", ", ") if run["quantized"] != "input+recurrent" else "",
        f"h {run['activations']}" if run["activations"] != "full" else "",
        run["budget"].partition("(")[2].removesuffix(")"),
    ]
    return " · ".join(filter(None, parts))


def verdict(frame: pd.DataFrame) -> Markdown:
    """What low-bit weights change against full precision where all else is alike: cell, norm, size, budget and seed."""
    if frame.empty:
        return Markdown("No records yet: `lowbit run tour` makes some.")
    differences = against_full(frame)
    several = comparisons.repeated(differences)
    diverged = len(frame) - len(comparisons.ranked(frame))
    lines = [f"{len(frame)} runs." + (f" {diverged} diverged and are not compared." if diverged else "")]
    if not differences:
        lines.append("No low-bit run has one in full precision with the same cell, norm, size, budget and seed.")
    if several:
        lines.append("Against full precision with the same cell, norm, size, budget and seeds:\n")
        lines += [f"- **{difference.verdict}**: {_runs(difference)}: {difference}" for difference in several]
        lines.append("")
    if once := len(differences) - len(several):
        lines.append(
            f"Of {len(differences)} comparisons with full precision {once} rest on one seed and are no finding; the"
            " table below has them."
        )
    return Markdown("\n".join(lines))


def _runs(difference: Difference) -> str:
    alike = difference.alike
    text = f"`{alike['quantizer']}`, {alike['cell'].upper()} of {alike['hidden']} units, norm `{alike['norm']}`"
    return text + f", only {alike['quantized'].replace('+', ', ')}" * (alike["quantized"] != "input+recurrent")


def table(frame: pd.DataFrame) -> Markdown:
    """Every kind of run under the three evaluations, best deployed first; ± over seeds, of `sampled` over samples."""
    losses = {tuple(change.alike[name] for name in SAME): change.short for change in against_full(frame)}
    rows = []
    for kind in seeds(frame):
        run, mean = kind.iloc[0], kind.mean(numeric_only=True)
        finite = len(comparisons.ranked(kind)) == len(kind)
        rows.append(
            {
                "cell": run["cell"],
                "weights": f"[{run['label']}](../runs/{run['key']}.ipynb)",
                "bits": run["bits"],
                "units": run["hidden"],
                "seeds": len(kind),
                "deployed": over_seeds(kind["deployed"]) if finite else "diverged",
                "against full precision": losses.get(tuple(run[name] for name in SAME), "–"),
                "as published": over_seeds(kind["as_published"]),
                "sampled": spread(mean["sampled"], mean["sampled_std"]),
                "weights, kB": f"{run['weight_bytes'] / 1000:.1f}",
                "seconds": round(mean["seconds"]),
            }
        )
    return Markdown(markdown.table(rows))


def grid(frame: pd.DataFrame, spec: RunSpec) -> plt.Figure:
    """Deployed scores of every quantizer and cell; full precision is dashed, reported scores are hollow."""
    runs = comparisons.ranked(frame).sort_values(["bits", "quantizer", "norm"], ascending=[False, True, True])
    order = list(dict.fromkeys(runs["label"]))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.4 + 0.28 * len(order)))
    kinds = runs["cell"].str.split("(").str[0]
    for place, (kind, rows) in enumerate(runs.groupby(kinds)):
        y = [order.index(label) + 0.2 * (place - (kinds.nunique() - 1) / 2) for label in rows["label"]]
        color, marker = CELLS.get(kind, (GRAY, "*"))
        ax.hlines(y, rows["deployed"], rows["as_published"], color=color, lw=1.5, alpha=0.45)
        ax.plot(rows["deployed"], y, marker, color=color, ms=6, label=kind.upper(), zorder=3)
        for _, same in rows[rows["quantizer"] == "full"].groupby(["norm", "budget"]):
            ax.axvline(same["deployed"].mean(), color=color, ls="--", lw=1, alpha=0.6)
    published = comparable(spec)
    published = published[published["value"] < 1.5 * runs["deployed"].max()]
    for y, label in enumerate(order):
        run = runs[runs["label"] == label].iloc[0]
        same = published[(published["quantizer"] == run["quantizer"]) & (published["norm"] == run["norm"])]
        if len(same):
            ax.plot(same["value"], [y] * len(same), "D", mfc="none", mec=INK, ms=5, label="reported by a paper")
    label_rows(ax, order, 0.6)
    ax.set_xlabel(f"deployed, {spec.data.metric.unit}; a line ends at the score as published")
    legend(figure)
    return figure


def data(spec: RunSpec) -> Markdown:
    """What the data of a spec are, and what is wrong with them."""
    return Markdown(f"**{spec.data.title}.** {markdown.docstring(type(spec.data))}")
