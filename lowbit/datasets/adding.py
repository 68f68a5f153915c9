"""Two marked numbers in a long row, to be added: a memory for values rather than for symbols."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import metrics
from lowbit.datasets.memory import Memory
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.registry import SEEDS, InputError, bounded


@datasets.register
@dataclasses.dataclass(frozen=True)
class Adding(Memory):
    r"""`length` steps of a number drawn evenly from [0, 1) and a mark; the answer is the sum of the two marked.

    As arjovsky2016unitary set it, after hochreiter1997long: one mark is in the first half, one in the second, all
    places alike. Who always says 1, the mean, has a squared error of $1/6 = 0.167$, the variance of a sum of two
    such numbers; the sum itself has none. Neither A nor B has this task.
    """

    title: ClassVar[str] = "Adding problem"
    reference: ClassVar[str] = "arjovsky2016unitary"
    task: ClassVar[str] = "regress"
    metric: ClassVar[metrics.Metric] = metrics.SQUARED_ERROR
    loss: ClassVar[metrics.Metric] = metrics.SQUARED_ERROR
    counts: ClassVar[dict[str, int]] = Memory.sizes | {"outputs": 1}

    length: int = 100  # steps
    seed: int = 0

    def __post_init__(self):
        if self.length < 2:
            raise InputError(f"{self.title}: two marks need a length of at least 2, not {self.length}")
        bounded(self, self.title, length=(2, 10_000), seed=SEEDS)

    @property
    def inputs(self) -> int:
        """A number and a mark."""
        return 2

    @property
    def outputs(self) -> int:
        """The sum."""
        return 1

    @property
    def recipes(self) -> dict[str, Recipe]:
        """By budget, as long as the sequences; `paper` has batch, rate and updates of arjovsky2016unitary."""
        plain = Recipe(
            hidden=128,
            updates=1500,
            steps=self.length,
            rate=4e-3,
            final_rate=4e-4,
            clip_norm=1.0,
            evaluate_every=250,
        )
        return {
            "smoke": dataclasses.replace(SMOKE, steps=self.length, valid_limit=64, test_limit=64),
            "cpu": plain,
            "paper": dataclasses.replace(plain, updates=20_000, batch=20, rate=1e-3, final_rate=1e-3),
        }

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
        """The squared error of always saying 1, in closed form."""
        return {"variance": 1 / 6}

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The mean of all sums for each."""
        _, sums = self.splits["test"]
        return {"always one": float(np.square(sums[: limit or None] - 1.0).mean())}

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return self.outputs
