"""Differences between runs that differ in one choice, seed by seed, with intervals over seeds."""

import dataclasses
import math
import statistics
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from lowbit import datasets
from lowbit.datasets.metrics import Metric
from lowbit.quantizers import build
from lowbit.registry import parse, written

ALIKE = ("dataset", "cell", "quantizer", "norm", "quantized", "activations", "budget", "hidden")  # columns of a frame
SEARCHED = ("clip_masters", "final_rate", "init", "rate")  # the options that the study `search` chooses by validation
SAME = ["cell", "quantizer", "norm", "quantized", "activations", "budget"]  # runs that differ in their seed alone


@dataclasses.dataclass(frozen=True)
class Difference:
    """The change of a score where one choice changes, of pairs of runs with the same seed; lower is better.

    One seed gives no interval, so it is never a finding.
    """

    alike: dict[str, object]  # what both sides share, and the choice of the changed side, by column
    base: tuple[float, ...]  # scores without the change, by seed
    scores: tuple[float, ...]  # scores with it
    keys: tuple[str, ...]  # of the records

    @property
    def metric(self) -> Metric:
        """The score that differs."""
        return datasets.build(self.alike["dataset"]).metric

    @property
    def seeds(self) -> int:
        """The number of pairs."""
        return len(self.base)

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys of the runs with the change, and of those without, by seed."""
        return self.keys[: self.seeds], self.keys[self.seeds :]

    @property
    def mean(self) -> float:
        """The mean change."""
        return statistics.fmean(np.subtract(self.scores, self.base).tolist())

    @property
    def percent(self) -> float:
        """The mean change as a share of the mean score without it."""
        return 100 * self.mean / statistics.fmean(self.base)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean change by Student's t over seeds; none for one seed."""
        return interval(np.subtract(self.scores, self.base).tolist())

    @property
    def worse(self) -> bool:
        """Whether the whole interval is a loss."""
        return self.interval is not None and self.interval[0] > 0

    @property
    def better(self) -> bool:
        """Whether the whole interval is a gain."""
        return self.interval is not None and self.interval[1] < 0

    @property
    def verdict(self) -> str:
        """The conclusion from the interval."""
        if self.interval is None:
            return "one seed, no finding"
        return "worse" if self.worse else "better" if self.better else "no difference found"

    @property
    def short(self) -> str:
        """The mean change and the verdict."""
        return f"{self._signed(self.mean)} ({self.verdict})"

    def __str__(self) -> str:
        unit = "percentage points" if self.metric.unit.startswith("%") else self.metric.unit
        text = f"{self._signed(self.mean)} {unit} ({self.percent:+.1f} %"
        if self.interval is None:
            return f"{text}; one seed, no finding)"
        low, high = map(self._signed, self.interval)
        return f"{text}; 95 %: {low} to {high}; {self.seeds} seeds)"

    def _signed(self, value: float) -> str:
        return f"{value:+.{self.metric.places}f}"


def interval(values: list[float]) -> tuple[float, float] | None:
    """The 95 % interval of a mean by Student's t; None for fewer than two values.

    >>> low, high = interval([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    if len(values) < 2:
        return None
    half = stdtrit(len(values) - 1, 0.975) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return float(mean - half), float(mean + half)


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that may be compared: those that did not diverge."""
    return frame[np.isfinite(frame["deployed"].astype(float)) & ~frame["diverged"].astype(bool)]


def superseded(frame: pd.DataFrame) -> pd.Series:
    """A mask of the runs of an older recipe, which clipped only the masters with a fixed scale.

    Their records do not hold the number of scored items either. Another recipe is another run: they are not compared.
    """
    free = {name: not (built.levels and built.fixed) for name in set(frame["quantizer"]) if (built := build(name))}
    old = frame["clipped"].astype(bool) & (frame["points"] == 0) & (frame["norm"] != "none")
    return old & frame["quantizer"].map(free).astype(bool)


def without(budget: str, *options: str) -> str:
    """A budget without some of its options.

    >>> without("cpu(clip_masters=False, hidden=64)", "clip_masters"), without("cpu", "clip_masters")
    ('cpu(hidden=64)', 'cpu')
    """
    name, changes = parse(budget)
    return written(name, {option: value for option, value in changes.items() if option not in options})


def strongest(frame: pd.DataFrame, several: pd.Series, *options: str) -> pd.DataFrame:
    """The frame with one recipe of each method: of recipes that differ in `options`, that of the best validation score.

    Only among the runs of the mask `several`, by the mean over the seeds that all recipes of a method have. The budget
    of the chosen runs is then named without the options.
    """
    runs = frame[several]
    plain = runs["budget"].map(lambda budget: without(budget, *options))
    chosen = []
    for _, recipes in runs.groupby([*(name for name in ALIKE if name != "budget"), plain], sort=False):
        seeds = set.intersection(*(set(same["seed"]) for _, same in recipes.groupby("budget")))
        shared = recipes[recipes["seed"].isin(seeds)]
        if len(shared):
            best = shared.groupby("budget")["valid"].mean().idxmin()
            chosen.append(shared[shared["budget"] == best].assign(budget=without(best, *options)))
    return pd.concat([frame[~several], *chosen])


def differences(frame: pd.DataFrame, change: dict[str, str], base: dict[str, str]) -> list[Difference]:
    """The change from runs with the fields `base` to runs with the fields `change`, all other choices alike.

    One for each dataset, cell, norm, size and budget that both sides have, of the seeds that both sides have. Budgets
    with a recipe for each method match by their name: the options of `SEARCHED` are part of the method. In full
    precision it does not matter which matrices would be quantized, so that field is left out of the match, and the
    `strongest` of clipped and free masters is the base.
    """
    changed = [*change, *(["quantized"] if "full" in (change.get("quantizer"), base.get("quantizer")) else [])]
    shared = [name for name in ALIKE if name not in changed]
    frame = ranked(frame)
    frame = frame[~superseded(frame)]
    frame = strongest(frame, frame["budget"].str.match(r"long\b"), *SEARCHED)
    if base.get("quantizer") == "full" != change.get("quantizer"):
        frame = strongest(frame, frame["quantizer"] == "full", "clip_masters")
    after, before = (_chosen(frame, side) for side in (change, base))
    pairs = after.merge(before, on=[*shared, "seed"], suffixes=("", "_base")).sort_values("seed")
    return [
        Difference(alike, tuple(group["deployed_base"]), tuple(group["deployed"]), (*group["key"], *group["key_base"]))
        for alike, group in _groups(pairs, [*shared, *changed])
    ]


def evaluations(frame: pd.DataFrame, change: str, base: str) -> list[Difference]:
    """The change from one evaluation to another of the same networks, one for each kind of run.

    Only of records that say how many items were scored: those of earlier code scored others under each evaluation.
    """
    frame = ranked(frame)
    return [
        Difference(alike, tuple(group[base]), tuple(group[change]), tuple(group["key"]))
        for alike, group in _groups(frame[frame["points"] > 0], list(ALIKE))
    ]


def repeated(changes: list[Difference]) -> list[Difference]:
    """The differences of several seeds, which alone can be findings."""
    return [change for change in changes if change.seeds > 1]


def seeds(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The runs of each kind, lowest seed first; the kinds by their mean deployed score, diverged ones last."""
    kinds = [kind.sort_values("seed") for _, kind in frame.groupby(["dataset", *SAME])]
    return sorted(kinds, key=lambda kind: np.nan_to_num(kind["deployed"].mean(skipna=False), nan=np.inf))


def deviation(values: pd.Series) -> float:
    """The standard deviation over seeds; zero for a single one."""
    return values.std() if len(values) > 1 else 0.0


def against_full(frame: pd.DataFrame) -> list[Difference]:
    """The change from full precision to each low-bit quantizer, all other choices alike, smallest loss first."""
    low = [name for name in dict.fromkeys(frame["quantizer"]) if name != "full"]
    changes = [change for name in low for change in differences(frame, {"quantizer": name}, {"quantizer": "full"})]
    return sorted(changes, key=lambda change: change.mean)


def _groups(frame: pd.DataFrame, columns: list[str]) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Rows that are equal in some columns, with the values of these by column."""
    for _, group in frame.groupby(columns, sort=False):
        yield {name: group[name].iloc[0] for name in columns}, group


def _chosen(frame: pd.DataFrame, side: dict[str, str]) -> pd.DataFrame:
    return frame[np.logical_and.reduce([frame[name] == value for name, value in side.items()])]
