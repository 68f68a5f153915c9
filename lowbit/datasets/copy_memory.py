"""The copying problem: ten symbols to be repeated after a long delay."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lowbit import datasets
from lowbit.datasets import metrics
from lowbit.datasets.memory import Memory
from lowbit.datasets.metrics import Batch
from lowbit.datasets.recipe import Recipe
from lowbit.registry import SEEDS, InputError, bounded

SYMBOLS, KINDS = 10, 8  # to remember, each one of so many
BLANK, DELIMITER = KINDS, KINDS + 1  # the codes after those of the symbols


def forgotten(outputs: Float[Tensor, "time batch symbols"], batch: Batch) -> Float[Tensor, ""]:
    """The number of symbols to be recalled that the likeliest answer misses."""
    return ((outputs.argmax(-1) != batch.y) & (batch.y != BLANK)).sum().to(outputs.dtype)


def recalled(batch: Batch) -> int:
    """The number of symbols to be recalled."""
    return int((batch.y != BLANK).sum())


RECALL_ERROR = metrics.share("recall_error", "% of recalled symbols wrong", forgotten, points=recalled)


@datasets.register
@dataclasses.dataclass(frozen=True)
class CopyMemory(Memory):
    r"""Ten symbols of eight kinds, `delay` steps, the same ten symbols: the copying problem.

    As arjovsky2016unitary set it, after hochreiter1997long: the ten symbols, $T - 1$ blanks, a delimiter, ten
    blanks go in; $T + 10$ blanks, then the ten symbols must come out, and the loss is the cross entropy of all
    $T + 20$ steps. Without memory the best answer is a blank while it is due and then a guess: $10 \ln 8 / (T + 20)$
    nats a step, 87.5 % of the recalled symbols wrong; with memory there is no mistake. Here the table ranks by the
    mistakes. Neither A nor B has this task; foucault2025hadamrnn has it at a length of 1000 with low-bit weights.

    After the tenth step the sequences of a batch are alike. A batch norm removes what a batch has in common, and
    with it the delimiter: under this norm a network has to count the steps.
    """

    title: ClassVar[str] = "Copying problem"
    reference: ClassVar[str] = "arjovsky2016unitary"
    task: ClassVar[str] = "copy"
    symbols: ClassVar[bool] = True
    metric: ClassVar[metrics.Metric] = RECALL_ERROR
    further: ClassVar[tuple[metrics.Metric, ...]] = (metrics.NATS,)
    causal: ClassVar[bool] = True
    counts: ClassVar[dict[str, int]] = Memory.sizes | {"outputs": KINDS + 1}

    inputs: ClassVar[int] = KINDS + 2  # the symbols, the blank and the delimiter
    brief: ClassVar[Recipe] = Recipe(hidden=128, updates=6000, rate=4e-3, final_rate=4e-4, clip_norm=1.0)

    delay: int = 20  # steps from the last symbol to the delimiter
    seed: int = 0

    def __post_init__(self):
        if self.delay < 1:
            raise InputError(f"{self.title}: a delay is counted from 1, not {self.delay}")
        bounded(self, self.title, delay=(1, 10_000), seed=SEEDS)

    @property
    def length(self) -> int:
        """Steps of a sequence."""
        return self.delay + 2 * SYMBOLS

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Codes of what goes in and of what must come out, (count time) each."""
        symbols = generator.integers(KINDS, size=(count, SYMBOLS), dtype=np.uint8)
        x = np.full((count, self.length), BLANK, np.uint8)
        y = x.copy()
        x[:, :SYMBOLS] = y[:, -SYMBOLS:] = symbols
        x[:, -SYMBOLS - 1] = DELIMITER
        return x, y

    def facts(self) -> dict[str, str | float]:
        """The cross entropy in nats a step without memory, in closed form."""
        return {"memoryless_nats": SYMBOLS * math.log(KINDS) / self.length}

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The mistakes of a guess among the eight kinds."""
        return {"memoryless": metrics.percent(1 - 1 / KINDS)}
