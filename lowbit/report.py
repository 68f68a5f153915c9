"""Tables and boxes: what a notebook shows and what the chapters of the book include, all from records."""

import html
import inspect
import re
import shlex

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown

from lowbit import comparisons, packing, paths, store
from lowbit.comparisons import SAME, Difference, against_full, deviation, seeds
from lowbit.quantizers import Quantizer
from lowbit.spec import RunSpec
from lowbit.store import Record

KEY = re.compile(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b")  # of book/references.bib
ACT_BITS = 12  # of the activations that A's hardware adds up
MATCHED = {"cell": "model", "quantizer": "quantizer", "norm": "norm"}  # of our runs and of reported values


def markdown(frame: pd.DataFrame) -> str:
    """A table; numbers with three decimals, missing ones as a dash; without rows, one that says so.

    >>> print(markdown(pd.DataFrame({"name": ["a"], "score": [1.0]})))
    | name | score |
    | :-- | --: |
    | a | 1.000 |
    """

    if frame.empty:
        return "| |\n| :-- |\n| no record yet |"

    def cell(value) -> str:
        if isinstance(value, float):
            return "–" if pd.isna(value) else f"{value:.3f}"
        return str(value).replace("|", "\\|")

    right = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    lines = [list(frame.columns), ["--:" if number else ":--" for number in right]]
    lines += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def records(spec: RunSpec) -> pd.DataFrame:
    """One row for every record of a spec's dataset and budget; `label` tells the rows of a figure apart."""
    found = [record for record in store.scan(spec.folder).records if record.spec["dataset"] == spec.dataset]
    frame = store.frame(found)
    extra = frame["quantized"].where(frame["quantized"] != "input+recurrent", "").str.replace("+", ", ")
    seen = frame["activations"].where(frame["activations"] != "full", "")
    frame["label"] = frame["quantizer"] + " · " + frame["norm"] + extra.where(extra == "", " · " + extra)
    frame["label"] += seen.where(seen == "", " · h " + seen)
    changes = frame["budget"].str.extract(r"\((.*)\)")[0].fillna("")
    frame["label"] += changes.where(changes == "", " · " + changes)
    return frame


def comparison(frame: pd.DataFrame) -> Markdown:
    """Every kind of run under the three evaluations, best deployed first; ± over seeds, of `sampled` over samples."""
    losses = {tuple(found.alike[name] for name in SAME): found.short for found in against_full(frame)}
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
                "deployed": spread(mean["deployed"], deviation(kind["deployed"])) if finite else "diverged",
                "against full precision": losses.get(tuple(run[name] for name in SAME), "–"),
                "as published": spread(mean["as_published"], deviation(kind["as_published"])),
                "sampled": spread(mean["sampled"], mean["sampled_std"]),
                "weights, kB": f"{run['weight_bytes'] / 1000:.1f}",
                "seconds": round(mean["seconds"]),
            }
        )
    return Markdown(markdown(pd.DataFrame(rows)))


def reported(dataset: str = "") -> pd.DataFrame:
    """What papers report, of one dataset or of all; recalled values carry a dagger."""
    files = [file for file in sorted(paths.reported().glob("*.csv")) if "hardware" not in file.name]
    tables = [pd.read_csv(file, dtype={"value": str, "dataset": str, "quantizer": str, "norm": str}) for file in files]
    table = pd.concat(tables, ignore_index=True)
    table["printed"] = table["value"] + table["status"].map({"recalled": "†", "verified": ""})
    table["value"] = table["value"].astype(float)
    return table[table["dataset"] == dataset] if dataset else table


def comparable(spec: RunSpec) -> pd.DataFrame:
    """What papers report of a spec's dataset in the unit of its score."""
    told = reported(spec.dataset)
    return told[told["metric"] == spec.data.metric.name]


def beside(spec: RunSpec, frame: pd.DataFrame) -> Markdown:
    """Reported values of the spec's dataset beside ours of the same cell, quantizer and norm, where we have some.

    Ours are runs of a plain recipe, changed in its units alone; of several sizes the nearest to the reported one.
    """
    told = comparable(spec)
    if told.empty:
        return Markdown("No paper that we compare with reports a result on these data.")
    plain = comparisons.ranked(frame)
    plain = plain[plain["budget"].str.fullmatch(r"\w+(\(hidden=\d+\))?") & (plain["activations"] == "full")]
    plain = plain[plain["quantized"] == "input+recurrent"]
    rows = []
    for _, row in told.iterrows():
        same = plain[np.logical_and.reduce([plain[ours] == row[theirs] for ours, theirs in MATCHED.items()])]
        if len(same) and pd.notna(row["hidden"]):
            same = same[same["hidden"] == min(same["hidden"], key=lambda units: abs(units - row["hidden"]))]
        same = same[same["hidden"] == same["hidden"].max()]
        rows.append(
            {
                "paper": f"{{cite}}`{row['paper']}`",
                "method": row["method"],
                "units": "–" if pd.isna(row["hidden"]) else str(int(row["hidden"])),
                "reported": row["printed"],
                "ours, deployed": spread(same["deployed"].mean(), deviation(same["deployed"])) if len(same) else "–",
                "our units": str(same["hidden"].iloc[0]) if len(same) else "–",
                "seeds": str(len(same)) if len(same) else "–",
                "unit": row["unit"],
            }
        )
    return Markdown(markdown(pd.DataFrame(rows)) + "\n\n† recalled from the paper, not verified.")


def scores(record: Record) -> Markdown:
    """The three test scores of one run."""
    sampled = record.metrics["sampled"]
    rows = [
        ("deployed", "population statistics, nearest rounding, state carried", f"{record.metrics['deployed']:.3f}"),
        (
            "as published",
            "statistics of the test batch, weights as in training",
            f"{record.metrics['as_published']:.3f}",
        ),
        ("sampled", "population statistics, each weight sample held fixed", spread(sampled["mean"], sampled["std"])),
    ]
    return Markdown(markdown(pd.DataFrame(rows, columns=["evaluation", "what it means", record.metric["unit"]])))


def provenance(record: Record) -> HTML:
    """The box at the end of a run's page: what was run, on what, from which code and data."""
    machine, sizes = record.machine, record.sizes
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    changes = " and changes" if machine.get("dirty") else ""
    canary = f"canary {record.canary['sha256']}" if record.canary else "no canary"
    rows = {
        "run": record.run.key,
        "spec": _words(record.spec, ", "),
        "recipe": _words({name: value for name, value in record.recipe.items() if value}, ", "),
        "data": ", ".join(f"{name} {value}" for name, value in record.data.items()),
        "size": f"{sizes['parameters']:,} parameters; recurrent weights {sizes['packed_bytes']:,} bytes packed",
        "time": f"{record.seconds:.1f} s, {machine['time']}",
        "took": _spent(machine.get("spent", {})),
        "machine": f"{machine['processor']}, {machine['system']}, {machine['threads']} thread(s){gpu}",
        "code": f"lowbit {machine['lowbit']} at {machine['revision']}{changes}; {canary}",
        "versions": f"torch {machine['torch']}, Python {machine['python']}; lock {machine.get('lock') or 'not kept'}",
        "digest": record.digest,
        "again": f"lowbit train {_words(record.spec, ' ')}",
    }
    lines = "".join(f"<tr><th>{name}</th><td>{html.escape(str(text))}</td></tr>" for name, text in rows.items())
    return HTML(f'<div class="provenance"><table>{lines}</table></div>')


def _spent(told: dict) -> str:
    """Processor time, memory and energy of a run; older records do not say."""
    units = {"cpu_seconds": "s of a processor", "peak_memory_mb": "MB at most", "energy_joules": "J"}
    lines = [f"{told[name]:,.1f} {unit}" for name, unit in units.items() if told.get(name) is not None]
    return ", ".join(lines) or "not kept"


def data(spec: RunSpec) -> Markdown:
    """What the data of a spec are, and what is wrong with them: the docstring of the dataset, citations linked."""
    text = KEY.sub(lambda key: f"{{cite:t}}`{key[0]}`", inspect.getdoc(type(spec.data)))
    return Markdown(f"**{spec.data.title}.** {text}")


def card(quantizer: Quantizer) -> Markdown:
    """Formula, gradient and source of a quantizer: its docstring, citations linked."""
    text = KEY.sub(lambda key: f"{{cite:t}}`{key[0]}`", inspect.getdoc(type(quantizer)))
    lane = quantizer.lane(ACT_BITS)
    levels = "full precision" if not quantizer.levels else f"{len(quantizer.levels)} levels, {quantizer.bits} bit"
    short = f"**In short:** {levels}; in hardware one weight costs: {lane.operation}; after"
    return Markdown(f"{text}\n\n{short} {{cite:t}}`{quantizer.reference}`.")


def unit(spec: RunSpec) -> str:
    """What scores on a spec's dataset are counted in."""
    return spec.data.metric.unit


def verdict(frame: pd.DataFrame) -> Markdown:
    """What low-bit weights change against full precision where all else is alike: cell, norm, size, budget and seed."""
    if frame.empty:
        return Markdown("No records yet: `lowbit run tour` makes some.")
    found = against_full(frame)
    several = comparisons.repeated(found)
    diverged = len(frame) - len(comparisons.ranked(frame))
    lines = [f"{len(frame)} runs." + (f" {diverged} diverged and are not compared." if diverged else "")]
    if not found:
        lines.append("No low-bit run has one in full precision with the same cell, norm, size, budget and seed.")
    if several:
        lines.append("Against full precision with the same cell, norm, size, budget and seeds:\n")
        lines += [f"- **{difference.verdict}**: {_kind(difference)}: {difference}" for difference in several]
        lines.append("")
    if len(found) > len(several):
        lines.append(
            f"Of {len(found)} comparisons with full precision {len(found) - len(several)} rest on one seed and are no"
            " finding; the table below has them."
        )
    return Markdown("\n".join(lines))


def _kind(difference: Difference) -> str:
    """What is compared, in words."""
    alike = difference.alike
    text = f"`{alike['quantizer']}`, {alike['cell'].upper()} of {alike['hidden']} units, norm `{alike['norm']}`"
    return text + f", only {alike['quantized'].replace('+', ', ')}" * (alike["quantized"] != "input+recurrent")


def packed(quantizer: Quantizer) -> Markdown:
    """What a thousand by thousand matrix of such weights takes, packed."""
    levels = len(quantizer.levels)
    size = 1_000_000 // packing.per_byte(levels) if levels else 4_000_000
    text = f"A 1000 × 1000 matrix takes {size / 1000:,.0f} kB, {8 * size / 1e6:.2f} bits a weight"
    return Markdown(f"{text}; in float32 it takes 4,000 kB.")


def _words(told: dict, between: str) -> str:
    return between.join(f"{name}={shlex.quote(str(value))}" for name, value in told.items())


def spread(mean: float, std: float) -> str:
    """A mean with its standard deviation, where there is one; of small numbers one digit more."""
    places = 4 if abs(mean) < 0.1 else 3
    return f"{mean:.{places}f}\u00a0±\u00a0{std:.{places}f}" if std else f"{mean:.{places}f}"
