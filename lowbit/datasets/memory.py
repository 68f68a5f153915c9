"""Generated problems with known solutions, in which the first steps decide the answer at the last ones."""

import abc
import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.datasets.base import EXAMPLE, SPLITS
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.sequences import Sequences


class Memory(Sequences):
    """Sequences of equal length drawn from a seed, too many for a network to learn by heart.

    `draw` of a subclass returns the inputs, symbols (count time) or features (count time inputs), and the
    answers, one a step (count time) or one a sequence (count).
    """

    licence: ClassVar[str] = "MIT, made here"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "valid": 2_000, "test": 2_000}

    brief: ClassVar[Recipe]  # the budget `cpu`, but for the steps
    length: int  # steps of a sequence
    seed: int  # of all numbers drawn

    @property
    def recipes(self) -> dict[str, Recipe]:
        """By budget, as long as the sequences; `paper` has batch, rate and updates of arjovsky2016unitary."""
        cpu = dataclasses.replace(self.brief, steps=self.length)
        return {
            "smoke": dataclasses.replace(SMOKE, steps=self.length, valid_limit=64, test_limit=64),
            "cpu": cpu,
            "paper": dataclasses.replace(cpu, updates=20_000, batch=20, rate=1e-3, final_rate=1e-3),
        }

    @abc.abstractmethod
    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`count` sequences and their answers."""

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Each split from a generator of its own."""
        return {split: self.draw(self.sizes[split], self._generator(split)) for split in SPLITS}

    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """A few of the sequences."""
        return {split: self.draw(count, self._generator(split)) for split, count in EXAMPLE.items()}

    def _generator(self, split: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *split.encode()]))
