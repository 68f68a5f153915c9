"""Sequences of different lengths, padded at their end, in batches of about the same length."""

import dataclasses
import itertools
import statistics
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit.datasets import metrics
from lowbit.datasets.base import EXAMPLE, Dataset, Shuffle, draws, portions
from lowbit.datasets.metrics import IGNORED, Batch
from lowbit.datasets.recipe import CPU, Recipe
from lowbit.registry import InputError

GROUP = 20  # batches within which sequences are sorted by length, as in A's question answering
ALONE = 64  # sequences of a batch of `alone`


class Varied(Dataset):
    """Sequences of different lengths; a subclass adds `_targets`, the targets of a batch.

    `read` returns lengths (count), frames of all sequences (total inputs), and arrays of the subclass.

    Shuffled sequences are sorted by length within groups of 20 batches, so that little is padded. Padded
    frames are zeros up to the end of their batch and take part in batch statistics, as in A's code, but not in
    losses and scores.
    """

    causal: ClassVar[bool] = False

    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Six to nine frames of three features, and what a leaf adds."""
        generator = draws()
        return {split: self._draw(count, generator) for split, count in EXAMPLE.items()}

    @property
    def inputs(self) -> int:
        """Features of a frame."""
        return self.splits["train"][1].shape[1]

    @property
    def outputs(self) -> int:
        """The number of classes, of labels and the blank, or of keys."""
        return self._count(self.splits)

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences (`steps` is ignored); shuffled where a generator is given."""
        return self._feed(split, batch, self._spans(split, limit), generator)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences in order: nothing is carried from one to the next."""
        return self._feed(split, batch, self._spans(split, limit))

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """In batches: with population statistics no sequence depends on another."""
        return self._feed(split, ALONE, self._spans(split, limit))

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        lengths = generator.integers(6, 10, size=count)
        return lengths, generator.normal(size=(lengths.sum(), 3)).astype(np.float32)

    def _spans(self, split: str, limit: int) -> Int[np.ndarray, "count 2"]:
        """The first frame of each sequence, and the one after its last."""
        ends = self.splits[split][0].astype(np.int64).cumsum()[: limit or None]
        return np.stack((np.append(0, ends[:-1]), ends), axis=1)

    def _feed(
        self, split: str, batch: int, spans: Int[np.ndarray, "count 2"], generator: Shuffle = None
    ) -> Iterator[Batch]:
        lengths = torch.from_numpy(spans[:, 1] - spans[:, 0])
        order = torch.arange(len(spans)).split(batch)
        for part in order if generator is None else shuffled(lengths, batch, generator, split):
            x = pad_sequence([self._frames(split, spans[i]) for i in part])
            yield Batch(x, self._targets(split, spans, part), lengths=lengths[part])

    def _frames(self, split: str, span: Int[np.ndarray, "2"]) -> Float[Tensor, "time inputs"]:
        return torch.from_numpy(self.splits[split][1][slice(*span)]).float()


def shuffled(lengths: Int[Tensor, " count"], batch: int, generator: torch.Generator, split: str) -> Iterator[Tensor]:
    """The sequences of each batch of a split: of about the same length, in random order, in `portions`."""
    order = torch.cat(portions(torch.randperm(len(lengths), generator=generator), batch, split))
    groups = order.tensor_split([*range(GROUP * batch, len(order) - batch // 2, GROUP * batch)])
    groups = [group[lengths[group].argsort(stable=True)] for group in groups]
    parts = [part for group in groups for part in portions(group, batch, split)]
    for i in torch.randperm(len(parts), generator=generator):
        yield parts[i]


def joined(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and frames of sequences, as `read` returns them."""
    return np.array([len(sequence) for sequence in sequences]), np.concatenate(sequences)


class Classified(Varied):
    """One class a sequence, predicted after its last frame; `read` adds classes (count)."""

    task: ClassVar[str] = "classify"
    metric: ClassVar[metrics.Metric] = metrics.ERROR_PERCENT

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Scores of the most frequent class of train, and of the class nearest by the mean frames of three thirds."""
        (train, train_y), (test, test_y) = (self._thirds(split) for split in ("train", "test"))
        test, test_y = test[: limit or None], test_y[: limit or None]
        centres = np.stack([train[train_y == k].mean(0) for k in range(self.outputs)])
        nearest = np.square(test[:, None] - centres).sum(2).argmin(1)
        return {
            "most frequent": 100.0 * float((test_y != np.bincount(train_y).argmax()).mean()),
            "nearest thirds": 100.0 * float((test_y != nearest).mean()),
        }

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        return *super()._draw(count, generator), generator.permutation(count) % 3

    def _thirds(self, split: str) -> tuple[Float[np.ndarray, "count thirds"], Integer[np.ndarray, " count"]]:
        """The mean frame of the first, second and last third of each sequence, and its class."""
        lengths, frames, classes = self.splits[split]
        sequences = np.split(frames, lengths.cumsum()[:-1])
        means = [[third.mean(0) for third in np.array_split(sequence, 3)] for sequence in sequences]
        return np.array(means).reshape(len(lengths), -1), classes

    def _targets(
        self, split: str, spans: Int[np.ndarray, "count 2"], chosen: Int[Tensor, " batch"]
    ) -> Int[Tensor, " batch"]:
        return torch.from_numpy(self.splits[split][2])[chosen].long()

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + max(int(arrays[2].max()) for arrays in splits.values())


class Transcribed(Varied):
    """A labelling a sequence without times; `read` adds the labels of all sequences and their numbers (count).

    Label 0 is the blank; the others are the symbols of `alphabet`, from 1.
    """

    task: ClassVar[str] = "ctc"
    metric: ClassVar[metrics.Metric] = metrics.LABEL_ERROR
    loss: ClassVar[metrics.Metric] = metrics.NATS_PER_LABEL
    alphabet: ClassVar[str]  # a space, where there are words, comes first

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Scores of an empty transcript, and of the most frequent one of train."""
        train, test = ([metrics.spelled(labels) for labels in self._labellings(split)] for split in ("train", "test"))
        test = test[: limit or None]
        edits = metrics.edits(test, [statistics.mode(train)] * len(test))
        return {"nothing": 100.0, "commonest utterance": 100.0 * edits / sum(len(text.split()) for text in test)}

    def labels(self, text: str) -> list[int]:
        """The labels of a transcript; raises `InputError` where a symbol is not of the alphabet."""
        for symbol in text:
            if symbol not in self.alphabet:
                raise InputError(f"{self.title}: {symbol!r} in {text!r} is none of {self.alphabet!r}")
        return [1 + self.alphabet.index(symbol) for symbol in text]

    def arrays(
        self, names: list[str], frames: list[Float[np.ndarray, "_ inputs"]], texts: list[str]
    ) -> tuple[np.ndarray, ...]:
        """The arrays of one split; raises `InputError` where an utterance has too few frames for its labels."""
        labellings = [self.labels(text) for text in texts]
        for name, rows, labels in zip(names, frames, labellings, strict=True):
            least = len(labels) + sum(one == other for one, other in itertools.pairwise(labels))
            if len(rows) < least:
                raise InputError(f"{self.title}: {name} has {len(rows)} frames, its labels need {least}")
        counts, labels = joined([np.array(labels, np.uint8) for labels in labellings])
        return *joined(frames), labels, counts

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        counts = generator.integers(2, 4, size=count)
        labels = generator.integers(1, 1 + len(self.alphabet), size=counts.sum(), dtype=np.uint8)
        return *super()._draw(count, generator), labels, counts

    def _targets(
        self, split: str, spans: Int[np.ndarray, "count 2"], chosen: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch labels"]:
        labels, counts = (torch.from_numpy(array) for array in self.splits[split][2:])
        ends = counts.cumsum(0)
        rows = [labels[ends[i] - counts[i] : ends[i]].long() for i in chosen]
        return pad_sequence(rows, batch_first=True, padding_value=IGNORED)

    def _labellings(self, split: str) -> list[list[int]]:
        labels, counts = self.splits[split][2:]
        return [part.tolist() for part in np.split(labels, counts.cumsum()[:-1])]

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + len(self.alphabet)


class Lettered(Transcribed):
    """Speech as letters, with scores of the words between spaces too."""

    further: ClassVar[tuple[metrics.Metric, ...]] = (
        metrics.WORD_ERROR,
        metrics.LABEL_ERROR_BEAM,
        metrics.WORD_ERROR_BEAM,
        metrics.NATS_PER_LABEL,
    )


# Budgets of such a task: minutes, and those of papers.
CPU_LETTERS = dataclasses.replace(CPU, layers=2, bidirectional=True, clip_norm=1.0)
PAPER_LETTERS = Recipe(
    hidden=320, updates=10_000, layers=3, bidirectional=True, batch=16, steps=50, final_rate=1e-4, clip_norm=1.0
)
