"""The page of diagnostics; figures take the diagnoses or the records of one dataset and budget."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown

from lowbit.plots.markdown import spread, table
from lowbit.plots.style import BLUE, INK, RED, WIDTH, label_rows, legend, log_axis, placeholder
from lowbit.studies.spec import RunSpec, fields
from lowbit.studies.store import Record
from lowbit.training.diagnose import Diagnosis
from lowbit.training.measurements import BINS, SATURATED

# What of a GRU is quantized, and how B's figure 3 would call it.
PARTS = {"input": "input", "recurrent": "recurrent", "biases": "biases", "input+recurrent+biases": "all"}
MATRICES = {"weight_x": ("o", BLUE, "input matrices"), "weight_h": ("s", RED, "recurrent matrices")}


def summary(diagnoses: Sequence[Diagnosis], spec: RunSpec) -> Markdown:
    """One row a diagnosis; without any, how to make one."""
    if not diagnoses:
        return Markdown(
            "No network of this dataset and budget has been measured yet, so only what the records tell is shown."
            f" `lowbit diagnose dataset={spec.dataset} budget={spec.folder} quantizer=ternary` measures one."
        )
    rows = []
    for diagnosis, label in zip(diagnoses, _labels([diagnosis.spec for diagnosis in diagnoses]), strict=True):
        radius, scores = np.array(diagnosis.jacobians["radius"]), diagnosis.samples.get("drawn", [])
        rows.append(
            {
                "network": label,
                "largest eigenvalue, mean": radius.mean() if radius.size else np.nan,
                "highest": radius.max() if radius.size else np.nan,
                "norm of h, last step": diagnosis.jacobians["hidden"][-1],
                "saturated, %": 100 * np.mean([gate["low"] + gate["high"] for gate in diagnosis.gates.values()]),
                "draws": spread(float(np.mean(scores)), float(np.std(scores, ddof=1))) if scores else "–",
                "measured": "the network of the record" if diagnosis.same else "trained again, differs in digits",
            }
        )
    return Markdown(table(rows))


def jacobians(diagnoses: Sequence[Diagnosis]) -> plt.Figure:
    """Largest eigenvalue and spectral norm of the step's Jacobian, and the norm of the state, step by step."""
    if not diagnoses:
        return placeholder("no network measured")
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    titles = {"radius": "largest eigenvalue", "spectral_norm": "spectral norm", "hidden": "norm of the state"}
    for diagnosis, label, look in _looks(diagnoses):
        for ax, name in zip(axes[:2], titles, strict=False):
            step, values = diagnosis.jacobians["step"], np.array(diagnosis.jacobians[name])
            ax.plot(step, values.mean(1), **look)
            ax.fill_between(step, values.min(1), values.max(1), color=look["color"], alpha=0.15, lw=0)
        hidden = diagnosis.jacobians["hidden"]
        axes[2].plot(np.arange(1, len(hidden) + 1), hidden, label=label, **look)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        ax.set(xlabel="step", title=title)
        if name != "hidden":
            ax.axhline(1, color=INK, lw=1, ls=":")
            values = np.concatenate([np.ravel(diagnosis.jacobians[name]) for diagnosis in diagnoses])
            if values.size and values.max() > 20 * values.min():
                ax.set_yscale("log")
    legend(figure)
    return figure


def gates(diagnoses: Sequence[Diagnosis]) -> plt.Figure:
    """Histograms of the input of each gate, a row a network, with the shares at either end: shut or open."""
    if not diagnoses:
        return placeholder("no network measured")
    columns = max(len(diagnosis.gates) for diagnosis in diagnoses)
    size = (WIDTH, 0.5 + 1.1 * len(diagnoses))
    figure, axes = plt.subplots(len(diagnoses), columns, figsize=size, squeeze=False, sharex=True)
    for row, (diagnosis, label, look) in zip(axes, _looks(diagnoses), strict=True):
        for ax in row[len(diagnosis.gates) :]:
            ax.set_visible(False)
        for ax, (gate, entry) in zip(row, diagnosis.gates.items(), strict=False):
            counts = np.array(entry["histogram"])
            ax.stairs(counts / max(counts.sum(), 1), BINS.numpy(), fill=True, color=look["color"], alpha=0.8)
            ax.set_yticks([])
            ax.set_title(f"{gate}:  {100 * entry['low']:.0f} % | {100 * entry['high']:.0f} %", size=7)
            for edge in (-SATURATED, SATURATED):
                ax.axvline(edge, color=INK, lw=0.8, ls=":")
        row[0].set_ylabel(label.replace(" · ", "\n"), size=6.5)
    figure.supxlabel("before the nonlinearity", size="medium")
    return figure


def by_length(diagnoses: Sequence[Diagnosis]) -> plt.Figure:
    """The deployed score against the length of test segments; the trained length is dotted."""
    measured = [diagnosis for diagnosis in diagnoses if diagnosis.lengths]
    if not measured:
        return placeholder("no network measured on a text, which can be cut into any length")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    for diagnosis, label, look in _looks(measured):
        ax.plot(diagnosis.lengths["length"], diagnosis.lengths["score"], marker=".", label=label, **look)
        ax.axvline(diagnosis.steps, color=INK, lw=1, ls=":")
    log_axis(ax.xaxis, ticks=sorted({length for diagnosis in measured for length in diagnosis.lengths["length"]}))
    ax.set(xlabel="steps of a test segment, from the initial state", ylabel=f"test, {measured[0].run.data.metric.unit}")
    legend(figure)
    return figure


def by_batch(diagnoses: Sequence[Diagnosis]) -> plt.Figure:
    """The score as published against the test batch; with population statistics it is the faint level line."""
    measured = [diagnosis for diagnosis in diagnoses if diagnosis.batches["size"]]
    if not measured:
        return placeholder("no network measured")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    for diagnosis, label, look in _looks(measured):
        batches = diagnosis.batches
        ax.plot(batches["size"], batches["as_published"], marker=".", label=label, **look)
        ax.plot(batches["size"], batches["population"], color=look["color"], lw=4, alpha=0.25)
    log_axis(ax.xaxis, ticks=sorted({size for diagnosis in measured for size in diagnosis.batches["size"]}))
    ax.set(xlabel="sequences in a test batch", ylabel=f"test, {measured[0].run.data.metric.unit}")
    legend(figure)
    return figure


def samples(diagnoses: Sequence[Diagnosis], records: Sequence[Record]) -> plt.Figure:
    """Scores of single draws of the weights beside that of nearest rounding: of diagnoses, and of records."""
    sampled = [diagnosis for diagnosis in diagnoses if diagnosis.samples]
    rows = [(diagnosis.spec, diagnosis.samples["drawn"], diagnosis.samples["nearest"]) for diagnosis in sampled]
    measured = [diagnosis.run for diagnosis in sampled]
    for record in records:
        scores = record.metrics["sampled"]["values"]
        if len(scores) > 1 and record.run not in measured:
            rows.append((record.spec, scores, record.metrics["deployed"]))
    if not rows:
        return placeholder("no network whose weights are drawn")
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.28 * len(rows)))
    for y, (_, scores, nearest) in enumerate(rows):
        ax.plot(scores, [y] * len(scores), "|", color=BLUE, ms=12, label="a sample")
        ax.plot(nearest, y, "o", color=INK, label="nearest rounding")
    label_rows(ax, _labels([spec for spec, _, _ in rows]))
    ax.set_xlabel(f"test, {RunSpec(**rows[0][0]).data.metric.unit}")
    legend(figure)
    return figure


def saturated(records: Sequence[Record]) -> plt.Figure:
    """The share of saturated master weights, by matrix, of every record with few-bit weights.

    Seeds share a row.
    """
    shares = [
        (record.spec | {"seed": 0}, name, entry["saturated"])
        for record in records
        for name, entry in record.weights.items()
        if "saturated" in entry
    ]
    if not shares:
        return placeholder("no record with few-bit weights")
    rows = list({str(spec): spec for spec, _, _ in shares}.values())
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.22 * len(rows)))
    for spec, name, share in shares:
        marker, color, label = MATRICES.get(name.rpartition(".")[2], ("^", INK, "others"))
        ax.plot(100 * share, rows.index(spec), marker, color=color, label=label, alpha=0.8)
    label_rows(ax, _labels(rows))
    ax.set(xlabel="% of master weights that are saturated", xlim=(-2, 102))
    legend(figure)
    return figure


def curves(records: Sequence[Record]) -> plt.Figure:
    """Validation scores over updates of every record, a panel a cell."""
    if not records:
        return placeholder("no record")
    kinds = sorted({record.spec["cell"].partition("(")[0] for record in records})
    figure, axes = plt.subplots(1, len(kinds), figsize=(WIDTH, 3.6), sharey=True, squeeze=False)
    for record, label, look in _looks(records):
        ax = axes[0, kinds.index(record.spec["cell"].partition("(")[0])]
        points = pd.DataFrame(record.curve)
        ax.plot(points["update"], points["valid"], **look | {"lw": 1.2}, marker=".", label=label)
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.set(xlabel="update", title=kind.upper())
    axes[0, 0].set_ylabel(f"validation, {records[0].metric['unit']}")
    if len(records) <= 24:
        legend(figure)
    return figure


def parts(records: Sequence[Record]) -> plt.Figure:
    """Validation of a GRU by what of it is ternarized: mean and standard deviation over seeds."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        spec = record.spec
        part = "full precision" if spec["quantizer"] == "full" else PARTS.get(spec["quantized"])
        if spec["cell"] == "gru" and spec["quantizer"] in ("full", "ternaryconnect") and part:
            groups.setdefault((spec["norm"], spec["budget"], part), []).append(record)
    several = {key: same for key, same in groups.items() if len(same) > 1}
    setting = next((key[:2] for key in several if key[2] in PARTS.values()), None)
    if setting is None:
        return placeholder("no GRU with parts ternarized in several seeds (see the study parts)")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for color, part in zip([INK, *sns.color_palette("colorblind")], ["full precision", *PARTS.values()], strict=False):
        if same := several.get((*setting, part)):
            valid = pd.concat([pd.DataFrame(record.curve) for record in same]).groupby("update")["valid"]
            mean, std = valid.mean(), valid.std()
            ax.plot(mean.index, mean, color=color, lw=1.8, label=f"{part}, {len(same)} seeds")
            ax.fill_between(mean.index, mean - std, mean + std, color=color, alpha=0.2, lw=0)
    ax.set(xlabel="update", ylabel=f"validation, {records[0].metric['unit']}")
    legend(figure)
    return figure


def _looks(networks: Sequence[Diagnosis | Record]) -> Iterator[tuple[Diagnosis | Record, str, dict]]:
    """Each with its label, which seeds share, and its line: a color a quantizer, dashed without a norm."""
    names = sorted({network.spec["quantizer"] for network in networks} - {"full"})
    palette = sns.color_palette("colorblind") if len(names) <= 10 else sns.husl_palette(len(names))
    colors = {"full": INK} | dict(zip(names, palette, strict=False))
    for network, label in zip(networks, _labels([network.spec | {"seed": 0} for network in networks]), strict=True):
        dashes = "--" if network.spec["norm"] == "none" else "-"
        yield network, label, {"color": colors[network.spec["quantizer"]], "ls": dashes, "lw": 1.6}


def _labels(specs: Sequence[dict]) -> list[str]:
    """Quantizer and norm of each, and of the other fields those that are not the same for all."""
    specs = [fields() | spec for spec in specs]  # an old record may lack a field
    names = [name for name in fields() if name in ("quantizer", "norm") or len({spec[name] for spec in specs}) > 1]
    return [" · ".join(f"seed {spec[name]}" if name == "seed" else spec[name] for name in names) for spec in specs]
