"""The tables that the chapters of the book include, each one written from records, registries and reported values."""

import inspect

import pandas as pd

from lowbit import datasets, paths, quantizers
from lowbit.datasets import Recipe
from lowbit.plots import claims
from lowbit.plots.hardware import machines
from lowbit.plots.markdown import over_seeds, spread, table
from lowbit.plots.quantizers import ACT_BITS
from lowbit.plots.results import findings, rankings
from lowbit.plots.results.reported import reported
from lowbit.plots.templates import Page
from lowbit.quantizers import Quantizer
from lowbit.studies import comparisons, store
from lowbit.studies.comparisons import seeds
from lowbit.studies.spec import RunSpec, fields


def texts() -> dict[str, str]:
    """All that the chapters include, by file name, from committed records and code alone.

    Raises `InputError` for a claim that its records do not bear out.
    """
    frame = store.frame(store.scan(*store.EVIDENCE).records)
    tables = {
        "findings": _findings(frame),
        "runs": _runs(frame),
        "quantizers": [_quantizer(name) for name in quantizers.names()],
        "datasets": [_dataset(name) for name in datasets.names()],
        "recipes": _recipes(),
        "reported": _reported(),
        "methods": rankings.methods(),
        "variants": rankings.variants(),
        "searches": rankings.searches(),
        **machines.tables(),
    }
    sentences = {f"claims_{chapter}.md": text for chapter, text in claims.texts(frame).items()}
    return {f"{name}.md": table(rows) for name, rows in tables.items()} | sentences


def write() -> list[str]:
    """Writes `texts` into the book; returns the names of those that changed."""
    changed = []
    for name, text in texts().items():
        file = paths.book() / "tables" / name
        if not file.exists() or file.read_text() != text + "\n":
            store.write(file, text + "\n")
            changed.append(name)
    return changed


def _findings(frame: pd.DataFrame) -> list[dict]:
    rows = []
    for (dataset, _, _), columns in findings.gather(frame).items():
        first = columns["full precision"].iloc[0]
        row = {"task": f"[{dataset}]({_link('compare', first)})", "score": datasets.build(dataset).metric.unit}
        row["trivial"] = "–" if pd.isna(first["trivial"]) else f"{first['trivial']:.3f}"
        row |= dict.fromkeys(findings.COLUMNS, "–")
        for name, runs in columns.items():
            mark = "‡" * bool(comparisons.superseded(runs).any())
            row[name] = f"[{over_seeds(runs['deployed'])}]({_link('train', runs.iloc[0])}){mark}"
        rows.append(row)
    return rows


def _runs(frame: pd.DataFrame) -> list[dict]:
    return [
        {
            "run": f"[{run['key']}]({_link('train', run)})" if place == 0 else run["key"],
            "deployed": "diverged" if run["diverged"] else f"{run['deployed']:.3f}",
            "as published": run["as_published"],
            "sampled": spread(run["sampled"], run["sampled_std"]),
            "unit": run["metric"],
            "minutes": f"{run['seconds'] / 60:.1f}",
        }
        for kind in (seeds(frame) if len(frame) else ())
        for place, (_, run) in enumerate(kind.iterrows())
    ]


def _quantizer(name: str) -> dict:
    quantizer = quantizers.build(name)
    scale = type(quantizer).scale
    levels = [f"{level:.3g}" for level in quantizer.levels]
    if len(levels) > 4:
        levels[2:-2] = ["…"]
    return {
        "quantizer": f"[{name}](pages/quantizers/{name}.ipynb)",
        "bits": quantizer.bits,
        "levels (times scale)": ", ".join(levels) or "all of float32",
        "scale": "1" if scale is Quantizer.scale else inspect.getdoc(scale).partition("\n")[0].rstrip("."),
        "one weight in hardware": quantizer.lane(ACT_BITS).operation,
        "source": f"{{cite}}`{quantizer.reference}`",
    }


def _dataset(name: str) -> dict:
    dataset = datasets.build(name)
    counts = [f"{dataset.counts[split]:,}" for split in ("train", "valid", "test") if split in dataset.counts]
    return {
        "dataset": name,
        "what": f"{dataset.title} {{cite}}`{dataset.reference}`",
        "task": dataset.task,
        "train / valid / test": " / ".join(counts) or "made or found on the machine",
        "licence": dataset.licence,
        "comes by": "download" if dataset.files else "no download",
    }


def _recipes() -> list[dict]:
    return [
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


def _network(recipe: Recipe) -> str:
    parts = [f"{recipe.layers} × {recipe.hidden}" if recipe.layers > 1 else str(recipe.hidden)]
    parts += ["both ways"] if recipe.bidirectional else []
    parts += [f"embedding {recipe.embedding}"] if recipe.embedding else []
    parts += [f"dropout {recipe.dropout:g}"] if recipe.dropout else []
    return ", ".join(parts)


def _reported() -> list[dict]:
    frame = reported()
    return [
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
        for _, row in frame.astype(object).where(frame.notna(), "").iterrows()
    ]


def _link(template: str, run: pd.Series) -> str:
    spec = RunSpec(**{name: type(default)(run[name]) for name, default in fields().items()})
    return Page(template, spec).link
