"""Sequences of different lengths: padded at their end, side by side with those of about their length."""

import collections
import itertools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit import metrics
from lowbit.datasets.base import EXAMPLE, Dataset, Shuffle, draws, portions
from lowbit.datasets.recipe import Recipe
from lowbit.metrics import IGNORED, Batch
from lowbit.registry import InputError

GROUP = 20  # batches within which sequences are sorted by length, as in A's question answering
ALONE = 64  # sequences side by side where none sees another


class Varied(Dataset):
    """Sequences behind one another; a leaf's `read` gives lengths (count) and frames (total inputs) first.

    A leaf gives the `_targets` of the sequences it is asked for.

    Shuffled sequences are sorted by length within groups of 20 batches, so that little is padded. Padded
    frames are zeros that run along to the end of their batch and take part in batch statistics, as in A's
    code; no loss and no score sees them.
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
        """Classes, or labels and the blank, or keys."""
        return self._count(self.splits)

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences (`steps` is theirs); shuffled where a generator is given."""
        return self._feed(split, batch, self._spans(split, limit), generator)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences in order: nothing is carried from one to the next."""
        return self._feed(split, batch, self._spans(split, limit))

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """Side by side, which is one by one: with population statistics no sequence touches another."""
        return self._feed(split, ALONE, self._spans(split, limit))

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        lengths = generator.integers(6, 10, size=count)
        return lengths, generator.normal(size=(lengths.sum(), 3)).astype(np.float32)

    def _spans(self, split: str, limit: int) -> Int[np.ndarray, "count 2"]:
        """Where each sequence begins and ends among the frames."""
        ends = self.splits[split][0].astype(np.int64).cumsum()[: limit or None]
        return np.stack((np.append(0, ends[:-1]), ends), axis=1)

    def _feed(
        self, split: str, batch: int, spans: Int[np.ndarray, "count 2"], generator: Shuffle = None
    ) -> Iterator[Batch]:
        lengths = torch.from_numpy(spans[:, 1] - spans[:, 0])
        if generator is None:
            parts = torch.arange(len(spans)).split(batch)
        else:
            parts = shuffled(lengths, batch, generator, split)
        for part in parts:
            yield self._batch(split, spans, part, lengths[part])

    def _batch(
        self,
        split: str,
        spans: Int[np.ndarray, "count 2"],
        picked: Int[Tensor, " batch"],
        lengths: Int[Tensor, " batch"],
    ) -> Batch:
        x = pad_sequence([self._frames(split, spans[i]) for i in picked])
        return Batch(x, self._targets(split, spans, picked), True, lengths)

    def _frames(self, split: str, span: Int[np.ndarray, "2"]) -> Float[Tensor, "time inputs"]:
        return torch.from_numpy(self.splits[split][1][slice(*span)]).float()


def shuffled(lengths: Int[Tensor, " count"], batch: int, generator: torch.Generator, split: str) -> Iterator[Tensor]:
    """Which sequences of a split go side by side: alike in length, in random order, in `portions`."""
    order = torch.cat(portions(torch.randperm(len(lengths), generator=generator), batch, split))
    groups = order.tensor_split([*range(GROUP * batch, len(order) - batch // 2, GROUP * batch)])
    groups = [group[lengths[group].argsort(stable=True)] for group in groups]
    parts = [part for group in groups for part in portions(group, batch, split)]
    for i in torch.randperm(len(parts), generator=generator):
        yield parts[i]


class Classified(Varied):
    """One class a sequence, to be named after its last frame; `read` adds classes (count)."""

    task: ClassVar[str] = "classify"
    metric: ClassVar[metrics.Metric] = metrics.ERROR_PERCENT

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The commonest class of train for all; and the class nearest by the mean frames of three thirds."""
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
        self, split: str, spans: Int[np.ndarray, "count 2"], picked: Int[Tensor, " batch"]
    ) -> Int[Tensor, " batch"]:
        return torch.from_numpy(self.splits[split][2])[picked].long()

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + max(int(arrays[2].max()) for arrays in splits.values())


class Transcribed(Varied):
    """A labelling a sequence without times; `read` adds labels of all sequences and how many each has (count).

    Label 0 is the blank; the others are the symbols of `alphabet`, from 1.
    """

    task: ClassVar[str] = "ctc"
    metric: ClassVar[metrics.Metric] = metrics.LABEL_ERROR
    loss: ClassVar[metrics.Metric] = metrics.NATS_PER_LABEL
    alphabet: ClassVar[str]  # a space, where there are words, comes first

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Nothing said, and the commonest utterance of train said always."""
        train, test = (self._labellings(split) for split in ("train", "test"))
        test = test[: limit or None]
        commonest = collections.Counter(map(tuple, train)).most_common(1)[0][0]
        points = sum(map(len, test))
        edits = metrics.edits([metrics.spelled(each) for each in test], [metrics.spelled(list(commonest))] * len(test))
        return {"nothing": 100.0, "commonest utterance": 100.0 * edits / points}

    def labels(self, text: str) -> list[int]:
        """The labels of a transcript; raises `InputError` where a symbol is not of the alphabet."""
        for symbol in text:
            if symbol not in self.alphabet:
                raise InputError(f"{self.title}: {symbol!r} in {text!r} is none of {self.alphabet!r}")
        return [1 + self.alphabet.index(symbol) for symbol in text]

    def arrays(
        self, names: list[str], frames: list[Float[np.ndarray, "_ inputs"]], texts: list[str]
    ) -> tuple[np.ndarray, ...]:
        """What `read` gives for one split; raises `InputError` where an utterance is too short for its labels."""
        spoken = [self.labels(text) for text in texts]
        for name, rows, labels in zip(names, frames, spoken, strict=True):
            least = len(labels) + sum(one == other for one, other in itertools.pairwise(labels))
            if len(rows) < least:
                raise InputError(f"{self.title}: {name} has {len(rows)} frames, its labels need {least}")
        return (
            np.array([len(rows) for rows in frames]),
            np.concatenate(frames),
            np.concatenate(spoken).astype(np.uint8),
            np.array([len(labels) for labels in spoken]),
        )

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        counts = generator.integers(2, 4, size=count)
        labels = generator.integers(1, 1 + len(self.alphabet), size=counts.sum(), dtype=np.uint8)
        return *super()._draw(count, generator), labels, counts

    def _targets(
        self, split: str, spans: Int[np.ndarray, "count 2"], picked: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch labels"]:
        labels, counts = (torch.from_numpy(array) for array in self.splits[split][2:])
        ends = counts.cumsum(0)
        spoken = [labels[ends[i] - counts[i] : ends[i]].long() for i in picked]
        return pad_sequence(spoken, batch_first=True, padding_value=IGNORED)

    def _labellings(self, split: str) -> list[list[int]]:
        labels, counts = self.splits[split][2:]
        return [part.tolist() for part in np.split(labels, counts.cumsum()[:-1])]

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + len(self.alphabet)


class Lettered(Transcribed):
    """Speech as letters with words between spaces: words have scores too."""

    further: ClassVar[tuple[metrics.Metric, ...]] = (
        metrics.WORD_ERROR,
        metrics.LABEL_ERROR_BEAM,
        metrics.WORD_ERROR_BEAM,
        metrics.NATS_PER_LABEL,
    )


LETTERS = Recipe(  # of minutes, for such a task
    hidden=128,
    updates=1000,
    layers=2,
    bidirectional=True,
    batch=16,
    rate=1e-2,
    final_rate=5e-4,
    clip_norm=1.0,
    clip_masters=True,
)
