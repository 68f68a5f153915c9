"""The base classes of datasets: files with checksums, splits with known counts, batches, a recipe for each budget."""

import abc
import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int, Integer
from torch import Tensor

from lowbit.datasets import metrics
from lowbit.datasets.download import File
from lowbit.datasets.metrics import Batch
from lowbit.datasets.recipe import Recipe
from lowbit.registry import InputError, checked, parse

SPLITS = ("train", "valid", "test")
EXAMPLE = {"train": 12, "valid": 6, "test": 6}  # sequences of a stand-in; ten times as many symbols of a text

Shuffle = torch.Generator | None  # None: in order


@dataclasses.dataclass(frozen=True)
class Dataset(abc.ABC):
    """Splits of one task; a subclass gives the source of the data, their counts and its recipes."""

    title: ClassVar[str]
    reference: ClassVar[str]  # a key of book/references.bib
    licence: ClassVar[str]
    task: ClassVar[str]  # of lowbit.layers.networks: which network answers it
    metric: ClassVar[metrics.Metric]  # what tables rank by
    further: ClassVar[tuple[metrics.Metric, ...]] = ()  # other scores of the deployed network
    loss: ClassVar[metrics.Metric] = metrics.NATS  # minimized in training
    causal: ClassVar[bool] = True  # a step must not see those after it, so no network is bidirectional
    symbols: ClassVar[bool] = False  # a step is a whole number below `inputs`, which an embedding can look up
    files: ClassVar[tuple[File, ...]] = ()  # none: generated here, or part of an installed package
    bound: ClassVar[bool] = False  # by a licence: there is nothing to fetch, each reader brings the corpus
    counts: ClassVar[dict[str, int]] = {}  # expected: symbols or sequences by split, and "outputs"
    recipes: ClassVar[dict[str, Recipe]]  # by budget: smoke, tour, brief, cpu, search, long, paper

    @abc.abstractmethod
    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The arrays of each split, train, valid and test; raises `InputError` where they cannot be had."""

    @abc.abstractmethod
    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """A tiny stand-in for what `read` gives, alike in kind and the same everywhere: no file is needed."""

    @abc.abstractmethod
    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Independent sequences, each from a fresh state; shuffled where a generator is given.

        Of `train` whole batches only, as the next pass shuffles anew; of other splits every item, once.
        """

    @abc.abstractmethod
    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """The split from its beginning to its end in `batch` parallel streams whose states are carried."""

    @abc.abstractmethod
    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """The split as a deployed network reads it: no sequence depends on another."""

    @property
    @abc.abstractmethod
    def inputs(self) -> int:
        """Features of a step; for text, the size of the alphabet."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """Number of classes or symbols that are predicted."""

    @functools.cached_property
    def splits(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The arrays of `read`; raises `InputError` where their numbers differ from `counts`."""
        splits = self.read()
        counts = {name: len(splits[name][0]) for name in SPLITS} | {"outputs": self._count(splits)}
        for name, expected in self.counts.items():
            if counts[name] != expected:
                raise InputError(f"{self.title}: {name} counts {counts[name]}, must be {expected}")
        return splits

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over all arrays: two runs with the same digest saw the same data."""
        total = hashlib.sha256()
        for name in SPLITS:
            for array in self.splits[name]:
                total.update(f"{name} {array.dtype.str} {array.shape}".encode())
                total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def facts(self) -> dict[str, str | float]:
        """Further entries of a record about these data: a version, a closed form."""
        return {}

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """The scores of simple rules, by name, on the test items that networks are scored on."""
        return {}

    def recipe(self, budget: str) -> Recipe:
        """The recipe of a budget, as in `cpu` or `cpu(hidden=128)`; raises `InputError`."""
        name, changes = parse(budget, "budget")
        if name not in self.recipes:
            raise InputError(f"no budget {name!r} for {self.title}; known: {', '.join(self.recipes)}")
        recipe = self.recipes[name]
        return dataclasses.replace(recipe, **checked(changes, dataclasses.asdict(recipe), f"recipe {name!r}", "field"))

    def least(self, recipe: Recipe) -> int:
        """The number of symbols or sequences of each split that one batch of a recipe needs."""
        return 1

    @abc.abstractmethod
    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int: ...


class Text(Dataset):
    """A text as symbol codes; the task is to predict each symbol from all before it.

    `read` of a subclass returns one array of codes below `outputs` for each split, unsigned integers.
    """

    task: ClassVar[str] = "char-lm"
    symbols: ClassVar[bool] = True
    metric: ClassVar[metrics.Metric] = metrics.BITS_PER_CHARACTER

    def example(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Eight symbols, all alike."""
        generator = draws()
        return {split: (generator.integers(8, size=10 * count, dtype=np.uint8),) for split, count in EXAMPLE.items()}

    @property
    def inputs(self) -> int:
        """The size of the alphabet."""
        return self.outputs

    @functools.cached_property
    def outputs(self) -> int:
        """The size of the alphabet."""
        return self._count(self.splits)

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Segments of `steps` predictions; those of `train` start at a random offset where a generator is given.

        The last segment of another split overlaps the one before, where fewer than `steps` symbols remain;
        targets of the overlap are ignored.
        """
        codes = self._codes(split, limit, steps)
        total = len(codes) - 1
        if split == "train":
            offset = 0
            if generator is not None:
                offset = int(torch.randint(min(steps, len(codes) - steps), (), generator=generator))
            starts = torch.arange(offset, total - steps + 1, steps)
        else:
            starts = torch.arange(0, total, steps).clamp(max=total - steps)
        order = starts if generator is None else starts[torch.randperm(len(starts), generator=generator)]
        for chosen in portions(order, batch, split):
            places = chosen + torch.arange(steps)[:, None]
            y = codes[places + 1].long()
            if split != "train":
                y[(chosen == starts[-1]) & (places < (len(starts) - 1) * steps)] = metrics.IGNORED
            yield Batch(codes[places].long(), y)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """Equal consecutive parts of the text in parallel; targets beyond its end are ignored."""
        codes = self._codes(split, limit, batch)
        length = -(-(len(codes) - 1) // batch)
        missing = batch * length - (len(codes) - 1)
        x = F.pad(codes[:-1], (0, missing)).view(batch, length).T
        y = F.pad(codes[1:].long(), (0, missing), value=metrics.IGNORED).view(batch, length).T
        for start in range(0, length, steps):
            part = slice(start, start + steps)
            yield Batch(x[part].long(), y[part], fresh=start == 0)

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """One stream, in parts whose length does not matter as the state is carried."""
        return self.streams(split, 1, 1000, limit)

    def least(self, recipe: Recipe) -> int:
        """A segment and the symbol after it, and a symbol after each of the streams."""
        return max(recipe.batch, recipe.steps) + 1

    @property
    def alphabet(self) -> str:
        """The character of each code; empty unless overridden."""
        return ""

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Scores of equal probabilities, and of the frequencies in train."""
        (train,), (test,) = self.splits["train"], self.splits["test"]
        test = test[1 : limit or None]  # the first symbol is given
        shares = (np.bincount(train, minlength=self.outputs) + 1) / (len(train) + self.outputs)
        nats = -float(np.log(shares) @ np.bincount(test, minlength=self.outputs) / len(test))
        return {"uniform": self.metric.scale(math.log(self.outputs)), "frequency": self.metric.scale(nats)}

    def _codes(self, split: str, limit: int, least: int) -> Integer[Tensor, " time"]:
        (codes,) = self.splits[split]
        codes = codes[: limit or len(codes)]
        if len(codes) <= least:
            raise InputError(f"{self.title}: {len(codes)} symbols of {split}, at least {least + 1} are needed")
        return torch.from_numpy(codes)

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 1 + max(int(codes.max()) for (codes,) in splits.values())


def cut(codes: np.ndarray, counts: dict[str, int]) -> dict[str, tuple[np.ndarray, ...]]:
    """A text in consecutive parts of the counted sizes; test is what remains."""
    parts = np.split(codes, np.cumsum([counts["train"], counts["valid"]]))
    return {split: (part,) for split, part in zip(SPLITS, parts, strict=True)}


def draws() -> np.random.Generator:
    """What a stand-in is drawn with."""
    return np.random.Generator(np.random.PCG64(0))


def portions(order: Int[Tensor, " count"], batch: int, split: str) -> tuple[Int[Tensor, " portion"], ...]:
    """An order in batches: of `train` whole ones (or all in one, if fewer); of other splits all, of about equal sizes.

    >>> [len(part) for part in portions(torch.arange(270), 100, "test")]
    [90, 90, 90]
    >>> [len(part) for part in portions(torch.arange(270), 100, "train")]
    [100, 100]
    """
    if split == "train":
        return order[: len(order) - len(order) % batch or len(order)].split(batch)
    return order.tensor_split(max(1, round(len(order) / batch)))
