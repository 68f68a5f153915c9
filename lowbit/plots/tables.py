"""The tables that the chapters of the book include, each one written from records, registries and reported values."""

import inspect

import pandas as pd

from lowbit import datasets, paths, quantizers
from lowbit.datasets import Recipe
from lowbit.plots import claims, findings, rankings
from lowbit.plots.hardware import machines
from lowbit.plots.report import ACT_BITS, markdown, reported, spread
from lowbit.plots.templates import Page
from lowbit.quantizers import Quantizer
from lowbit.studies import comparisons, store
from lowbit.studies.comparisons import deviation, seeds
from lowbit.studies.spec import RunSpec, fields


def texts() -> dict[str, str]:
    """All that the chapters include, by file name, from committed records and code alone.

    Raises `InputError` for a claim that its records do not bear out.
    """
    found = store.scan(*store.COMMITTED).records
    return {
        "findings.md": _findings(store.frame(found)),
        "runs.md": _runs(store.frame(found)),
        "quantizers.md": markdown(pd.DataFrame([_quantizer_row(name) for name in quantizers.names()])),
        "datasets.md": markdown(pd.DataFrame([_dataset_row(name) for name in datasets.names()])),
        "recipes.md": _recipes(),
        "reported.md": _reported(),
        "methods.md": markdown(rankings.methods()),
        "variants.md": markdown(rankings.variants()),
        **machines.texts(),
        **{f"claims_{chapter}.md": text for chapter, text in claims.texts(store.frame(found)).items()},
    }


def write() -> list[str]:
    """Writes `texts` into the book; gives the names of those that changed."""
    changed = []
    for name, text in texts().items():
        file = paths.book() / "tables" / name
        if not file.exists() or file.read_text() != text + "\n":
            store.write(file, text + "\n")
            changed.append(name)
    return changed


def _findings(frame: pd.DataFrame) -> str:
    rows = []
    for (dataset, _, _), columns in findings.gather(frame).items():
        first = columns["full precision"].iloc[0]
        row = {"task": f"[{dataset}]({_page('compare', first)})", "score": datasets.build(dataset).metric.unit}
        row["trivial"] = "–" if pd.isna(first["trivial"]) else f"{first['trivial']:.3f}"
        for name in findings.COLUMNS:
            row[name] = "–"
            if name in columns:
                scores = columns[name]["deployed"]
                page = _page("train", columns[name].iloc[0])
                mark = "‡" * bool(comparisons.superseded(columns[name]).any())
                row[name] = f"[{spread(scores.mean(), deviation(scores))}]({page}){mark}"
        rows.append(row)
    return markdown(pd.DataFrame(rows))


def _runs(frame: pd.DataFrame) -> str:
    rows = [
        {
            "run": f"[{run['key']}]({_page('train', run)})" if place == 0 else run["key"],
            "deployed": "diverged" if run["diverged"] else f"{run['deployed']:.3f}",
            "as published": run["as_published"],
            "sampled": spread(run["sampled"], run["sampled_std"]),
            "unit": run["metric"],
            "minutes": f"{run['seconds'] / 60:.1f}",
        }
        for kind in (seeds(frame) if len(frame) else ())
        for place, (_, run) in enumerate(kind.iterrows())
    ]
    return markdown(pd.DataFrame(rows))


def _quantizer_row(name: str) -> dict:
    quantizer = quantizers.build(name)
    own_scale = type(quantizer).scale
    levels = [f"{level:.3g}" for level in quantizer.levels]
    shown = levels if len(levels) <= 4 else [*levels[:2], "…", *levels[-2:]]
    return {
        "quantizer": f"[{name}](pages/quantizers/{name}.ipynb)",
        "bits": quantizer.bits,
        "levels (times scale)": ", ".join(shown) or "all of float32",
        "scale": "1" if own_scale is Quantizer.scale else inspect.getdoc(own_scale).partition("\n")[0].rstrip("."),
        "one weight in hardware": quantizer.lane(ACT_BITS).operation,
        "source": f"{{cite}}`{quantizer.reference}`",
    }


def _dataset_row(name: str) -> dict:
    dataset = datasets.build(name)
    counts = dataset.counts
    return {
        "dataset": name,
        "what": f"{dataset.title} {{cite}}`{dataset.reference}`",
        "task": dataset.task,
        "train / valid / test": " / ".join(
            f"{counts[split]:,}" for split in ("train", "valid", "test") if split in counts
        )
        or "made or found on the machine",
        "licence": dataset.licence,
        "comes by": "download" if dataset.files else "no download",
    }


def _recipes() -> str:
    rows = [
        {
            "dataset": name,
            "budget": budget,
            "network": _network(recipe),
            "updates": f"{recipe.updates:,}",
            "batch": str(recipe.batch),
            "steps": str(recipe.steps),
            "state": "carried" if recipe.carry else "from zero",
            "masters": "clipped" if recipe.clip_masters else "free",
            "optimizer": recipe.optimizer,
            "rate": f"{recipe.rate:g} to {recipe.final_rate:g}",
            "calibration": str(recipe.calibration),
        }
        for name in datasets.names()
        for budget, recipe in datasets.build(name).recipes.items()
    ]
    return markdown(pd.DataFrame(rows))


def _network(recipe: Recipe) -> str:
    words = [f"{recipe.layers} × {recipe.hidden}" if recipe.layers > 1 else str(recipe.hidden)]
    words += ["both ways"] if recipe.bidirectional else []
    words += [f"embedding {recipe.embedding}"] if recipe.embedding else []
    words += [f"dropout {recipe.dropout:g}"] if recipe.dropout else []
    return ", ".join(words)


def _reported() -> str:
    table = reported()
    rows = [
        {
            "paper": f"{{cite}}`{row['paper']}`",
            "table": row["table"],
            "on": row["dataset"] or row["task"],
            "model": f"{row['model']} {row['hidden']:.0f}" if row["hidden"] != "" else row["model"],
            "method": row["method"],
            "value": row["printed"],
            "unit": row["unit"],
            "source": row["source"],
        }
        for _, row in table.astype(object).where(table.notna(), "").iterrows()
    ]
    return markdown(pd.DataFrame(rows))


def _page(template: str, run: pd.Series) -> str:
    spec = RunSpec(**{name: type(default)(run[name]) for name, default in fields().items()})
    return Page(template, spec).link
