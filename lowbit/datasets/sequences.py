"""Sequences of equal length, each with a class."""

import functools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from lowbit.datasets import metrics
from lowbit.datasets.base import EXAMPLE, Dataset, Shuffle, draws, portions
from lowbit.datasets.metrics import Batch
from lowbit.datasets.recipe import Recipe


class Sequences(Dataset):
    """Sequences of equal length with one class each, which is predicted after the last step.

    `read` of a subclass returns two arrays for each split: features (count time inputs) and classes (count).
    """

    task: ClassVar[str] = "classify"
    metric: ClassVar[metrics.Metric] = metrics.ERROR_PERCENT
    causal: ClassVar[bool] = False

    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Nine steps of two features in three classes."""
        generator = draws()
        return {
            split: (generator.random((count, 9, 2), np.float32), generator.permutation(count) % 3)
            for split, count in EXAMPLE.items()
        }

    @functools.cached_property
    def inputs(self) -> int:
        """Features of a step."""
        return self.splits["train"][0].shape[2]

    @functools.cached_property
    def outputs(self) -> int:
        """The number of classes."""
        return self._count(self.splits)

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences (`steps` is ignored), shuffled where a generator is given."""
        x, y = (torch.from_numpy(array[: limit or None]) for array in self.splits[split])
        order = torch.arange(len(x)) if generator is None else torch.randperm(len(x), generator=generator)
        for chosen in order.split(batch) if generator is None else portions(order, batch, split):
            yield Batch(_widened(x[chosen]).transpose(0, 1), _widened(y[chosen]).movedim(0, -1))

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """The same as `batches` in order: nothing is carried from one sequence to the next."""
        return self.batches(split, batch, steps, limit=limit)

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """In batches: with population statistics no sequence depends on another."""
        return self.batches(split, 256, 0, limit=limit)

    def least(self, recipe: Recipe) -> int:
        """The sequences of one batch."""
        return recipe.batch

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The score of the most frequent class of train."""
        (_, train), (_, test) = self.splits["train"], self.splits["test"]
        return {"most frequent": 100.0 * float((test[: limit or None] != np.bincount(train).argmax()).mean())}

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + max(int(classes.max()) for _, classes in splits.values())


def _widened(values: torch.Tensor) -> torch.Tensor:
    """Real numbers as they are, integers as integers of 64 bits, which networks take."""
    return values if values.is_floating_point() else values.long()
