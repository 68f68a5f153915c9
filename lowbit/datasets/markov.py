"""A generated text whose entropy is known: an exact lower bound of every score."""

import bisect
import dataclasses
import functools
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from lowbit import datasets
from lowbit.datasets.base import SPLITS, Text, cut
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.registry import SEEDS, bounded

SYMBOLS = 8
CONCENTRATION = 0.3  # of the Dirichlet rows: most of a row's weight lies on two or three symbols
WARM_UP = 1000  # symbols until the start is forgotten


@datasets.register
@dataclasses.dataclass(frozen=True)
class Markov(Text):
    r"""An order-2 Markov source over eight symbols, $P(c \mid a, b)$ drawn once from a sparse Dirichlet.

    No network predicts it in fewer bits than its entropy rate (shannon1948mathematical),
    $-\sum_{a,b} \pi(a,b) \sum_c P(c \mid a,b) \log_2 P(c \mid a,b)$ with $\pi$ the stationary distribution of
    pairs. Rows of pairs that end in the same symbol have nothing in common, so what is to be learnt is to
    remember the symbol before the last. The papers use no such source; it stands in for no text of theirs.
    """

    title: ClassVar[str] = "Markov source"
    reference: ClassVar[str] = "shannon1948mathematical"
    licence: ClassVar[str] = "MIT, made here"
    counts: ClassVar[dict[str, int]] = {"train": 200_000, "valid": 20_000, "test": 20_000, "outputs": SYMBOLS}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": SMOKE,
        "tour": Recipe(hidden=64, updates=600, batch=32, steps=48, rate=2e-2, final_rate=1e-3, evaluate_every=100),
    }

    seed: int = 0  # of the transition table and of the text

    def __post_init__(self):
        bounded(self, self.title, seed=SEEDS)

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Three parts of one long text."""
        length = WARM_UP + sum(self.counts[split] for split in SPLITS)
        rows = np.cumsum(self.table, axis=2)[..., :-1].tolist()  # the last sum may miss 1 by a rounding
        before = last = 0
        text = bytearray()
        for chance in self._generator("text").random(length).tolist():
            before, last = last, bisect.bisect(rows[before][last], chance)
            text.append(last)
        return cut(np.frombuffer(text, np.uint8)[WARM_UP:], self.counts)

    @functools.cached_property
    def table(self) -> Float[np.ndarray, "before last next"]:
        """The chance of each symbol after each pair."""
        return self._generator("table").dirichlet(np.full(SYMBOLS, CONCENTRATION), size=(SYMBOLS, SYMBOLS))

    @functools.cached_property
    def entropy(self) -> float:
        """The entropy rate in bits a symbol: what a perfect predictor scores in the long run."""
        pairs = SYMBOLS**2
        step = np.einsum("abc,bd->abdc", self.table, np.eye(SYMBOLS)).reshape(pairs, pairs)
        balance = np.vstack([step.T - np.eye(pairs), np.ones(pairs)])
        share = np.linalg.lstsq(balance, np.append(np.zeros(pairs), 1.0), rcond=None)[0]
        bits = -(self.table * np.log2(self.table)).sum(axis=2)
        return float(share @ bits.ravel())

    def facts(self) -> dict[str, str | float]:
        """The lower bound of every score."""
        return {"entropy_bits": self.entropy}

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *purpose.encode()]))
