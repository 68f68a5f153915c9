"""Norm statistics that steps share: how many of the first steps keep their own, and what sharing costs in score."""

import copy
import warnings

import torch

from lowbit.layers import norm
from lowbit.layers.networks import Network
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate

COST, GAIN = 0.0025, 0.01  # how much worse or better sharing may make a score, as a share of it
LIMIT = 2000  # symbols or sequences of a split that are scored


def share(network: Network, separate_steps: int = 0) -> Network:
    """A copy for evaluation whose batch norms have statistics of each of the first steps and share all others."""
    network = copy.deepcopy(network).eval()
    for statistics in _statistics(network):
        for name in ("count", "total", "squares"):
            sums = getattr(statistics, name)
            first = min(separate_steps, len(sums) - 1)
            setattr(statistics, name, torch.cat((sums[:first], sums[first:].sum(0, keepdim=True))))
        statistics.steps = len(statistics.count)
    return network


def choose(
    network: Network, spec: RunSpec, separate_steps: int | None = None, own: list[float] | None = None
) -> tuple[int, dict]:
    """How many first steps keep their own statistics, and the scores of the validation split with all and with those.

    The fewest of 0, 1, 2, 4, ... with which score and loss stay within `COST` and `GAIN` on validation and training
    data, two samples, as one alone may come out alike by chance; or `separate_steps`, with a warning where they do
    not. A network whose steps share all statistics anyway has no scores. `own` are the `scores` of the network, where
    they are known.
    """
    last = max((len(statistics.count) for statistics in _statistics(network)), default=1) - 1
    if last == 0:
        return 0, {}
    own = own or scores(network, spec)
    counts = (
        [0, *(2**k for k in range(last.bit_length()) if 2**k < last)]
        if separate_steps is None
        else [min(separate_steps, last)]
    )
    for first in counts:
        shared = scores(share(network, first), spec)
        near = all(-GAIN * b <= a - b <= COST * b for a, b in zip(shared, own, strict=True))
        if near or separate_steps is not None:
            break
    else:
        first, shared, near = last, own, True
    unit = spec.data.metric.unit
    if not near and shared[0] > own[0]:
        warnings.warn(
            f"steps that share norm statistics take the validation score from {own[0]:.4g} to {shared[0]:.4g} {unit}: "
            "pack without `separate_steps`, so that it is chosen",
            stacklevel=3,
        )
    return first, {"kept": first, "split": "valid", "unit": unit, "own": own[0], "shared": shared[0]}


def _statistics(network: Network) -> list[norm.BatchStatistics]:
    return [module for module in network.norms() if isinstance(module, norm.BatchStatistics)]


def scores(network: Network, spec: RunSpec) -> list[float]:
    """Score and loss as deployed, of validation and of training data."""
    data, weights = spec.data, network.round(sample=False)
    parts = (data.alone("valid", min(LIMIT, spec.recipe.valid_limit or LIMIT)), data.alone("train", LIMIT))
    return [score for part in parts for score in evaluate.scores(network, (data.metric, data.loss), part, weights)]
