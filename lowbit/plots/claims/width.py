"""What the runs at `long` bear out: the price of few bits by width and by updates, and for the same kilobytes."""

import math

import pandas as pd

from lowbit.plots.claims import scores
from lowbit.plots.claims.base import Claim, claim, enumeration
from lowbit.plots.results import width as drawings
from lowbit.studies import comparisons, recipes, store, width
from lowbit.studies.spec import RunSpec

NARROWS = {True: "narrows and stays open", False: "does not narrow"}


@claim("answer")
def ternary_does_not_match(frame: pd.DataFrame) -> Claim:
    """Ternary and binary weights against full precision at each width that was trained."""
    changes = [change for name in width.METHODS for change in reversed(width.costs(frame, name))]
    ternary = [change for change in changes if change.alike["quantizer"] == "ternary"]
    if not ternary:
        return Claim("", False, ())
    small = comparisons.differences(scores.plain(frame), {"quantizer": "ternary"}, {"quantizer": "full"})
    small = [change for change in small if change.alike["dataset"] == "ptb_char"]
    updates = dict(zip(frame["key"], frame["updates"], strict=True))
    worse = any(change.worse for change in (*ternary, *small))
    settled = "No, not at the sizes trained so far" if worse else "Not in the runs so far, of one seed each"
    costs = "; ".join(f"{change.alike['quantizer']}, {change.alike['hidden']} units {change}" for change in changes)
    before = "".join(
        f" With {change.alike['hidden']} units and {updates[change.keys[0]]:,} updates ternary weights cost {change}."
        for change in small
    )
    missing = [
        f"{name}{', ' + norm if norm != 'batch_step' else ''} {len(candidates) - trained}"
        for (name, norm), candidates in recipes.CANDIDATES.items()
        if (trained := _trained(frame, name, norm, candidates)) < len(candidates)
    ]
    text = (
        f"**Do ternary weights match full precision? {settled}.** On the Penn Treebank by characters, with an LSTM and"
        f" {updates[ternary[0].keys[0]]:,} updates, low-bit weights cost: {costs}.{before} Not reached yet: the"
        f" {width.AHEAD:,} units of {{cite:t}}`ardakani2019learning`; more seeds; and, of two recipes for each method"
        f" at {width.UNITS} units, still to be trained: {enumeration(missing)}."
    )
    holds = all(change.mean > 0 and not change.better for change in (*ternary, *small))
    return Claim(text, holds, tuple(key for change in changes for key in change.keys))


@claim("quantizers")
def recipes_are_the_best_found(frame: pd.DataFrame) -> Claim:
    """Whether the recipes at `long` are the best of their rate in the search, the first by validation at `long`."""
    records = store.scan("search").records
    searched = store.frame(records).assign(rate=[record.recipe["rate"] for record in records])
    trained = frame.set_index("key")["valid"]
    holds, texts, turned, keys = True, [], [], []
    for (name, norm), candidates in recipes.CANDIDATES.items():
        short, long = {}, {}
        same = searched[(searched["quantizer"] == name) & (searched["norm"] == norm)]
        for recipe in candidates:
            alike = same[same["rate"] == recipe["rate"]].sort_values("valid")
            run, after = (_run(name, norm, budget, recipe) for budget in ("search", "long"))
            holds &= len(alike) > 1 and alike["key"].iloc[0] == run.key
            short[recipe["rate"]] = alike["valid"].min()
            if after.key in trained:
                long[recipe["rate"]] = trained[after.key]
                keys.append(after.key)
        order = sorted(short, key=short.get)
        texts.append(f"`{name}` {enumeration([f'{rate:g}' for rate in order])}")
        judged = long if len(long) == len(candidates) else short
        best = min(judged, key=judged.get)
        holds &= best == candidates[0]["rate"]
        if best != order[0]:
            scores = enumeration([f"{score:.3f} at a rate of {rate:g}" for rate, score in sorted(long.items())])
            turned.append(f"`{name}` validates at {scores}")
    text = (
        "The best recipe at each of two rates goes on to `long`. The rates, the one of the better validation score in"
        f" the search first: {'; '.join(texts)}."
    )
    if turned:
        text += (
            f" **At ten times the updates, in {width.UNITS} units, the order turns:** {'; '.join(turned)}, in bits per"
            " character. A rate that is chosen on short runs is not the best one for long runs."
        )
    return Claim(text, holds, (*searched["key"], *keys))


@claim("answer")
def price_by_width(frame: pd.DataFrame) -> Claim:
    """The fitted fall of the loss with width, and what it predicts for A's 1,000 units."""
    parts, keys, widths = [], [], {}
    for name in width.METHODS:
        changes = width.costs(frame, name)
        widths[name] = len(changes)
        keys += [key for change in changes for key in change.keys]
        line = width.law(changes) if width.same_recipe(frame, changes) else None
        if line is None:
            continue
        low, high = line.slope_interval
        loss, least, most = (2**value for value in line.predict(math.log2(width.AHEAD)))
        parts.append(
            f"`{name}` goes as the units to the power {line.slope:.2f} (95 %: {low:.2f} to {high:.2f}), which predicts"
            f" {loss:.3f} bits per character at {width.AHEAD:,} units ({least:.3f} to {most:.3f})"
        )
    if not parts:
        counts = enumeration([f"{name} {count}" for name, count in widths.items()])
        text = (
            "**How the price changes with width is not fitted yet.** It takes three widths with one recipe; widths that"
            f" are trained: {counts}."
        )
        return Claim(text, bool(keys), tuple(keys))
    return Claim(f"**The price changes with width.** The loss of {'; that of '.join(parts)}.", True, tuple(keys))


@claim("answer")
def worth_in_weights(frame: pd.DataFrame) -> Claim:
    """How many weights full precision needs for the score of a low-bit network."""
    parts = []
    for name in width.METHODS:
        shares = width.worth(frame, name)
        counts = enumeration([f"{100 * share:.0f} % at {hidden} units" for hidden, share in sorted(shares.items())])
        if shares:
            parts.append(f"`{name}` {counts}")
    text = (
        "**A network in full precision needs a part of the weights for the same score** (interpolated between the"
        f" widths that are trained): {'; '.join(parts)}."
    )
    return Claim(text, bool(parts), tuple(width.runs(frame)["key"]) if parts else ())


@claim("answer")
def price_by_updates(frame: pd.DataFrame) -> Claim:
    """The loss along training, in the networks whose training is followed."""
    records = {record.run.key: record for record in store.scan("long").records}
    parts, keys, narrows, holds = [], [], {}, []
    for name in width.METHODS:
        for change in width.followed(width.costs(frame, name)):
            along = width.along(change, records).mean(axis=1)
            lost, updates, half = along.to_numpy(), along.index, len(along) // 2 - 1
            parts.append(
                f"`{name}`, {change.alike['hidden']} units, {lost[0]:.3f} after {updates[0]:,} updates,"
                f" {lost[half]:.3f} after {updates[half]:,} and {lost[-1]:.3f} after {updates[-1]:,}"
            )
            keys += change.keys
            narrows.setdefault(bool(lost[-1] < lost[0]), []).append(name)
            holds.append(lost[-1] > 0)
    verdicts = [f"of {enumeration(names)} weights {NARROWS[does]}" for does, names in sorted(narrows.items())[::-1]]
    text = (
        f"**While the learning rate falls, the gap {', that '.join(verdicts)}.** Loss on validation in bits per"
        f" character: {'; '.join(parts)}."
    )
    return Claim(text, bool(parts) and all(holds), tuple(keys))


@claim("answer")
def rounding_rivals_training(frame: pd.DataFrame) -> Claim:
    """Each low-bit network beside the best rounded network of no more kilobytes."""
    points, parts, lost = drawings.sizes(frame), [], []
    rounded = points[points["method"] == width.ROUNDED]
    for _, network in points[points["method"].isin(width.METHODS)].sort_values("kilobytes").iterrows():
        rivals = rounded[rounded["kilobytes"] <= network["kilobytes"]]
        if len(rivals):
            best = rivals.loc[rivals["bits"].idxmin()]
            lost.append(best["bits"] < network["bits"])
            parts.append(f"{_size(network)}, {network['method']}, {network['bits']:.3f}")
            parts[-1] += f" against {_size(best)}, rounded to {best['weight']:.0f} bits, {best['bits']:.3f}"
    head = "Rounding a narrower network after training does better" if all(lost) else "Neither wins at every size"
    text = (
        "**For the same kilobytes, training in few bits competes with rounding a narrower network after training."
        f" {head} so far.** Bits per character by kilobytes of recurrent weights: {'; '.join(parts)}."
    )
    return Claim(text, bool(parts), tuple(width.runs(frame)["key"]))


def _size(network: pd.Series) -> str:
    return f"{network['hidden']} units in {network['kilobytes']:.0f} kB"


def _trained(frame: pd.DataFrame, quantizer: str, norm: str, candidates: tuple[dict, ...]) -> int:
    """How many of a method's recipes are trained at `width.UNITS`."""
    keys = set(frame["key"])
    return sum(_run(quantizer, norm, "long", recipe).key in keys for recipe in candidates)


def _run(quantizer: str, norm: str, budget: str, recipe: dict) -> RunSpec:
    """A run of a candidate in the search, or at `long` in `width.UNITS` units."""
    size = {"hidden": width.UNITS} if budget == "long" else {}
    return RunSpec("ptb_char", quantizer=quantizer, norm=norm, budget=recipes.changed(budget, **size, **recipe))
