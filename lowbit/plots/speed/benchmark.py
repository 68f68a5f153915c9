"""What the pages of all benchmarks show: targets that were set before measuring, first use, machine, and rooflines."""

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes

from lowbit.plots.markdown import properties, table
from lowbit.plots.style import INK, PALE, log_axis
from lowbit.speed import roofline
from lowbit.speed.benchmarks import Benchmark, Case, Quartiles

GROUPS = {  # of peers
    "torch": "torch's layer",
    "eager": "the eager loop",
    "float32": "the fastest in float32",
    "int8": "onnxruntime in int8",
}
PRODUCTS = {"fused": "float32", "fused(products='bfloat16')": "bfloat16", "library": "torch's layer inside"}
OCTAVES = {"base": 2, "subs": (1, 1.5)}  # of a logarithmic axis


def label(case: Case) -> str:
    """A case of training in a few words."""
    about = case.about
    kind = about["cell"].partition("(")[0].upper()
    norm = about["norm"] if about["norm"] != "none" else "no norm"
    steps = "" if about["symbols"] else f" · {about['steps']} steps"
    return f"{kind} {about['hidden']} · {norm} · {about['quantizer']}{steps}"


def digits(ratio: Quartiles | None) -> str:
    """The median of a ratio with about three digits; a dash for none."""
    return "–" if ratio is None else _digits(ratio.median)


def bars(benchmark: Benchmark) -> pd.DataFrame:
    """Every target that was set before measuring, with the ratio that has to reach it."""
    return pd.DataFrame(
        {
            "work": _work(case, name),
            "against": GROUPS[group],
            "target": f"{bar:g}",
            "median": digits(ratio),
            "quartiles": f"{_digits(ratio.low)} to {_digits(ratio.high)}",
            "met": "yes" if ratio.median >= bar else "no",
        }
        for case in benchmark.cases
        for name, groups in case.bars.items()
        for group, bar in groups.items()
        if name in case.seconds and (ratio := case.ratio(name, group)) is not None
    )


def verdict(benchmark: Benchmark) -> Markdown:
    """How many of the targets are met, and which are not."""
    rows = bars(benchmark)
    if rows.empty:
        return Markdown("No target was set for this benchmark.")
    missed = [
        f"{row['work']} against {row['against']} ({row['median']} of {row['target']})"
        for row in rows[rows["met"] == "no"].to_dict("records")
    ]
    text = f"{len(rows) - len(missed)} of {len(rows)} speed targets are met."
    return Markdown(text + (f" Missed: {'; '.join(missed)}." if missed else ""))


def judged(benchmark: Benchmark) -> Markdown:
    """The table of all targets."""
    return Markdown(table(bars(benchmark)))


def starts(benchmark: Benchmark) -> Markdown:
    """Seconds of imports and of the first use beyond them, where nothing is compiled yet and after that."""
    rows = [
        {
            **({"model": row["quantizer"]} if "quantizer" in row else {}),
            "compiled code": {"empty": "none yet", "filled": "kept from before"}[row["cache"]],
            "imports, s": f"{row['import_seconds']:.2f}",
            "first use beyond them, s": f"{row['seconds']:.2f}",
            "target, s": f"{row['bar']:g}",
            "met": "yes" if row["seconds"] <= row["bar"] else "no",
            **({"imports torch": "yes" if row["torch"] else "no"} if "torch" in row else {}),
        }
        for name in ("first_use", "start_up")
        for row in benchmark.tables.get(name, ())
    ]
    return Markdown(table(rows))


def machine(benchmark: Benchmark) -> Markdown:
    """The machine and the settings of a benchmark, what was left out, and whether it came to its end."""
    about = benchmark.machine
    caches = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in about["caches"].items())
    limits = benchmark.limits.get("products", ())
    products = ", ".join(f"{limit['numbers']} {limit['giga_operations']:,.0f}" for limit in limits)
    changes = " and changes" if about["dirty"] else ""
    rows = {
        "processor": f"{about['processor']}, {about['cores']} cores, {about['system']}",
        "instructions": ", ".join(about["instructions"]) or "not recorded",
        "caches": caches or "not recorded",
        "products, one thread": f"{products} billion operations a second" if products else "not measured",
        "versions": f"torch {about['torch']}, Python {about['python']}; lock {about['lock'] or 'not kept'}",
        "code": f"lowbit {about['lowbit']} at {about['revision']}{changes}; {about['time']}",
        "settings": ", ".join(f"{name} {value}" for name, value in benchmark.settings.items()),
        "left out": "; ".join(benchmark.absent) or "nothing",
    }
    end = "" if benchmark.complete else "\n\n**The benchmark did not come to its end**: what it had measured is shown."
    return Markdown(properties(rows) + end)


def trained(benchmark: Benchmark, *names: str) -> str:
    """The settings of the runs that a benchmark trained, as a sentence."""
    return f"Trained: {', '.join(f'{name} `{benchmark.settings[name]}`' for name in names)}."


def roofs(ax: Axes, benchmark: Benchmark, reach: tuple[float, float], numbers: tuple[str, ...]) -> None:
    """Level lines of products and slanted ones of reading, each up to the highest level."""
    tops = {limit["numbers"]: limit["giga_operations"] for limit in benchmark.limits["products"]}
    tops = {name: top for name, top in tops.items() if name in numbers}
    x = np.geomspace(*reach, 100)
    for name, top in tops.items():
        ax.plot(reach, [top, top], color=INK, lw=1.2)
        ax.annotate(f"{name} products", (reach[1], top), (-3, 3), textcoords="offset points", ha="right", size=8)
    highest = max(tops.values())
    for name, speed in roofline.levels(benchmark.machine, benchmark.limits).items():
        ax.plot(x, np.where(speed * x <= highest, speed * x, np.nan), color=PALE, lw=1.5, zorder=1)
        ax.annotate(name, (reach[0], speed * reach[0]), (3, 4), textcoords="offset points", size=8, color="#6b7080")
    log_axis(ax.xaxis, **OCTAVES)
    log_axis(ax.yaxis, subs=(1,))
    ax.set(ylabel="billion operations a second", xlim=reach)


def _work(case: Case, name: str) -> str:
    if "hidden" in case.about:
        threads = f", {case.threads} threads" if case.threads > 1 else ""
        return f"{label(case)}, {PRODUCTS.get(name, name)}{threads}"
    narrow = "" if case.about["instructions"] == "all" else f", {case.about['instructions']} alone"
    return f"{name}, {case.about['units']} units{narrow}"


def _digits(value: float) -> str:
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"
