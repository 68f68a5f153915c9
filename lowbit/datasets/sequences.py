"""Sequences of equal length, each with a class to be named after its last step."""

import functools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from lowbit import metrics
from lowbit.datasets.base import EXAMPLE, Dataset, Shuffle, draws, portions
from lowbit.datasets.recipe import Recipe
from lowbit.metrics import Batch


class Sequences(Dataset):
    """Sequences of equal length with one class each; the task is to name it after the last step.

    A leaf's `read` gives two arrays a split: features (count time inputs) and classes (count).
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
        """Whole sequences side by side (`steps` is theirs), shuffled where a generator is given."""
        x, y = (torch.from_numpy(array[: limit or len(array)]) for array in self.splits[split])
        order = torch.arange(len(x)) if generator is None else torch.randperm(len(x), generator=generator)
        for picked in order.split(batch) if generator is None else portions(order, batch, split):
            yield Batch(x[picked].transpose(0, 1).float(), y[picked].long(), fresh=True)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """The same as `batches` in order: nothing is carried from one sequence to the next."""
        return self.batches(split, batch, steps, limit=limit)

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """Side by side, which is one by one: with population statistics no sequence touches another."""
        return self.batches(split, 256, 0, limit=limit)

    def least(self, recipe: Recipe) -> int:
        """All that stand side by side."""
        return recipe.batch

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The commonest class of train for all."""
        (_, train), (_, test) = self.splits["train"], self.splits["test"]
        return {"most frequent": 100.0 * float((test[: limit or None] != np.bincount(train).argmax()).mean())}

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + max(int(classes.max()) for _, classes in splits.values())
