"""Norm statistics that steps share: how many of the first keep their own, and what the score says to that."""

import copy
import warnings

import torch

from lowbit.layers import norm
from lowbit.layers.networks import Network
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate

COST, GAIN = 0.0025, 0.01  # how much worse or better sharing may make a score, as a share of it
LIMIT = 2000  # symbols or sequences of a split that are scored


def share(network: Network, kept: int = 0) -> Network:
    """A copy for evaluation whose batch norms keep statistics of the first `kept` steps and share all others."""
    network = copy.deepcopy(network).eval()
    for statistics in _statistics(network):
        for name in ("count", "total", "squares"):
            sums = getattr(statistics, name)
            first = min(kept, len(sums) - 1)
            setattr(statistics, name, torch.cat((sums[:first], sums[first:].sum(0, keepdim=True))))
        statistics.steps = len(statistics.count)
    return network


def choose(network: Network, spec: RunSpec, kept: int | None = None) -> tuple[int, dict]:
    """How many first steps keep their own statistics, and the scores of the validation split with all and with those.

    The fewest of 0, 1, 2, 4, ... with which score and loss stay within `COST` and `GAIN` on validation and training
    data, two samples, as one alone may come out alike by chance; or `kept`, with a warning where they do not. A network
    whose steps share all statistics anyway has no scores.
    """
    last = max((len(statistics.count) for statistics in _statistics(network)), default=1) - 1
    if last == 0:
        return 0, {}
    own = scores(network, spec)
    few = [0, *(2**k for k in range(last.bit_length()) if 2**k < last)] if kept is None else [min(kept, last)]
    for first in few:
        shared = scores(share(network, first), spec)
        near = all(-GAIN * b <= a - b <= COST * b for a, b in zip(shared, own, strict=True))
        if near or kept is not None:
            break
    else:
        first, shared, near = last, own, True
    unit = spec.data.metric.unit
    if not near and shared[0] > own[0]:
        warnings.warn(
            f"steps that share norm statistics take the validation score from {own[0]:.4g} to {shared[0]:.4g} {unit}: "
            "pack without `kept`, so that it is chosen",
            stacklevel=3,
        )
    return first, {"kept": first, "split": "valid", "unit": unit, "own": own[0], "shared": shared[0]}


def _statistics(network: Network) -> list[norm.BatchStatistics]:
    return [each for each in network.norms() if isinstance(each, norm.BatchStatistics)]


def scores(network: Network, spec: RunSpec) -> list[float]:
    """Score and loss as deployed, of validation and of training data."""
    data, weights = spec.data, network.round(sample=False)
    parts = (data.alone("valid", min(LIMIT, spec.recipe.valid_limit or LIMIT)), data.alone("train", LIMIT))
    return [each for part in parts for each in evaluate.scores(network, (data.metric, data.loss), part, weights)]
