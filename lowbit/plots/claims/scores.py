"""What the records of runs bear out: low-bit weights beside full precision, norms, evaluations, recipes."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lowbit.plots.claims.base import Claim, claim, listed
from lowbit.studies import comparisons, study
from lowbit.studies.comparisons import Difference

TASKS = {"norm": "batch_step", "quantized": "input+recurrent", "activations": "full"}
FREE = "cpu(clip_masters=False)"


@claim("intro")
def ternary_costs(frame: pd.DataFrame) -> Claim:
    """Ternary weights against full precision, task by task."""
    found = comparisons.differences(_plain(frame), {"quantizer": "ternary"}, {"quantizer": "full"})
    several = comparisons.repeated(found)
    holds = any(difference.worse for difference in several) and not any(difference.better for difference in several)
    where = f"{sum(each.worse for each in several)} of the {len(several)} tasks with several seeds"
    sentence = f"**Ternary weights cost something on {where}.** Against full precision: {_listed(found)}"
    return Claim(sentence, holds, _keys(several))


@claim("intro")
def binary_costs_more(frame: pd.DataFrame) -> Claim:
    """Binary weights against ternary ones, task by task."""
    found = comparisons.differences(_plain(frame), {"quantizer": "binary"}, {"quantizer": "ternary"})
    several = comparisons.repeated(found)
    head = "Whether binary weights cost more than ternary ones is not settled"
    if any(difference.worse for difference in several):
        head = "Where binary and ternary weights are found to differ, binary ones cost more"
    holds = bool(several) and not any(difference.better for difference in several)
    return Claim(f"**{head}.** Binary against ternary: {_listed(found)}", holds, _keys(several))


@claim("intro")
def one_bit_needs_a_norm(frame: pd.DataFrame) -> Claim:
    """The same one-bit weights without and with batch norm."""
    budget = frame[frame["budget"] == "cpu"]
    bare, normed = ({"quantizer": "binaryconnect", "norm": norm} for norm in ("none", "batch_step"))
    found = comparisons.differences(budget, bare, normed)
    several = comparisons.repeated(found)
    sentence = (
        "**BinaryConnect's one bit without a norm does worse than with it.** Without a norm against the same with batch"
        f" norm: {_listed(found)}"
    )
    return Claim(sentence, bool(several) and all(difference.worse for difference in several), _keys(several))


@claim("intro")
def parts_of_a_gru(frame: pd.DataFrame) -> Claim:
    """B's third figure: which part of a GRU is ternarized."""
    runs = frame[(frame["dataset"] == "warpeace") & (frame["cell"] == "gru") & (frame["norm"] == "none")]
    found = comparisons.differences(runs, {"quantizer": "ternaryconnect"}, {"quantizer": "full"})
    by_part = {difference.alike["quantized"]: difference for difference in found}
    whole, inputs, recurrent = (by_part.get(part) for part in ("input+recurrent+biases", "input", "recurrent"))
    holds = None not in (whole, inputs, recurrent) and whole.worse and inputs.interval[0] > recurrent.interval[1]
    told = "; ".join(f"{part.replace('+', ', ')} {each} ({each.verdict})" for part, each in by_part.items())
    sentence = (
        "**Without a norm a ternary GRU does not keep up on War and Peace, and its input matrix costs more than its"
        f" recurrent one.** With {whole and whole.alike['hidden']} units at the budget `brief`, rounded to the nearest,"
        f" `ternaryconnect` on: {told}."
    )
    return Claim(sentence, holds, _keys(found))


@claim("intro")
def tests_differ(frame: pd.DataFrame) -> Claim:
    """The published evaluation against the deployed one, for the same networks and items."""
    found = comparisons.evaluations(_plain(frame), "as_published", "deployed")
    several = comparisons.repeated(found)
    kinds = {"worse": "worse on", "better": "better on", "no difference found": "with no difference found on"}
    tasks = {
        verdict: sorted({f"`{_task(change)}`" for change in same}) for verdict, same in _by_verdict(several).items()
    }
    told = [f"{words} {listed(tasks[verdict])}" for verdict, words in kinds.items() if verdict in tasks]
    sure = [difference for difference in several if difference.worse or difference.better]
    if not sure:
        return Claim("", False, _keys(several))
    largest = max(sure, key=lambda difference: abs(difference.percent))
    sentence = (
        "**The published way of testing does not measure what is deployed.** For the same networks and items it scores"
        f" {'; '.join(told)}. The largest mean change found is that of `{largest.alike['quantizer']}` on"
        f" `{_task(largest)}`: {largest}."
    )
    return Claim(sentence, True, _keys(several))


@claim("intro")
def rounding_beats_drawing(frame: pd.DataFrame) -> Claim:
    """Stochastic weights rounded once against drawn, in the same networks."""
    drawn = frame[frame["quantizer"].str.contains("stochastic=True") & (frame["norm"] == "batch_step")]
    drawn = drawn[drawn["budget"].isin(("brief", "cpu"))]
    found = comparisons.repeated(comparisons.evaluations(drawn, "deployed", "sampled"))
    told = "; ".join(f"`{each.alike['quantizer']}` on `{_task(each)}` {each}" for each in found)
    sentence = (
        "**Rounding beats drawing where both were measured.** Networks trained with drawn weights score better when"
        f" their weights are rounded once than when they are drawn: {told}. Training chose them by the rounded score."
    )
    return Claim(sentence, bool(found) and all(each.better for each in found), _keys(found))


@claim("quantization")
def clipping_helps_full_precision(frame: pd.DataFrame) -> Claim:
    """Full precision with clipped masters against the same without."""
    clipped, free = ({"quantizer": "full", "clipped": value} for value in (True, False))
    runs = frame.assign(budget=[comparisons.without(budget, "clip_masters") for budget in frame["budget"]])
    found = comparisons.differences(runs, clipped, free)
    told = "; ".join(f"`{_task(each)}` at `{each.alike['budget']}` {each}, {each.verdict}" for each in found)
    better = sum(each.better for each in found)
    sentence = (
        f"**Clipping is found to help full precision in {better} of {len(found)} comparisons.** With masters kept"
        f" within A's scale against the same without: {told}. Recipes that clip do so in every method under a norm."
    )
    return Claim(sentence, better > 0, _keys(found))


@claim("quantizers")
def methods_spread(frame: pd.DataFrame) -> Claim:
    """How far apart the quantizers of one width are, beside the step to the next width."""
    runs = comparisons.ranked(frame[frame["key"].isin({run.key for run in study.build("methods")})])
    alike = runs[~comparisons.superseded(runs) & (runs["quantized"] == "input+recurrent")]
    scores = {bits: alike[alike["bits"] == bits]["deployed"] for bits in (1, 2)}
    spans = [
        f"{of.max() - of.min():.3f} among {len(of)} of {words}"
        for of, words in zip(scores.values(), ("one bit", "two bits"), strict=True)
        if len(of) > 1
    ]
    sentence = (
        "With one run of each and one recipe for all, none of this is a finding. Scores of quantizers that are trained"
        f" alike span, in bits per character, {listed(spans)}; a ranking of methods with one recipe is a ranking of"
        " recipes."
    )
    return Claim(sentence, len(spans) == 2, tuple(runs["key"]))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the tasks at a budget of minutes: dataset, cell and quantizer vary, and whether full is clipped."""
    plain = frame[np.logical_and.reduce([frame[name] == value for name, value in TASKS.items()])]
    return plain[(plain["budget"] == "cpu") | ((plain["quantizer"] == "full") & (plain["budget"] == FREE))]


def _task(difference: Difference) -> str:
    return str(difference.alike["dataset"])


def _keys(found: Iterable[Difference]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for difference in found for key in difference.keys))


def _listed(found: list[Difference]) -> str:
    """The differences by what they bear out; those of one seed by name alone."""
    kinds = {"worse": "Worse", "better": "Better", "no difference found": "No difference found"}
    changes = _by_verdict(found)
    parts = [
        f"{words}: {'; '.join(f'`{_task(change)}` {change}' for change in changes[verdict])}."
        for verdict, words in kinds.items()
        if verdict in changes
    ]
    once = [f"`{_task(change)}`" for change in found if change.seeds == 1]
    return " ".join([*parts, *([f"One seed, hence no finding: {', '.join(once)}."] if once else [])])


def _by_verdict(found: list[Difference]) -> dict[str, list[Difference]]:
    changes: dict[str, list[Difference]] = {}
    for change in found:
        changes.setdefault(change.verdict, []).append(change)
    return changes
