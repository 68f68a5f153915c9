"""Tables of benchmark records: what was measured, on what, and which bars were met."""

import statistics

import pandas as pd
from IPython.display import Markdown

from lowbit.plots.report import markdown, spread
from lowbit.speed.benchmarks import Benchmark, Case, Quartiles
from lowbit.studies.comparisons import deviation

GROUPS = {  # of peers, in the words of the tables
    "torch": "torch's layer",
    "eager": "the eager loop",
    "float32": "the fastest in float32",
    "int8": "onnxruntime in int8",
}
PRODUCTS = {"fused": "float32", "fused(products='bfloat16')": "bfloat16", "library": "torch's layer inside"}


def label(case: Case) -> str:
    """A case of training in a few words."""
    about = case.about
    kind = about["cell"].partition("(")[0].upper()
    words = [f"{kind} {about['hidden']}", about["norm"] if about["norm"] != "none" else "no norm", about["quantizer"]]
    return " · ".join([*words, *([] if about["symbols"] else [f"{about['steps']} steps"])])


def machine(benchmark: Benchmark) -> Markdown:
    """On what a benchmark ran, what was left out, and whether it came to its end."""
    told = benchmark.machine
    caches = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in told["caches"].items())
    products = ", ".join(f"{e['numbers']} {e['giga_operations']:,.0f}" for e in benchmark.limits.get("products", ()))
    changes = " and changes" if told["dirty"] else ""
    rows = {
        "processor": f"{told['processor']}, {told['cores']} cores, {told['system']}",
        "instructions": ", ".join(told["instructions"]) or "not told",
        "caches": caches or "not told",
        "products, one thread": f"{products} billion operations a second" if products else "not measured",
        "versions": f"torch {told['torch']}, Python {told['python']}; lock {told['lock'] or 'not kept'}",
        "code": f"lowbit {told['lowbit']} at {told['revision']}{changes}; {told['time']}",
        "asked for": ", ".join(f"{name} {value}" for name, value in benchmark.settings.items()),
        "left out": "; ".join(benchmark.absent) or "nothing",
    }
    table = markdown(pd.DataFrame([{"what": name, "told": text} for name, text in rows.items()]))
    end = "" if benchmark.complete else "\n\n**The benchmark did not come to its end**: what it had measured is shown."
    return Markdown(table + end)


def bars(benchmark: Benchmark) -> pd.DataFrame:
    """Every bar that was set before measuring, with the ratio that has to reach it."""
    rows = []
    for case in benchmark.cases:
        for name, against in case.bars.items():
            for group, bar in against.items():
                ratio = case.ratio(name, group) if name in case.seconds else None
                if ratio is not None:
                    rows.append({"work": _work(case, name), "against": GROUPS[group], **_judged(ratio, bar)})
    return pd.DataFrame(rows)


def verdict(benchmark: Benchmark) -> Markdown:
    """How many of the bars are met, and which are not."""
    told = bars(benchmark)
    if told.empty:
        return Markdown("No bar was set for what is measured here.")
    missed = told[told["met"] == "no"]
    text = f"{len(told) - len(missed)} of {len(told)} bars on speed are met."
    if len(missed):
        each = (
            f"{row['work']} against {row['against']} ({row['median']} of {row['bar']})" for _, row in missed.iterrows()
        )
        text += f" Missed: {'; '.join(each)}."
    return Markdown(text)


def judged(benchmark: Benchmark) -> Markdown:
    """The table of all bars."""
    return Markdown(markdown(bars(benchmark)))


def training(benchmark: Benchmark) -> Markdown:
    """Every case of training: seconds of torch's layer, and how many times faster each contestant is."""
    rows = []
    for case in benchmark.cases:
        ours = {PRODUCTS[name]: case.ratio(name, "torch") for name in case.names("ours")}
        others = {name: case.fastest(name) for name in ("eager", "brevitas")}
        more = [f"{value:.2f}" for name in case.names("ours") if (value := _more(case, name))]
        rows.append(
            {
                "layer": label(case),
                "threads": case.threads,
                "torch's layer, s": f"{case.time('torch').median:.3f}",
                "ours": _told(ours.get("float32") or ours.get("torch's layer inside")),
                "ours, bfloat16": _told(ours.get("bfloat16")),
                "eager loop": _told(others["eager"] and case.ratio(others["eager"], "torch")),
                "Brevitas": _told(others["brevitas"] and case.ratio(others["brevitas"], "torch")),
                "memory of ours": ", ".join(more) or "–",
            }
        )
    return Markdown(markdown(pd.DataFrame(rows)))


def memory(benchmark: Benchmark) -> Markdown:
    """One sentence on the peak memory of an update."""
    found = [value for case in benchmark.cases for name in case.names("ours") if (value := _more(case, name))]
    if not found:
        return Markdown("Peak memory was not measured.")
    bar = benchmark.settings["memory_bar"]
    kept = sum(value <= bar for value in found)
    return Markdown(
        f"An update needs at most {max(found):.2f} times the memory of torch's layer;"
        f" {kept} of {len(found)} layers stay within the bar of {bar:g}."
    )


def starts(benchmark: Benchmark) -> Markdown:
    """Seconds of imports and of the first use beyond them, where nothing is compiled yet and after that."""
    rows = [
        {
            **({"model": row["quantizer"]} if "quantizer" in row else {}),
            "compiled code": {"empty": "none yet", "filled": "kept from before"}[row["cache"]],
            "imports, s": f"{row['import_seconds']:.2f}",
            "first use beyond them, s": f"{row['seconds']:.2f}",
            "bar, s": f"{row['bar']:g}",
            "met": "yes" if row["seconds"] <= row["bar"] else "no",
            **({"imports torch": "yes" if row["torch"] else "no"} if "torch" in row else {}),
        }
        for name in ("first_use", "start_up")
        for row in benchmark.tables.get(name, ())
    ]
    return Markdown(markdown(pd.DataFrame(rows)))


def inference(benchmark: Benchmark, instructions: str = "all") -> Markdown:
    """Microseconds of a step by contestant and units."""
    rows: dict[str, dict] = {}
    for case in (case for case in benchmark.cases if case.about["instructions"] == instructions):
        for name in case.seconds:
            row = rows.setdefault(name, {"contestant": name, "kernel": case.notes[name].get("kernel", "–")})
            row[f"{case.about['units']} units, µs"] = _micro(case.time(name))
    return Markdown(markdown(pd.DataFrame(list(rows.values())).fillna("–")))


def files(benchmark: Benchmark) -> Markdown:
    """Packed files beside the float32 values of the same networks."""
    rows = []
    for row in benchmark.tables.get("files", ()):
        smaller = row["float32_bytes"] / row["bytes"]
        judged = {True: "yes", False: "no"}[smaller >= row["bar"]] if "bar" in row else "–"
        rows.append(
            {
                "weights": row["quantizer"],
                "units": row["units"],
                "file, kB": f"{row['bytes'] / 1000:,.0f}",
                "float32, kB": f"{row['float32_bytes'] / 1000:,.0f}",
                "times smaller": f"{smaller:.1f}",
                "bar": f"{row['bar']:g}" if "bar" in row else "–",
                "met": judged,
            }
        )
    return Markdown(markdown(pd.DataFrame(rows)))


def products(benchmark: Benchmark | None) -> Markdown:
    """Test scores of both products, mean and deviation over seeds, and what a seed changes."""
    if benchmark is None:
        return Markdown("No record yet: `python benchmarks/bfloat16.py` makes one.")
    table = pd.DataFrame(benchmark.tables["scores"])
    rows = [
        {
            "products": name,
            f"deployed, {benchmark.settings['unit']}": spread(each["deployed"].mean(), deviation(each["deployed"])),
            "seeds": len(each),
            "training, s": f"{statistics.median(each['seconds']):.0f}",
        }
        for name, each in table.groupby("products", sort=False)
    ]
    run = ", ".join(f"{name} `{benchmark.settings[name]}`" for name in ("dataset", "cell", "quantizer", "budget"))
    return Markdown(f"{markdown(pd.DataFrame(rows))}\n\nTrained: {run}.")


def activations(benchmark: Benchmark | None) -> Markdown:
    """What rounding activations costs where all steps share their statistics."""
    if benchmark is None:
        return Markdown("No record yet: `python benchmarks/shared_statistics.py` makes one.")
    unit = benchmark.settings["unit"]
    rows = [
        {
            "weights": row["quantizer"],
            "bits of activations": "float32" if row["act_bits"] == 32 else str(row["act_bits"]),
            f"one stream, {unit}": f"{row['stream']:.4f}",
            f"segments, {unit}": f"{row['segments']:.4f}",
            "file, kB": f"{row['bytes'] / 1000:,.0f}",
        }
        for row in benchmark.tables["kept"]
        if row["kept"] == 0
    ]
    run = ", ".join(f"{name} `{benchmark.settings[name]}`" for name in ("dataset", "cell", "budget"))
    return Markdown(f"{markdown(pd.DataFrame(rows))}\n\nTrained: {run}.")


def _work(case: Case, name: str) -> str:
    if "hidden" in case.about:
        threads = f", {case.threads} threads" if case.threads > 1 else ""
        return f"{label(case)}, {PRODUCTS.get(name, name)}{threads}"
    narrow = "" if case.about["instructions"] == "all" else f", {case.about['instructions']} alone"
    return f"{name}, {case.about['units']} units{narrow}"


def _judged(ratio: Quartiles, bar: float) -> dict:
    met = "yes" if ratio.median >= bar else "no"
    quartiles = f"{_digits(ratio.low)} to {_digits(ratio.high)}"
    return {"bar": f"{bar:g}", "median": _digits(ratio.median), "quartiles": quartiles, "met": met}


def _told(ratio: Quartiles | None) -> str:
    return "–" if ratio is None else _digits(ratio.median)


def _digits(value: float) -> str:
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"


def _micro(time: Quartiles) -> str:
    return f"{1e6 * time.median:,.1f}" if time.median < 1e-4 else f"{1e6 * time.median:,.0f}"


def _more(case: Case, name: str) -> float | None:
    ours, theirs = (case.notes[each].get("peak_mib") for each in (name, "torch"))
    return ours / theirs if ours and theirs else None
