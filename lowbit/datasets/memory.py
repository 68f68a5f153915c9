"""Problems made here whose solution is known: what came at the beginning decides the answer at the end."""

import abc
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lowbit.datasets.base import EXAMPLE, SPLITS, Shuffle, portions
from lowbit.datasets.sequences import Sequences
from lowbit.metrics import Batch


class Memory(Sequences):
    """Sequences of equal length drawn from a seed, as many as needed for a network not to learn them by heart.

    A leaf's `draw` gives what goes in, symbols (count time) or features (count time inputs), and what is
    asked for, one answer a step (count time) or a sequence (count).
    """

    licence: ClassVar[str] = "MIT, made here"
    sizes: ClassVar[dict[str, int]] = {"train": 20_000, "valid": 2_000, "test": 2_000}

    seed: int  # of everything drawn

    @abc.abstractmethod
    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`count` sequences and their answers."""

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Each split from a generator of its own."""
        return {split: self.draw(self.sizes[split], self._generator(split)) for split in SPLITS}

    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """A few of the sequences."""
        return {split: self.draw(count, self._generator(split)) for split, count in EXAMPLE.items()}

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Whole sequences side by side (`steps` is theirs), shuffled where a generator is given."""
        x, y = (torch.from_numpy(array[: limit or len(array)]) for array in self.splits[split])
        order = torch.arange(len(x)) if generator is None else torch.randperm(len(x), generator=generator)
        for picked in order.split(batch) if generator is None else portions(order, batch, split):
            yield Batch(wide(x[picked]).transpose(0, 1), wide(y[picked]).movedim(0, -1), fresh=True)

    def _generator(self, split: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *split.encode()]))


def wide(values: Tensor) -> Tensor:
    """The type that networks take: real numbers as they are, symbols as whole numbers of 64 bits."""
    return values if values.is_floating_point() else values.long()
