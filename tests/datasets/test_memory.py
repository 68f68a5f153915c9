"""Laws of the problems with known solutions, `lowbit.datasets.memory` and its members."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lowbit import datasets, quantizers
from lowbit.datasets import Batch, Recipe, metrics
from lowbit.datasets.adding import Adding
from lowbit.datasets.base import SPLITS
from lowbit.datasets.copy_memory import BLANK, DELIMITER, KINDS, RECALL_ERROR, CopyMemory
from lowbit.layers import cells, networks
from lowbit.layers.recurrent import Design
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training.train import Session


def network(dataset, norm):
    torch.manual_seed(0)
    design = Design(cells.build("lstm"), quantizers.build("full"), norm)
    return networks.registry[dataset.task](
        dataset.inputs, dataset.outputs, Recipe(hidden=6, updates=1, steps=9), design
    )


def whole(dataset, split="test"):
    (batch,) = dataset.batches(split, 2000, 0)
    return batch


def recited(sequence):
    """Returns the answers of a perfect memory, step by step."""
    memory, repeating = [], False
    for symbol in sequence:
        yield memory.pop(0) if repeating else BLANK
        repeating = repeating or symbol == DELIMITER
        if symbol < KINDS:
            memory.append(symbol)


@pytest.mark.parametrize("delay", [1, 2, 20, 33])
def test_a_perfect_memory_solves_the_copying_problem(delay):
    x, y = CopyMemory(delay).draw(50, np.random.default_rng(3))
    assert [list(recited(sequence)) for sequence in x.tolist()] == y.tolist()
    assert {np.flatnonzero(sequence == DELIMITER)[0] - 9 for sequence in x} == {delay}


def test_the_loss_of_the_copying_problem_without_memory_is_the_closed_form():
    dataset = CopyMemory()
    batch = whole(dataset)
    memoryless = torch.full((*batch.y.shape, dataset.outputs), -torch.inf)
    memoryless[:-10, :, BLANK] = memoryless[-10:, :, :KINDS] = 0.0
    nats = metrics.NATS(metrics.NATS.total(memoryless, batch).item(), metrics.NATS.points(batch))
    assert nats == pytest.approx(dataset.facts()["memoryless_nats"], rel=1e-5)
    points = RECALL_ERROR.points(batch)
    assert points == 10 * len(dataset.splits["test"][0])
    spread = 100 * np.sqrt(7 / 64 / points)  # of the share of eight kinds that one guess misses
    score = RECALL_ERROR(RECALL_ERROR.total(memoryless, batch).item(), points)
    assert score == pytest.approx(dataset.baselines()["memoryless"], abs=4 * spread)


def test_only_recalled_symbols_count_as_mistakes():
    batch = whole(CopyMemory(3))
    right = F.one_hot(batch.y, KINDS + 1).float()
    early, late = right.clone(), right.clone()
    early[:-10] = right[:-10].roll(1, dims=-1)
    late[-1] = right[-1].roll(1, dims=-1)
    points = RECALL_ERROR.points(batch)
    scores = [RECALL_ERROR(RECALL_ERROR.total(outputs, batch).item(), points) for outputs in (right, early, late)]
    assert scores == pytest.approx([0, 0, 10])


def depends_on_the_delimiter(norm):
    dataset = CopyMemory(3)
    x = whole(dataset).x
    model = network(dataset, norm)
    return not torch.allclose(model(x)[0], model(x.where(x != DELIMITER, BLANK))[0], atol=1e-3)


def test_batch_norm_removes_what_all_sequences_share():
    assert not depends_on_the_delimiter("batch_step")
    assert depends_on_the_delimiter("layer")
    assert depends_on_the_delimiter("none")


@pytest.mark.parametrize("length", [2, 3, 50])
def test_the_answer_is_the_sum_of_two_marked_numbers_one_in_each_half(length):
    x, y = Adding(length).draw(200, np.random.default_rng(4))
    for (numbers, marks), answer in zip(x.transpose(0, 2, 1), y, strict=True):
        first, second = np.flatnonzero(marks)
        assert first < length // 2 <= second
        assert answer == numbers[first] + numbers[second]
    assert set(np.flatnonzero(x[:, :, 1].sum(0))) == set(range(length))
    assert 0 <= x.min() <= x.max() < np.nextafter(np.float32(1), np.float32(2))


def test_the_loss_of_the_constant_answer_one_is_the_variance_of_two_numbers():
    dataset = Adding()
    spread = np.sqrt((1 / 15 - 1 / 36) / dataset.counts["test"])  # of the squared distance from the mean
    assert dataset.baselines()["always one"] == pytest.approx(dataset.facts()["variance"], abs=4 * spread)
    assert dataset.facts()["variance"] == pytest.approx(2 / 12)


def test_the_squared_error_equals_that_of_torch():
    torch.manual_seed(0)
    outputs, y = torch.randn(30, 1), torch.cat((torch.randn(29), torch.tensor([float(metrics.IGNORED)])))
    batch, metric = Batch(torch.zeros(4, 30, 2), y), metrics.SQUARED_ERROR
    score = metric(metric.total(outputs, batch).item(), metric.points(batch))
    assert score == pytest.approx(F.mse_loss(outputs[:, 0], y).item())


def test_a_regression_gives_one_number_per_sequence():
    dataset = Adding(9)
    batch = whole(dataset)
    outputs, _ = network(dataset, "layer")(batch.x)
    assert outputs.shape == (2000, 1)
    assert batch.y.dtype == batch.x.dtype == torch.float32


def test_a_network_learns_to_add():
    spec = RunSpec(
        "adding(length=3)",
        quantizer="full",
        norm="layer",
        budget="smoke(updates=120, evaluate_every=120, rate=0.02, valid_limit=500)",
    )
    session = Session(spec)
    session.run()
    assert session.curve[-1]["valid"] < spec.data.facts()["variance"] / 5


@pytest.mark.parametrize("choice", ["copy_memory(delay=7)", "adding(length=11)"])
def test_the_steps_of_a_recipe_are_the_length_of_the_sequences(choice):
    dataset = datasets.build(choice)
    assert {recipe.steps for recipe in dataset.recipes.values()} == {whole(dataset).x.shape[0]}


@pytest.mark.parametrize("choice", ["copy_memory", "adding"])
def test_splits_and_seeds_have_different_sequences(choice):
    one, other = datasets.build(choice), datasets.build(f"{choice}(seed=1)")
    assert one.digest != other.digest
    rows = {split: {row.tobytes() for row in one.splits[split][0]} for split in SPLITS}
    assert [len(rows[split]) for split in SPLITS] == [one.counts[split] for split in SPLITS]
    assert len(set.union(*rows.values())) == sum(map(len, rows.values()))


def test_impossible_lengths_are_refused():
    with pytest.raises(InputError, match="Copying problem: a delay is counted from 1, not 0"):
        datasets.build("copy_memory(delay=0)")
    with pytest.raises(InputError, match="Adding problem: two marks need a length of at least 2, not 1"):
        datasets.build("adding(length=1)")
