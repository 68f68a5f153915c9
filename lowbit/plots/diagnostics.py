"""The figures of the diagnostics: each takes the diagnoses or the records of one dataset and budget."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowbit.plots.figures import COLORS, INK, WIDTH, nothing
from lowbit.plots.report import markdown, spread
from lowbit.studies.spec import RunSpec, fields
from lowbit.studies.store import Record
from lowbit.training.diagnose import Diagnosis
from lowbit.training.measurements import BINS, SATURATED

# What of a GRU is quantized, and how B's figure 3 would call it.
PARTS = {"input": "input", "recurrent": "recurrent", "biases": "biases", "input+recurrent+biases": "all"}


def summary(diagnoses: Sequence[Diagnosis], spec: RunSpec) -> Markdown:
    """One row a diagnosis; without any, how to make one."""
    if not diagnoses:
        told = f"dataset={spec.dataset} budget={spec.folder}"
        text = "No network of this dataset and budget has been measured yet, so only what the records tell is shown."
        return Markdown(f"{text} `lowbit diagnose {told} quantizer=ternary` measures one.")
    rows = []
    for diagnosis, label in zip(diagnoses, _labels([each.spec for each in diagnoses]), strict=True):
        radius, drawn = np.array(diagnosis.jacobians["radius"]), diagnosis.samples.get("drawn", [])
        rows.append(
            {
                "network": label,
                "largest eigenvalue, mean": radius.mean() if radius.size else np.nan,
                "highest": radius.max() if radius.size else np.nan,
                "norm of h, last step": diagnosis.jacobians["hidden"][-1],
                "saturated, %": 100 * np.mean([each["low"] + each["high"] for each in diagnosis.gates.values()]),
                "draws": spread(float(np.mean(drawn)), float(np.std(drawn, ddof=1))) if drawn else "–",
                "measured": "the network of the record" if diagnosis.same else "trained again, differs in digits",
            }
        )
    return Markdown(markdown(pd.DataFrame(rows)))


def jacobians(diagnoses: Sequence[Diagnosis]) -> Figure:
    """Largest eigenvalue and spectral norm of the step's Jacobian, and the norm of the state, step by step."""
    if not diagnoses:
        return nothing("no network measured")
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))
    titles = {"radius": "largest eigenvalue", "spectral_norm": "spectral norm", "hidden": "norm of the state"}
    for told, label, look in _looks(diagnoses):
        step = told.jacobians["step"]
        for ax, name in zip(axes, ("radius", "spectral_norm"), strict=False):
            values = np.array(told.jacobians[name])
            ax.plot(step, values.mean(1), **look)
            ax.fill_between(step, values.min(1), values.max(1), color=look["color"], alpha=0.15, lw=0)
        axes[2].plot(np.arange(1, len(told.jacobians["hidden"]) + 1), told.jacobians["hidden"], label=label, **look)
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        ax.set(xlabel="step", title=title)
        if name != "hidden":
            ax.axhline(1, color=INK, lw=1, ls=":")
            values = np.concatenate([np.ravel(told.jacobians[name]) for told in diagnoses])
            if values.size and values.max() > 20 * values.min():
                ax.set_yscale("log")
    _legend(figure, axes[2])
    return figure


def gates(diagnoses: Sequence[Diagnosis]) -> Figure:
    """What each gate is given, a row a network; the share at either end says how often the gate is shut or open."""
    if not diagnoses:
        return nothing("no network measured")
    columns = max(len(told.gates) for told in diagnoses)
    size = (WIDTH, 0.5 + 1.1 * len(diagnoses))
    figure, axes = plt.subplots(len(diagnoses), columns, figsize=size, squeeze=False, sharex=True)
    for row, (told, label, look) in zip(axes, _looks(diagnoses), strict=True):
        for ax in row[len(told.gates) :]:
            ax.set_visible(False)
        for ax, (gate, entry) in zip(row, told.gates.items(), strict=False):
            counts = np.array(entry["histogram"])
            ax.stairs(counts / max(counts.sum(), 1), BINS.numpy(), fill=True, color=look["color"], alpha=0.8)
            ax.set_yticks([])
            ax.set_title(f"{gate}:  {100 * entry['low']:.0f} % | {100 * entry['high']:.0f} %", size=7)
            for edge in (-SATURATED, SATURATED):
                ax.axvline(edge, color=INK, lw=0.8, ls=":")
        row[0].set_ylabel(label.replace(" · ", "\n"), size=6.5)
    figure.supxlabel("before the nonlinearity", size="medium")
    return figure


def by_length(diagnoses: Sequence[Diagnosis]) -> Figure:
    """The deployed score against the length of test segments; the trained length is dotted."""
    shown = [told for told in diagnoses if told.lengths]
    if not shown:
        return nothing("no network measured on a text, which can be cut into any length")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    for told, label, look in _looks(shown):
        ax.plot(told.lengths["length"], told.lengths["score"], marker=".", label=label, **look)
        ax.axvline(told.steps, color=INK, lw=1, ls=":")
    _doubling(ax, sorted({length for told in shown for length in told.lengths["length"]}))
    ax.set(xlabel="steps of a test segment, from a fresh state", ylabel=_unit(shown))
    _legend(figure, ax)
    return figure


def by_batch(diagnoses: Sequence[Diagnosis]) -> Figure:
    """The score as published against the test batch; with population statistics it is the faint level line."""
    shown = [told for told in diagnoses if told.batches["size"]]
    if not shown:
        return nothing("no network measured")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    for told, label, look in _looks(shown):
        ax.plot(told.batches["size"], told.batches["as_published"], marker=".", label=label, **look)
        ax.plot(told.batches["size"], told.batches["population"], color=look["color"], lw=4, alpha=0.25)
    _doubling(ax, sorted({size for told in shown for size in told.batches["size"]}))
    ax.set(xlabel="sequences in a test batch", ylabel=_unit(shown))
    _legend(figure, ax)
    return figure


def samples(diagnoses: Sequence[Diagnosis], found: Sequence[Record]) -> Figure:
    """Scores of single draws of the weights beside that of nearest rounding: of diagnoses, and of records."""
    rows = [(each.spec, each.samples["drawn"], each.samples["nearest"]) for each in diagnoses if each.samples]
    measured = [each.run for each in diagnoses if each.samples]
    for record in found:
        drawn = record.metrics["sampled"]["values"]
        if len(drawn) > 1 and record.run not in measured:
            rows.append((record.spec, drawn, record.metrics["deployed"]))
    if not rows:
        return nothing("no network whose weights are drawn")
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.28 * len(rows)))
    for y, (_, drawn, nearest) in enumerate(rows):
        ax.plot(drawn, [y] * len(drawn), "|", color=COLORS["lstm"], ms=12, label="a draw" if y == 0 else None)
        ax.plot(nearest, y, "o", color=INK, label="nearest rounding" if y == 0 else None)
    ax.set_yticks(range(len(rows)), _labels([spec for spec, _, _ in rows]))
    ax.set(xlabel=f"test, {RunSpec(**rows[0][0]).data.metric.unit}", ylim=(len(rows) - 0.5, -0.5))
    _legend(figure, ax)
    return figure


def saturated(found: Sequence[Record]) -> Figure:
    """The share of masters at or beyond the outermost level, by matrix, of every record with few-bit weights.

    Seeds share a row.
    """
    shown = [record for record in found if any("saturated" in entry for entry in record.weights.values())]
    if not shown:
        return nothing("no record with few-bit weights")
    alike = [record.spec | {"seed": 0} for record in shown]
    rows = [spec for at, spec in enumerate(alike) if spec not in alike[:at]]
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.22 * len(rows)))
    kinds = {
        "weight_x": ("o", COLORS["lstm"], "input matrices"),
        "weight_h": ("s", COLORS["gru"], "recurrent matrices"),
    }
    for record, spec in zip(shown, alike, strict=True):
        for name, entry in record.weights.items():
            if "saturated" in entry:
                marker, color, label = kinds.get(name.rpartition(".")[2], ("^", INK, "others"))
                ax.plot(100 * entry["saturated"], rows.index(spec), marker, color=color, label=label, alpha=0.8)
    ax.set_yticks(range(len(rows)), _labels(rows))
    ax.set(xlabel="% of masters at or beyond the outermost level", ylim=(len(rows) - 0.5, -0.5), xlim=(-2, 102))
    _legend(figure, ax)
    return figure


def curves(found: Sequence[Record]) -> Figure:
    """Validation scores over updates of every record, a panel a cell."""
    if not found:
        return nothing("no record")
    kinds = sorted({record.spec["cell"].partition("(")[0] for record in found})
    figure, axes = plt.subplots(1, len(kinds), figsize=(WIDTH, 3.6), sharey=True, squeeze=False)
    for told, label, look in _looks(found):
        ax = axes[0, kinds.index(told.spec["cell"].partition("(")[0])]
        table = pd.DataFrame(told.curve)
        ax.plot(table["update"], table["valid"], **look | {"lw": 1.2}, marker=".", label=label)
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.set(xlabel="update", title=kind.upper())
    axes[0, 0].set_ylabel(f"validation, {found[0].metric['unit']}")
    if len(found) <= 24:
        _legend(figure, *axes[0])
    return figure


def parts(found: Sequence[Record]) -> Figure:
    """Validation of a GRU by what of it is ternarized: mean and standard deviation over seeds."""
    groups: dict[tuple, list[Record]] = {}
    for record in found:
        spec = record.spec
        part = "full precision" if spec["quantizer"] == "full" else PARTS.get(spec["quantized"])
        if spec["cell"] == "gru" and spec["quantizer"] in ("full", "ternaryconnect") and part:
            groups.setdefault((spec["norm"], spec["budget"], part), []).append(record)
    several = {key: same for key, same in groups.items() if len(same) > 1}
    setting = next((key[:2] for key in several if key[2] in PARTS.values()), None)
    if setting is None:
        return nothing("no GRU with parts ternarized in several seeds (see the study parts)")
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for color, part in zip([INK, *sns.color_palette("colorblind")], ["full precision", *PARTS.values()], strict=False):
        same = several.get((*setting, part), [])
        if same:
            table = pd.concat([pd.DataFrame(record.curve) for record in same]).groupby("update")["valid"]
            mean, std = table.mean(), table.std()
            ax.plot(mean.index, mean, color=color, lw=1.8, label=f"{part}, {len(same)} seeds")
            ax.fill_between(mean.index, mean - std, mean + std, color=color, alpha=0.2, lw=0)
    ax.set(xlabel="update", ylabel=f"validation, {found[0].metric['unit']}")
    _legend(figure, ax)
    return figure


def _looks(told: Sequence[Diagnosis | Record]) -> Iterator[tuple[Diagnosis | Record, str, dict]]:
    """Each with its label, which seeds share, and how its line is drawn: a color a quantizer, dashed without a norm."""
    names = sorted({each.spec["quantizer"] for each in told} - {"full"})
    palette = sns.color_palette("colorblind") if len(names) <= 10 else sns.husl_palette(len(names))
    colors = {"full": INK} | dict(zip(names, palette, strict=False))
    for each, label in zip(told, _labels([each.spec | {"seed": 0} for each in told]), strict=True):
        style = "--" if each.spec["norm"] == "none" else "-"
        yield each, label, {"color": colors[each.spec["quantizer"]], "ls": style, "lw": 1.6}


def _labels(specs: Sequence[dict]) -> list[str]:
    """Quantizer and norm of each, and of the other fields those that are not the same for all."""
    specs = [fields() | spec for spec in specs]  # an old record may lack a field
    told = [name for name in fields() if name in ("quantizer", "norm") or len({spec[name] for spec in specs}) > 1]
    return [" · ".join(f"seed {spec[name]}" if name == "seed" else spec[name] for name in told) for spec in specs]


def _doubling(ax: Axes, values: list[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(values, [str(value) for value in values])


def _unit(diagnoses: Sequence[Diagnosis]) -> str:
    return f"test, {diagnoses[0].run.data.metric.unit}"


def _legend(figure: Figure, *axes: Axes) -> None:
    handles = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    columns = 90 // max(map(len, handles), default=1)
    place = {"loc": "outside upper center", "ncols": max(1, min(3, columns, len(handles))), "fontsize": "small"}
    figure.legend(handles.values(), handles.keys(), **place)
