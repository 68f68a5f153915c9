"""The three evaluations: as A's code tests, as hardware would run, and over samples of the weights."""

import math
import statistics
from collections.abc import Iterable, Sequence

import torch

from lowbit.datasets import Batch, Dataset, Recipe
from lowbit.datasets.metrics import Metric
from lowbit.layers.networks import Network, detach
from lowbit.layers.norm import gathering

SAMPLES = 5


@torch.no_grad()
def scores(network: Network, metrics: Sequence[Metric], batches: Iterable[Batch], weights=None) -> list[float]:
    """Each metric over batches; the state is carried wherever a batch does not start afresh."""
    device = next(network.parameters()).device
    totals, points, states = [0.0] * len(metrics), [0] * len(metrics), None
    for batch in batches:
        batch = batch.to(device)
        outputs, states = network(batch.x, None if batch.fresh else detach(states), weights, batch.lengths)
        for i, metric in enumerate(metrics):
            totals[i] += metric.total(outputs, batch).item()
            points[i] += metric.points(batch)
    return [metric(total, count) for metric, total, count in zip(metrics, totals, points, strict=True)]


def score(network: Network, dataset: Dataset, batches: Iterable[Batch], weights=None) -> float:
    """The dataset's own metric over batches."""
    return scores(network, (dataset.metric,), batches, weights)[0]


@torch.no_grad()
def calibrate(network: Network, dataset: Dataset, recipe: Recipe, sample: bool) -> None:
    """Gathers population statistics on training batches, with nearest or sampled weights and no dropout."""
    order = torch.Generator().manual_seed(0)
    batches = dataset.batches("train", recipe.batch, recipe.steps, order)
    device = next(network.parameters()).device
    with gathering(network):
        if not any(norm.collecting for norm in network.norms()):
            return
        for _, batch in zip(range(recipe.calibration), batches, strict=False):
            batch = batch.to(device)
            network(batch.x, None, network.round(sample), batch.lengths)


def as_published(network: Network, dataset: Dataset, recipe: Recipe) -> float:
    """A's code: statistics of each shuffled test batch, fresh weights for each, every segment from zero."""
    network.eval()
    for norm in network.norms():
        norm.train()
    order = torch.Generator().manual_seed(0)
    batches = dataset.batches("test", recipe.batch, recipe.steps, order, recipe.test_limit)
    return score(network, dataset, batches)


def deployed(network: Network, dataset: Dataset, recipe: Recipe) -> list[float]:
    """Population statistics, nearest rounding, one sequence at a time, its state carried to the end.

    The dataset's metric, then its further ones.
    """
    calibrate(network, dataset, recipe, sample=False)
    metrics = (dataset.metric, *dataset.further)
    return scores(network, metrics, dataset.alone("test", recipe.test_limit), network.round(sample=False))


def validation(network: Network, dataset: Dataset, recipe: Recipe) -> float:
    """As deployed, on the validation split and in parallel streams: what training selects by."""
    calibrate(network, dataset, recipe, sample=False)
    streams = dataset.streams("valid", recipe.batch, recipe.steps, recipe.valid_limit)
    return score(network, dataset, streams, network.round(sample=False))


def sampled(network: Network, dataset: Dataset, recipe: Recipe, stochastic: bool) -> dict:
    """Mean and standard deviation over weight samples, each fixed for the whole test split."""
    calibrate(network, dataset, recipe, sample=stochastic)
    values = []
    for _ in range(SAMPLES if stochastic else 1):
        streams = dataset.streams("test", recipe.batch, recipe.steps, recipe.test_limit)
        values.append(score(network, dataset, streams, network.round(sample=stochastic)))
    spread = 0.0
    if len(values) > 1:  # Python 3.11 has no deviation of numbers that are not finite
        spread = statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
    return {"mean": statistics.mean(values), "std": spread, "values": values}


def points(dataset: Dataset, recipe: Recipe, split: str = "test") -> int:
    """How many predictions of a split are scored; those of the test split are the same under each evaluation."""
    limit = {"test": recipe.test_limit, "valid": recipe.valid_limit}[split]
    return sum(dataset.metric.points(batch) for batch in dataset.alone(split, limit))


def three(network: Network, dataset: Dataset, recipe: Recipe, stochastic: bool) -> dict:
    """All three evaluations, as a record holds them."""
    published = as_published(network, dataset, recipe)
    own, *others = deployed(network, dataset, recipe)
    results = {"as_published": published, "deployed": own, "sampled": sampled(network, dataset, recipe, stochastic)}
    results["points"] = points(dataset, recipe)
    if others:
        results["further"] = {metric.name: value for metric, value in zip(dataset.further, others, strict=True)}
    return results
