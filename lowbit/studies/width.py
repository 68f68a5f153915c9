"""What few bits cost as a network gets wider, and what it scores for its kilobytes; from runs at `long`."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from lowbit.studies import comparisons, store
from lowbit.studies.comparisons import Difference

TASK = {"dataset": "ptb_char", "cell": "lstm", "norm": "batch_step", "quantized": "input+recurrent"}
ROUNDED = "full, rounded after training"
UNITS = 256  # of the networks whose training is followed
AHEAD = 1000  # units of A's network, for which a law of width predicts
METHODS = ("ternary", "binary")


class Line(NamedTuple):
    """A straight line through points by least squares, and what is needed for its intervals."""

    slope: float
    intercept: float
    center: float  # mean of x
    spread: float  # sum of squares of x about it
    error: float  # standard deviation of the residuals
    count: int

    @property
    def slope_interval(self) -> tuple[float, float]:
        """The 95 % interval of the slope."""
        half = float(stdtrit(self.count - 2, 0.975)) * self.error / math.sqrt(self.spread)
        return self.slope - half, self.slope + half

    def predict(self, x: float) -> tuple[float, float, float]:
        """The line at x with the 95 % interval of one further point there."""
        y = self.intercept + self.slope * x
        wider = math.sqrt(1 + 1 / self.count + (x - self.center) ** 2 / self.spread)
        half = float(stdtrit(self.count - 2, 0.975)) * self.error * wider
        return y, y - half, y + half


def fit(x: list[float], y: list[float]) -> Line | None:
    """The least squares line; None for fewer than three different x, which leave no interval.

    >>> line = fit([0, 1, 2, 3], [1, 3, 5, 7])
    >>> round(line.slope, 6), [round(value, 6) for value in line.predict(4)]
    (2.0, [9.0, 9.0, 9.0])
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(set(x)) < 3:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - intercept - slope * x
    error = math.sqrt(float(residuals @ residuals) / (len(x) - 2))
    spread = float(((x - x.mean()) ** 2).sum())
    return Line(float(slope), float(intercept), float(x.mean()), spread, error, len(x))


def runs(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs on `TASK` at `long`, of any width; each method with its best recipe, and its budget without options."""
    alike = np.logical_and.reduce([frame[name] == value for name, value in TASK.items()])
    changes = ("hidden", *comparisons.SEARCHED)
    plain = frame["budget"].map(lambda budget: comparisons.without(budget, *changes)) == "long"
    frame = comparisons.ranked(frame[alike & plain & (frame["activations"] == "full")])
    return comparisons.strongest(frame, frame["budget"] != "", *comparisons.SEARCHED) if len(frame) else frame


def costs(frame: pd.DataFrame, quantizer: str) -> list[Difference]:
    """The change from full precision to a quantizer at each width of `runs`, narrowest first."""
    changes = comparisons.differences(runs(frame), {"quantizer": quantizer}, {"quantizer": "full"})
    return sorted(changes, key=lambda change: change.alike["hidden"])


def followed(changes: list[Difference]) -> list[Difference]:
    """The change whose training is followed: at `UNITS`, else at the widest; none of none."""
    return [change for change in changes if change.alike["hidden"] == UNITS] or changes[-1:]


def same_recipe(frame: pd.DataFrame, changes: list[Difference]) -> bool:
    """Whether all runs with a change have one recipe but for their width, as a law of width needs."""
    keys = {key for change in changes for key in change.sides[0]}
    budgets = frame["budget"][frame["key"].isin(keys)]
    return len({comparisons.without(budget, "hidden") for budget in budgets}) == 1


def law(changes: list[Difference]) -> Line | None:
    r"""The line of $\log_2$ of the loss over $\log_2$ of the units, through all seeds; None where there is none."""
    points = [
        (math.log2(change.alike["hidden"]), score - base)
        for change in changes
        for score, base in zip(change.scores, change.base, strict=True)
    ]
    if any(loss <= 0 for _, loss in points):
        return None
    return fit([x for x, _ in points], [math.log2(loss) for _, loss in points])


def worth(frame: pd.DataFrame, quantizer: str) -> dict[int, float]:
    """By units: what share of its weights in full precision would score the same, where full precision was that poor.

    The size of full precision is interpolated between measured widths, linearly in the logarithm of the weights.
    """
    means = runs(frame).groupby(["quantizer", "hidden"])[["deployed", "weights"]].mean()
    if not {quantizer, "full"} <= set(means.index.get_level_values(0)):
        return {}
    full = means.loc["full"].sort_values("deployed")
    shares = {}
    for hidden, run in means.loc[quantizer].iterrows():
        if full["deployed"].iloc[0] <= run["deployed"] <= full["deployed"].iloc[-1]:
            weights = np.exp(np.interp(run["deployed"], full["deployed"], np.log(full["weights"])))
            shares[int(hidden)] = float(weights / run["weights"])
    return shares


def sizes(frame: pd.DataFrame, rounded: dict[str, dict[int, float]]) -> pd.DataFrame:
    """`method`, `hidden`, bits of a `weight`, `kilobytes` of the recurrent layer and mean score in `bits`.

    `rounded` are the scores of networks in full precision after rounding, by key of the run and bits of a weight.
    """
    rows = []
    for (quantizer, hidden), same in runs(frame).groupby(["quantizer", "hidden"], sort=False):
        kilobytes = same["weight_bytes"].mean() / 1000
        rows.append((quantizer, hidden, 8000 * kilobytes / same["weights"].mean(), kilobytes, same["deployed"].mean()))
        scores = [rounded[key] for key in same["key"] if key in rounded and quantizer == "full"]
        for bits in sorted(set.intersection(*map(set, scores)) - {32}, reverse=True) if scores else ():
            kilobytes = same["weights"].mean() * bits / 8000
            change = np.mean([score[bits] - score[32] for score in scores])
            rows.append((ROUNDED, hidden, bits, kilobytes, same["deployed"].mean() + change))
    return pd.DataFrame(rows, columns=["method", "hidden", "weight", "kilobytes", "bits"])


def front(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other row beats in both kilobytes and bits, smallest first."""
    ordered = points.sort_values(["kilobytes", "bits"])
    return ordered[~(ordered["bits"] >= ordered["bits"].cummin().shift())]  # the first has nothing before it


def along(change: Difference, records: dict[str, store.Record]) -> pd.DataFrame:
    """The change of the validation score along training: a row for each count of updates, a column for each seed."""
    after, before = (
        pd.DataFrame([{point["update"]: point["valid"] for point in records[key].curve} for key in side])
        for side in change.sides
    )
    return (after - before).T
