"""The information that each of the three evaluations may use."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from lowbit import datasets
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

TINY = "smoke(updates=6, evaluate_every=6, hidden=8, batch=8, steps=8, calibration=3, test_limit=400)"


def trained(**fields):
    spec = RunSpec(**{"budget": TINY, "quantizer": "ternary(stochastic=True)"} | fields)
    session = train.Session(spec)
    session.run()
    return session.network, spec.data, spec.recipe


def test_the_loss_of_a_uniform_guess_is_the_logarithm_of_the_alphabet():
    network, data, recipe = trained()
    with torch.no_grad():
        for parameter in network.readout.parameters():
            parameter.zero_()
    assert evaluate.deployed(network, data, recipe)[0] == pytest.approx(math.log2(data.outputs), rel=1e-5)


def test_deployment_is_deterministic():
    network, data, recipe = trained()
    first = evaluate.deployed(network, data, recipe)
    torch.manual_seed(99)
    assert evaluate.deployed(network, data, recipe) == first


def test_as_published_depends_on_samples_and_on_the_batch():
    network, data, recipe = trained()
    torch.manual_seed(0)
    first = evaluate.as_published(network, data, recipe)
    assert evaluate.as_published(network, data, recipe) != first
    torch.manual_seed(0)
    assert evaluate.as_published(network, data, recipe) == first
    torch.manual_seed(0)
    assert evaluate.as_published(network, data, dataclasses.replace(recipe, batch=4)) != first


def test_batch_norm_of_one_sequence_removes_the_input():
    """With a batch of one sequence, or of copies of it, the outputs of A's evaluation do not depend on the input."""
    network, data, _ = trained(quantizer="ternary")
    network.train()
    x = torch.randint(data.inputs, (5, 1)).expand(-1, 2)
    other = torch.randint(data.inputs, (5, 1)).expand(-1, 2)
    torch.testing.assert_close(network(x)[0], network(other)[0])


def test_samples_differ_only_where_weights_are_sampled():
    network, data, recipe = trained()
    spread = evaluate.sampled(network, data, recipe, stochastic=True)
    assert len(spread["values"]) == evaluate.SAMPLES
    assert spread["std"] > 0
    fixed = evaluate.sampled(network, data, recipe, stochastic=False)
    assert fixed["std"] == 0
    assert len(fixed["values"]) == 1


def test_population_statistics_make_sequences_independent():
    network, data, recipe = trained()
    evaluate.calibrate(network, data, recipe, sample=False)
    weights = network.round(sample=False)
    x = torch.randint(data.inputs, (12, 5))
    together = network(x, None, weights)[0]
    alone = torch.cat([network(x[:, i : i + 1], None, weights)[0] for i in range(5)], dim=1)
    torch.testing.assert_close(together, alone)


def test_the_carried_score_does_not_depend_on_how_the_text_is_cut():
    network, data, recipe = trained()
    evaluate.calibrate(network, data, recipe, sample=False)
    weights = network.round(sample=False)
    scores = [evaluate.score(network, data, data.streams("test", 1, n, 300), weights) for n in (7, 50, 1000)]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-5)


def test_calibration_changes_statistics_only():
    network, data, recipe = trained()
    before = {name: value.clone() for name, value in network.named_parameters()}
    evaluate.calibrate(network, data, recipe, sample=True)
    assert all(torch.equal(before[name], value) for name, value in network.named_parameters())
    assert not any(norm.collecting for norm in network.norms())


@pytest.mark.parametrize("limit", [0, 30])
@pytest.mark.parametrize("name", datasets.local())
def test_all_evaluations_and_baselines_score_the_same_items(name, limit):
    data = datasets.build(name)
    recipe = dataclasses.replace(data.recipe("smoke"), test_limit=limit and max(limit, data.recipe("smoke").steps + 7))

    def points(batches):
        return sum(data.metric.points(batch) for batch in batches)

    order = torch.Generator().manual_seed(0)
    published = data.batches("test", recipe.batch, recipe.steps, order, recipe.test_limit)
    sampled = data.streams("test", recipe.batch, recipe.steps, recipe.test_limit)
    assert points(published) == points(sampled) == evaluate.points(data, recipe) > 0


def test_baselines_are_scored_on_as_many_items_as_a_network():
    data = datasets.build("digits")
    _, classes = data.splits["test"]
    commonest = np.bincount(data.splits["train"][1]).argmax()
    for limit in (7, 100, 0):
        assert data.baselines(limit)["most frequent"] == 100 * np.mean(classes[: limit or None] != commonest)
