"""What one choice does while all others stay: every quantizer on one task, and each difference of a released code."""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd

from lowbit import quantizers
from lowbit.plots.markdown import over_seeds, spread
from lowbit.plots.style import BLUE, GREEN, INK, PALE, RED, WIDTH, YELLOW, label_rows
from lowbit.plots.templates import Page
from lowbit.registry import parse
from lowbit.studies import comparisons, store, study
from lowbit.studies.spec import RunSpec

BITS = {"1": RED, "2": BLUE, "3 or 4": GREEN, "more": YELLOW, "32": INK}  # in the order of the legend


def scored(name: str) -> pd.DataFrame:
    """The records of a study, a row a run that has one, with its `spec`; in the order of the study."""
    records = {run: record for run in study.build(name) if (record := store.load(run)) is not None}
    frame = store.frame(list(records.values()))
    frame["spec"] = list(records)
    return frame


def methods() -> list[dict]:
    """Every quantizer of the study `methods`, best deployed score first."""
    frame = comparisons.ranked(scored("methods")).sort_values("deployed")
    return [
        {
            "quantizer": f"[{run['quantizer']}](pages/quantizers/{parse(run['quantizer'])[0]}.ipynb)",
            "bits": run["bits"],
            "deployed": f"[{run['deployed']:.3f}]({Page('train', run['spec']).link})" + "‡" * superseded,
            "as published": run["as_published"],
            "matrices": run["quantized"].replace("+", ", "),
            "source": f"{{cite}}`{quantizers.build(run['quantizer']).reference}`",
        }
        for (_, run), superseded in zip(frame.iterrows(), comparisons.superseded(frame), strict=True)
    ]


def searches() -> list[dict]:
    """The runs at `search`: a row for each recipe, a column of validation scores for each method, the best in bold."""
    records = store.scan("search").records
    frame, rows = store.frame(records).assign(record=records), {}
    for (quantizer, norm), runs in frame.groupby(["quantizer", "norm"], sort=False):
        method = f"`{quantizer}`" + f", {norm}" * (norm != "batch_step")
        for record, valid in zip(runs["record"], runs["valid"], strict=True):
            recipe = record.run.recipe
            key = (recipe.rate, "clipped" if recipe.clip_masters else "free", recipe.init)
            row = rows.setdefault(key, dict(zip(("rate", "masters", "start"), (f"{key[0]:g}", *key[1:]), strict=True)))
            row[method] = f"**{valid:.3f}**" if valid == runs["valid"].min() else f"{valid:.3f}"
    return pd.DataFrame([rows[key] for key in sorted(rows)]).fillna("–").to_dict("records")


def standings() -> plt.Figure:
    """The deployed score of every quantizer, colored by bits; a line leads to the score as published."""
    frame = comparisons.ranked(scored("methods")).sort_values("deployed").reset_index(drop=True)
    superseded = comparisons.superseded(frame)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.2 + 0.2 * len(frame)))
    marks = {}
    for place, run in frame.iterrows():
        bits = run["bits"]
        kind = str(bits) if bits in (1, 2, 32) else "3 or 4" if bits in (3, 4) else "more"
        ax.plot([run["as_published"], run["deployed"]], [place, place], color=PALE, lw=1)
        face = "none" if superseded[place] else BITS[kind]
        (marks[kind],) = ax.plot(run["deployed"], place, "o", color=BITS[kind], mfc=face, ms=6)
    for score in frame[frame["quantizer"] == "full"]["deployed"]:
        ax.axvline(score, color=INK, lw=1, ls=":")
    label_rows(ax, frame["quantizer"], 0.6)
    ax.set_xlabel(study.build("methods")[0].data.metric.unit)
    kinds = [kind for kind in BITS if kind in marks]
    ax.legend([marks[kind] for kind in kinds], kinds, title="bits", loc="upper right")
    return figure


def variants() -> list[dict]:
    """The runs of the study `variants` beside the plain run on the same data and quantizer; ± over seeds."""
    frame = comparisons.ranked(scored("variants"))
    rows, plain = [], {}
    for spec, runs in frame.groupby(frame["spec"].map(lambda run: dataclasses.replace(run, seed=0)), sort=False):
        score, changes = runs["deployed"].mean(), _changes(spec)
        data = parse(spec.dataset)[0]
        change = score - plain.setdefault((data, spec.quantizer), score)
        page = Page("train", runs["spec"].iloc[0])
        rows.append(
            {
                "data": data,
                "quantizer": spec.quantizer,
                "differs by": f"`{changes}`" if changes else "nothing",
                "deployed": f"[{over_seeds(runs['deployed'])}]({page.link})",
                "change": f"{change:+.3f}" if changes else "–",
                "seeds": len(runs),
                "as published": over_seeds(runs["as_published"]),
                "sampled": spread(runs["sampled"].mean(), runs["sampled_std"].mean()),
            }
        )
    return rows


def _changes(run: RunSpec) -> str:
    """The options of a run's dataset, cell and budget."""
    options = [option for choice in (run.dataset, run.cell, run.budget) for option in parse(choice)[1].items()]
    return ", ".join(f"{name}={value!r}" for name, value in dict(options).items())
