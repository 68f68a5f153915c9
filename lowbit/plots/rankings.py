"""What one choice does while all others stay: every quantizer on one task, and each difference of a released code."""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lowbit import quantizers
from lowbit.plots.figures import COLORS, INK, PALE, WIDTH
from lowbit.plots.report import spread
from lowbit.plots.templates import Page
from lowbit.registry import parse
from lowbit.studies import comparisons, store, study
from lowbit.studies.comparisons import deviation
from lowbit.studies.spec import RunSpec

BITS = {"1": COLORS["gru"], "2": COLORS["lstm"], "3 or 4": COLORS["min_lstm"], "more": COLORS["rnn"], "32": INK}


def scored(name: str) -> pd.DataFrame:
    """The records of a study, a row a run that has one, with its `spec`; in the order of the study."""
    rows = [(run, record) for run in study.build(name) if (record := store.load(run)) is not None]
    frame = store.frame([record for _, record in rows])
    frame["spec"] = [run for run, _ in rows]
    return frame


def methods() -> pd.DataFrame:
    """Every quantizer of the study `methods`, best deployed score first."""
    rows = []
    frame = comparisons.ranked(scored("methods")).sort_values("deployed")
    for (_, run), old in zip(frame.iterrows(), comparisons.superseded(frame), strict=True):
        name = parse(run["quantizer"])[0]
        rows.append(
            {
                "quantizer": f"[{run['quantizer']}](pages/quantizers/{name}.ipynb)",
                "bits": run["bits"],
                "deployed": f"[{run['deployed']:.3f}]({Page('train', run['spec']).link})" + "‡" * old,
                "as published": run["as_published"],
                "matrices": run["quantized"].replace("+", ", "),
                "source": f"{{cite}}`{quantizers.build(run['quantizer']).reference}`",
            }
        )
    return pd.DataFrame(rows)


def standings() -> Figure:
    """The deployed score of every quantizer, coloured by bits; a line leads to the score as published."""
    frame = comparisons.ranked(scored("methods")).sort_values("deployed").reset_index(drop=True)
    old = comparisons.superseded(frame)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.2 + 0.2 * len(frame)))
    shown = {}
    for place, run in frame.iterrows():
        kind = _kind(run["bits"])
        ax.plot([run["as_published"], run["deployed"]], [place, place], color=PALE, lw=1)
        face = "none" if old[place] else BITS[kind]
        (shown[kind],) = ax.plot(run["deployed"], place, "o", color=BITS[kind], mfc=face, ms=6)
    full = frame[frame["quantizer"] == "full"]["deployed"]
    for score in full:
        ax.axvline(score, color=INK, lw=1, ls=":")
    ax.set_yticks(range(len(frame)), frame["quantizer"])
    ax.set_ylim(max(len(frame), 1) - 0.4, -0.6)
    ax.set_xlabel(study.build("methods")[0].data.metric.unit)
    kinds = [kind for kind in BITS if kind in shown]
    ax.legend([shown[kind] for kind in kinds], kinds, title="bits", loc="upper right")
    return figure


def variants() -> pd.DataFrame:
    """The runs of the study `variants` beside the plain run on the same data and quantizer; ± over seeds."""
    frame = comparisons.ranked(scored("variants"))
    rows, plain = [], {}
    for spec, runs in frame.groupby(frame["spec"].map(lambda run: dataclasses.replace(run, seed=0)), sort=False):
        score = runs["deployed"].mean()
        told = _difference(spec)
        data = parse(spec.dataset)[0]
        plain.setdefault((data, spec.quantizer), score)
        change = score - plain[data, spec.quantizer]
        page = Page("train", runs["spec"].iloc[0])
        rows.append(
            {
                "data": data,
                "quantizer": spec.quantizer,
                "differs by": f"`{told}`" if told else "nothing",
                "deployed": f"[{spread(score, deviation(runs['deployed']))}]({page.link})",
                "change": f"{change:+.3f}" if told else "–",
                "seeds": len(runs),
                "as published": spread(runs["as_published"].mean(), deviation(runs["as_published"])),
                "sampled": spread(runs["sampled"].mean(), runs["sampled_std"].mean()),
            }
        )
    return pd.DataFrame(rows)


def _kind(bits: int) -> str:
    return str(bits) if bits in (1, 2, 32) else "3 or 4" if bits in (3, 4) else "more"


def _difference(run: RunSpec) -> str:
    """What a run has beside its dataset, cell and budget by their bare names."""
    changed = {}
    for choice in (run.dataset, run.cell, run.budget):
        changed |= parse(choice)[1]
    return ", ".join(f"{option}={value!r}" for option, value in changed.items())
