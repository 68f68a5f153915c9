"""Small images of digits, read pixel by pixel, that come with scikit-learn."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.sequences import Sequences
from lowbit.registry import InputError

ORDER_SEED = 64  # of the order that the splits are cut from


@datasets.register
@dataclasses.dataclass(frozen=True)
class Digits(Sequences):
    """1797 images of 8 by 8 pixels: 64 steps of one input in [0, 1], the digit to be named after the last.

    The test half of the UCI set of handwritten digits (alpaydin1998optical) as scikit-learn carries it, cut at
    random, though the same way every time; the writers are not known, so they may be shared by the splits.
    Neither paper uses it: it is the sequential MNIST of ardakani2019learning in the small, with no download,
    and says nothing about scores on that.
    """

    title: ClassVar[str] = "Digits, pixel by pixel"
    reference: ClassVar[str] = "alpaydin1998optical"
    licence: ClassVar[str] = "CC BY 4.0, comes with scikit-learn"
    counts: ClassVar[dict[str, int]] = {"train": 1257, "valid": 270, "test": 270, "outputs": 10}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, steps=64),
        "tour": Recipe(hidden=64, updates=600, batch=32, steps=64, rate=1e-2, final_rate=1e-3, evaluate_every=100),
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Images as rows of pixels after one another, with their digits."""
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise InputError(f"{self.title}: needs scikit-learn; install it with pip") from None
        pixels, digits = load_digits(return_X_y=True)
        x = (pixels / 16).astype(np.float32)[:, :, None]
        order = np.random.Generator(np.random.PCG64(ORDER_SEED)).permutation(len(x))
        first, last = self.counts["train"], self.counts["train"] + self.counts["valid"]
        parts = {"train": order[:first], "valid": order[first:last], "test": order[last:]}
        return {split: (x[part], digits[part].astype(np.uint8)) for split, part in parts.items()}
