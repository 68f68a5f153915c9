"""What the records of runs bear out: low-bit weights beside full precision, norms, evaluations, recipes."""

import numpy as np
import pandas as pd

from lowbit.plots.claims.base import Claim, claim, enumeration
from lowbit.studies import comparisons, study

TASKS = {"norm": "batch_step", "quantized": "input+recurrent", "activations": "full"}
FREE = "cpu(clip_masters=False)"


@claim("intro")
def ternary_costs(frame: pd.DataFrame) -> Claim:
    """Ternary weights against full precision, task by task."""
    differences = comparisons.differences(plain(frame), {"quantizer": "ternary"}, {"quantizer": "full"})
    several = comparisons.repeated(differences)
    worse = sum(difference.worse for difference in several)
    text = (
        f"**Ternary weights cost something on {worse} of the {len(several)} tasks with several seeds.** Against full"
        f" precision: {_by_kind(differences)}"
    )
    return Claim(text, worse > 0 and not any(difference.better for difference in several), _keys(several))


@claim("intro")
def binary_costs_more(frame: pd.DataFrame) -> Claim:
    """Binary weights against ternary ones, task by task."""
    differences = comparisons.differences(plain(frame), {"quantizer": "binary"}, {"quantizer": "ternary"})
    several = comparisons.repeated(differences)
    head = "Whether binary weights cost more than ternary ones is not settled"
    if any(difference.worse for difference in several):
        head = "Where binary and ternary weights are found to differ, binary ones cost more"
    holds = bool(several) and not any(difference.better for difference in several)
    return Claim(f"**{head}.** Binary against ternary: {_by_kind(differences)}", holds, _keys(several))


@claim("intro")
def one_bit_needs_a_norm(frame: pd.DataFrame) -> Claim:
    """The same one-bit weights without and with batch norm."""
    bare, normed = ({"quantizer": "binaryconnect", "norm": norm} for norm in ("none", "batch_step"))
    differences = comparisons.differences(frame[frame["budget"] == "cpu"], bare, normed)
    several = comparisons.repeated(differences)
    text = (
        "**BinaryConnect's one bit without a norm does worse than with it.** Without a norm against the same with batch"
        f" norm: {_by_kind(differences)}"
    )
    return Claim(text, bool(several) and all(difference.worse for difference in several), _keys(several))


@claim("intro")
def parts_of_a_gru(frame: pd.DataFrame) -> Claim:
    """B's third figure: which part of a GRU is ternarized."""
    runs = frame[(frame["dataset"] == "warpeace") & (frame["cell"] == "gru") & (frame["norm"] == "none")]
    differences = comparisons.differences(runs, {"quantizer": "ternaryconnect"}, {"quantizer": "full"})
    by_part = {difference.alike["quantized"]: difference for difference in differences}
    whole, inputs, recurrent = (by_part.get(part) for part in ("input+recurrent+biases", "input", "recurrent"))
    holds = None not in (whole, inputs, recurrent) and whole.worse and inputs.interval[0] > recurrent.interval[1]
    parts = "; ".join(f"{part.replace('+', ', ')} {change} ({change.verdict})" for part, change in by_part.items())
    text = (
        "**Without a norm a ternary GRU does not keep up on War and Peace, and its input matrix costs more than its"
        f" recurrent one.** With {whole and whole.alike['hidden']} units at the budget `brief`, rounded to the nearest,"
        f" `ternaryconnect` on: {parts}."
    )
    return Claim(text, holds, _keys(differences))


@claim("intro")
def tests_differ(frame: pd.DataFrame) -> Claim:
    """The published evaluation against the deployed one, for the same networks and items."""
    several = comparisons.repeated(comparisons.evaluations(plain(frame), "as_published", "deployed"))
    sure = [difference for difference in several if difference.worse or difference.better]
    if not sure:
        return Claim("", False, _keys(several))
    kinds = {"worse": "worse on", "better": "better on", "no difference found": "with no difference found on"}
    parts = [
        f"{kind} {enumeration(sorted({_task(change) for change in changes}))}"
        for verdict, kind in kinds.items()
        if (changes := _of(several, verdict))
    ]
    largest = max(sure, key=lambda difference: abs(difference.percent))
    text = (
        "**The published way of testing does not measure what is deployed.** For the same networks and items it scores"
        f" {'; '.join(parts)}. The largest mean change found is that of `{largest.alike['quantizer']}` on"
        f" {_task(largest)}: {largest}."
    )
    return Claim(text, True, _keys(several))


@claim("intro")
def rounding_beats_sampling(frame: pd.DataFrame) -> Claim:
    """Stochastic weights rounded once against sampled, in the same networks."""
    stochastic = frame[frame["quantizer"].str.contains("stochastic=True") & (frame["norm"] == "batch_step")]
    stochastic = stochastic[stochastic["budget"].isin(("brief", "cpu"))]
    differences = comparisons.repeated(comparisons.evaluations(stochastic, "deployed", "sampled"))
    changes = "; ".join(f"`{change.alike['quantizer']}` on {_task(change)} {change}" for change in differences)
    text = (
        "**Rounding beats sampling where both were measured.** Networks trained with sampled weights score better when"
        f" their weights are rounded once than when they are sampled: {changes}. Training chose them by the rounded"
        " score."
    )
    return Claim(text, bool(differences) and all(change.better for change in differences), _keys(differences))


@claim("quantization")
def clipping_helps_full_precision(frame: pd.DataFrame) -> Claim:
    """Full precision with clipped masters against the same without."""
    clipped, free = ({"quantizer": "full", "clipped": value} for value in (True, False))
    runs = frame.assign(budget=[comparisons.without(budget, "clip_masters") for budget in frame["budget"]])
    differences = comparisons.differences(runs, clipped, free)
    changes = [f"{_task(change)} at `{change.alike['budget']}` {change}, {change.verdict}" for change in differences]
    better = sum(change.better for change in differences)
    text = (
        f"**Clipping is found to help full precision in {better} of {len(differences)} comparisons.** With masters kept"
        f" within A's scale against the same without: {'; '.join(changes)}. Recipes that clip do so in every method"
        " under a norm."
    )
    return Claim(text, better > 0, _keys(differences))


@claim("quantizers")
def methods_spread(frame: pd.DataFrame) -> Claim:
    """How far apart the quantizers of one width are, beside the step to the next width."""
    runs = comparisons.ranked(frame[frame["key"].isin({run.key for run in study.build("methods")})])
    alike = runs[~comparisons.superseded(runs) & (runs["quantized"] == "input+recurrent")]
    spans = [
        f"{scores.max() - scores.min():.3f} among {len(scores)} of {width}"
        for bits, width in ((1, "one bit"), (2, "two bits"))
        if len(scores := alike[alike["bits"] == bits]["deployed"]) > 1
    ]
    text = (
        "With one run of each and one recipe for all, none of this is a finding. Scores of quantizers that are trained"
        f" alike span, in bits per character, {enumeration(spans)}; a ranking of methods with one recipe is a ranking"
        " of recipes."
    )
    return Claim(text, len(spans) == 2, tuple(runs["key"]))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the tasks at a budget of minutes: dataset, cell and quantizer vary, and whether full is clipped."""
    plain = frame[np.logical_and.reduce([frame[name] == value for name, value in TASKS.items()])]
    return plain[(plain["budget"] == "cpu") | ((plain["quantizer"] == "full") & (plain["budget"] == FREE))]


def _task(difference: comparisons.Difference) -> str:
    return f"`{difference.alike['dataset']}`"


def _keys(differences: list[comparisons.Difference]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for difference in differences for key in difference.keys))


def _of(differences: list[comparisons.Difference], verdict: str) -> list[comparisons.Difference]:
    return [change for change in differences if change.verdict == verdict]


def _by_kind(differences: list[comparisons.Difference]) -> str:
    """The differences by their verdicts; those of one seed by name alone."""
    parts = [
        f"{verdict.capitalize()}: {'; '.join(f'{_task(change)} {change}' for change in changes)}."
        for verdict in ("worse", "better", "no difference found")
        if (changes := _of(differences, verdict))
    ]
    once = [_task(change) for change in differences if change.seeds == 1]
    return " ".join([*parts, *([f"One seed, hence no finding: {', '.join(once)}."] if once else [])])
