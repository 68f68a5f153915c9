"""The adding problem: the sum of two marked numbers of a sequence, which needs a memory for values."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import metrics
from lowbit.datasets.memory import Memory
from lowbit.datasets.recipe import Recipe
from lowbit.registry import SEEDS, InputError, bounded


@datasets.register
@dataclasses.dataclass(frozen=True)
class Adding(Memory):
    r"""`length` steps of a number drawn evenly from [0, 1) and a mark; the answer is the sum of the two marked.

    As arjovsky2016unitary set it, after hochreiter1997long: one mark is in the first half, one in the second, all
    places alike. The constant answer 1, the mean, has a squared error of $1/6 = 0.167$, the variance of a sum of two
    such numbers; the sum itself has none. Neither A nor B has this task.
    """

    title: ClassVar[str] = "Adding problem"
    reference: ClassVar[str] = "arjovsky2016unitary"
    task: ClassVar[str] = "regress"
    metric: ClassVar[metrics.Metric] = metrics.SQUARED_ERROR
    loss: ClassVar[metrics.Metric] = metrics.SQUARED_ERROR
    counts: ClassVar[dict[str, int]] = Memory.sizes | {"outputs": 1}

    inputs: ClassVar[int] = 2  # a number and a mark
    outputs: ClassVar[int] = 1  # the sum
    brief: ClassVar[Recipe] = Recipe(
        hidden=128, updates=1500, rate=4e-3, final_rate=4e-4, clip_norm=1.0, evaluate_every=250
    )

    length: int = 100  # steps
    seed: int = 0

    def __post_init__(self):
        if self.length < 2:
            raise InputError(f"{self.title}: two marks need a length of at least 2, not {self.length}")
        bounded(self, self.title, length=(2, 10_000), seed=SEEDS)

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and marks (count time 2), sums (count)."""
        x = np.zeros((count, self.length, 2), np.float32)
        x[:, :, 0] = generator.random((count, self.length), np.float32)
        half = self.length // 2
        places = np.stack([generator.integers(half, size=count), generator.integers(half, self.length, size=count)])
        sequences = np.arange(count)
        x[sequences, places, 1] = 1
        return x, x[sequences, places, 0].sum(axis=0)

    def facts(self) -> dict[str, str | float]:
        """The squared error of the constant answer 1, in closed form."""
        return {"variance": 1 / 6}

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The score of the constant answer 1, the mean of all sums."""
        _, sums = self.splits["test"]
        return {"always one": float(np.square(sums[: limit or None] - 1.0).mean())}

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return self.outputs
