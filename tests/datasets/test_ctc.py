"""Laws of CTC decoding and of its scores, against sums over all alignments and jiwer."""

import itertools
import math
import sys

import jiwer
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.datasets import ctc, metrics
from lowbit.datasets.metrics import Batch
from lowbit.registry import InputError

unhurried = settings(deadline=None, max_examples=30)
tiny = st.tuples(st.integers(1, 5), st.integers(2, 3), st.integers(0, 10_000))  # frames, labels, seed


def scores(frames: int, labels: int, seed: int) -> torch.Tensor:
    return 2 * torch.randn(frames, 1, labels, generator=torch.Generator().manual_seed(seed))


def labellings(log_chances: np.ndarray) -> dict[tuple, float]:
    """Returns the probability of each labelling, summed over all its alignments."""
    frames, size = log_chances.shape
    chances: dict[tuple, float] = {}
    for alignment in itertools.product(range(size), repeat=frames):
        merged = [label for label, _ in itertools.groupby(alignment)]
        labels = tuple(label for label in merged if label != 0)
        chance = math.exp(sum(log_chances[t, label] for t, label in enumerate(alignment)))
        chances[labels] = chances.get(labels, 0.0) + chance
    return chances


@unhurried
@given(tiny)
def test_an_unpruned_beam_finds_the_probability_of_every_labelling(case):
    log_chances = scores(*case)[:, 0].double().log_softmax(1).numpy()
    expected = labellings(log_chances)
    actual = ctc.search(log_chances, width=10_000)
    assert {labels: math.exp(log_chance) for labels, log_chance in actual} == pytest.approx(expected)
    assert actual == sorted(actual, key=lambda pair: -pair[1])


@unhurried
@given(tiny)
def test_greedy_decoding_gives_the_most_probable_alignment(case):
    log_chances = scores(*case)[:, 0].log_softmax(1).numpy()
    frames, labels = log_chances.shape
    alignments = itertools.product(range(labels), repeat=frames)
    best = max(alignments, key=lambda alignment: sum(log_chances[t, label] for t, label in enumerate(alignment)))
    merged = [label for label, _ in itertools.groupby(best)]
    assert ctc.greedy(scores(*case)) == [[label for label in merged if label != ctc.BLANK]]


def test_a_labelling_may_be_more_probable_than_that_of_the_most_probable_alignment():
    chances = torch.tensor([[0.6, 0.4], [0.6, 0.4]])  # nothing: 0.36; the label, in three alignments: 0.64
    assert ctc.greedy(chances.log()[:, None]) == [[]]
    assert ctc.beam(chances.log()[:, None]) == [[1]]


@unhurried
@given(st.integers(5, 30), st.integers(0, 999))
def test_a_narrow_beam_never_overestimates_the_probability_of_a_labelling(frames, seed):
    log_chances = scores(frames, 5, seed)[:, 0].double().log_softmax(1)
    labels, claimed = ctc.search(log_chances.numpy(), width=4)[0]
    batch = Batch(log_chances, torch.tensor([labels], dtype=torch.long).reshape(1, -1))
    nats = float(metrics.alignment_nats(log_chances[:, None], batch))
    assert claimed <= -nats + 1e-9


@unhurried
@given(tiny, st.lists(st.integers(1, 2), max_size=3))
def test_the_loss_is_the_sum_over_all_alignments(case, labels):
    labels = [min(label, case[1] - 1) for label in labels]
    outputs = scores(*case).double()
    chance = labellings(outputs[:, 0].log_softmax(1).numpy()).get(tuple(labels), 0.0)
    y = torch.tensor([[*labels, -1, -1]])
    nats = float(metrics.alignment_nats(outputs, Batch(outputs, y)))
    assert nats == pytest.approx(-math.log(chance) if chance else math.inf)


def test_the_loss_is_per_label_and_ignores_padding():
    outputs = torch.randn(6, 2, 4)
    y, lengths = torch.tensor([[1, 2, 3], [2, -1, -1]]), torch.tensor([6, 4])
    batch = Batch(outputs, y, True, lengths)
    total, points = metrics.NATS_PER_LABEL.total(outputs, batch), metrics.NATS_PER_LABEL.points(batch)
    alone = [
        metrics.alignment_nats(outputs[:end, i : i + 1], Batch(outputs, y[i : i + 1, :count]))
        for i, (end, count) in enumerate([(6, 3), (4, 1)])
    ]
    torch.testing.assert_close(total, alone[0] + alone[1])
    assert points == 4
    changed = outputs.clone()
    changed[4:, 1] = 1e3
    longer = torch.cat((changed, torch.full((3, 2, 4), 7.0)))
    torch.testing.assert_close(metrics.alignment_nats(longer, batch), total)


@pytest.mark.parametrize("decode", [ctc.greedy, ctc.beam])
def test_frames_after_the_end_of_a_sequence_are_ignored(decode):
    outputs = 3 * torch.randn(12, 3, 5)
    lengths = torch.tensor([12, 7, 1])
    longer = torch.cat((outputs, 9 * torch.randn(5, 3, 5)))
    longer[7:, 1] = torch.randn(10, 5)
    assert decode(longer, lengths) == [decode(outputs[:end, i : i + 1])[0] for i, end in enumerate(lengths.tolist())]


def certain(*labellings: list[int]) -> torch.Tensor:
    """Returns scores with one probable alignment of these labels, a blank after each."""
    frames = torch.zeros(2 * max(map(len, labellings)) + 1, len(labellings), dtype=torch.long)
    for i, labels in enumerate(labellings):
        for place, label in enumerate(labels):
            frames[2 * place, i] = label
    return 50 * torch.nn.functional.one_hot(frames, 30).float()


LETTERS = " ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def coded(text: str) -> list[int]:
    return [1 + LETTERS.index(letter) for letter in text]


PAIRS = [("GO", "GO"), ("ONE TWO", "ONE TOO"), ("STOP", "STOP NOW"), ("ENTER SIX NINE", "ENTERSIX NINE"), ("YES", "")]


def spoken() -> tuple[torch.Tensor, Batch]:
    references = [torch.tensor(coded(reference)) for reference, _ in PAIRS]
    y = torch.nn.utils.rnn.pad_sequence(references, batch_first=True, padding_value=-1)
    return certain(*(coded(hypothesis) for _, hypothesis in PAIRS)), Batch(torch.zeros(1), y)


@pytest.mark.parametrize(
    ("metric", "measure"),
    [
        (metrics.LABEL_ERROR, jiwer.cer),
        (metrics.LABEL_ERROR_BEAM, jiwer.cer),
        (metrics.WORD_ERROR, jiwer.wer),
        (metrics.WORD_ERROR_BEAM, jiwer.wer),
    ],
)
def test_error_rates_equal_those_of_jiwer(metric, measure):
    outputs, batch = spoken()
    score = metric(metric.total(outputs, batch).item(), metric.points(batch))
    assert score == pytest.approx(100 * measure(*map(list, zip(*PAIRS, strict=True))))


def test_errors_equal_those_counted_by_hand():
    outputs, batch = spoken()
    assert metrics.LABEL_ERROR.total(outputs, batch) == 1 + 4 + 1 + 3
    assert metrics.WORD_ERROR.total(outputs, batch) == 1 + 1 + 2 + 1
    assert metrics.WORD_ERROR.points(batch) == 8
    assert metrics.SEQUENCE_ERROR.total(outputs, batch) == 4
    assert metrics.SEQUENCE_ERROR.points(batch) == 5


def test_an_extra_space_is_a_label_error_and_no_word_error():
    assert metrics.worded([1, 3, 4, 1, 1, 5, 1]) == metrics.worded([3, 4, 1, 5])
    assert metrics.spelled([3, 1, 1]) != metrics.spelled([3, 1])


def test_error_rates_without_jiwer_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(InputError, match=r"need jiwer; install it with: pip install 'lowbit\[audio\]'"):
        metrics.LABEL_ERROR.total(*spoken())
