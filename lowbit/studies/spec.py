"""One run as names and numbers: the parameters cell of its notebook and the key of its record."""

import dataclasses
import functools
import hashlib
import json
import re

from lowbit import datasets, quantizers
from lowbit.datasets import Dataset, Recipe
from lowbit.datasets.base import SPLITS
from lowbit.layers import cells, norm
from lowbit.registry import SEEDS, InputError, bounded, parse, written

REGISTRIES = {"dataset": datasets, "cell": cells, "quantizer": quantizers, "activations": quantizers}
CHOICES = {  # of the fields of a recipe that are words
    "optimizer": ("adam", "sgd"),
    "init": ("levels", "orthogonal", "uniform"),
    "start": ("learned", "noisy", "zero"),
}
LIMITS = {  # of the fields of a recipe that are numbers
    "hidden": (1, 65_536),
    "updates": (1, 10**9),
    "layers": (1, 64),
    "embedding": (0, 65_536),
    "dropout": (0, 0.99),
    "batch": (1, 65_536),
    "steps": (1, 10**6),
    "rate": (1e-12, 1e9),
    "final_rate": (1e-12, 1e9),
    "clip_norm": (0, 10**12),
    "chrono": (0, 10**6),
    "evaluate_every": (1, 10**9),
    "patience": (0, 10**9),
    "calibration": (1, 10**6),
    "valid_limit": (0, 10**12),
    "test_limit": (0, 10**12),
}
MOST_WEIGHTS = 10**9  # in recurrent layers
MOST_SUMS = 10**10  # gates' sums of a batch, which the backward pass keeps
MOST_KEY = 230  # characters: a file system takes 255, and temporary names are longer than the key


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """A run to train; every choice is a name, with options as in `ternary(stochastic=True)`.

    Raises `InputError` for unknown names, with the known ones, and for combinations that cannot be.

    >>> RunSpec(quantizer="ternary( stochastic = True )").quantizer
    'ternary(stochastic=True)'
    >>> RunSpec(dataset="markov", cell="gru", seed=3).key[:38]
    'markov-gru-ternary-batch_step-smoke-s3'
    """

    dataset: str = "markov"
    cell: str = "lstm"
    quantizer: str = "ternary"
    norm: str = "batch_step"
    quantized: str = "input+recurrent"  # of input, recurrent, biases, embedding, readout
    activations: str = "full"  # the quantizer of every layer's outputs, at scale 1
    budget: str = "smoke"  # or tour, brief, cpu, search, long, paper; with changes to its recipe as in cpu(hidden=128)
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if type(getattr(self, field.name)) is not field.type:
                kind = "a name" if field.type is str else "a whole number from 0"
                raise InputError(f"a run's {field.name} is {kind}, not {getattr(self, field.name)!r}")
        if not SEEDS[0] <= self.seed <= SEEDS[1]:
            raise InputError(f"a seed is a whole number from 0, not {self.seed}, and at most {SEEDS[1]:,}")
        for field, registry in REGISTRIES.items():
            object.__setattr__(self, field, registry.canonical(getattr(self, field)))
        if self.norm not in norm.names():
            raise InputError(f"no norm {self.norm!r}; known: {', '.join(norm.names())}")
        quantized, fits = cells.parse_parts(self.quantized), quantizers.build(self.quantizer).fits
        for part in sorted(quantized.difference(fits)):
            raise InputError(f"quantizer {self.quantizer!r} is none for {part}; it is for {'+'.join(fits)}")
        if quantized == {"embedding"} and not self.recipe.embedding:
            raise InputError(f"nothing is quantized: {self.dataset!r} has no embedding at budget {self.budget!r}")
        if quantizers.build(self.activations).stochastic:
            raise InputError(f"activations are rounded to the nearest level, never as {self.activations!r} would")
        recipe = self.recipe
        self._check(recipe)
        self._check_size(recipe)
        defaults = dataclasses.asdict(self.data.recipe(self.folder))
        changes = {name: value for name, value in sorted(dataclasses.asdict(recipe).items()) if value != defaults[name]}
        object.__setattr__(self, "quantized", "+".join(part for part in cells.PARTS if part in quantized))
        object.__setattr__(self, "budget", written(self.folder, changes))
        if len(self.key) > MOST_KEY:
            raise InputError(f"the name of this run has {len(self.key)} characters, at most {MOST_KEY} are possible")

    def _check(self, recipe: Recipe) -> None:
        bounded(recipe, "a recipe", **LIMITS)
        if recipe.divide and not 1 <= recipe.divide <= 1e6:
            raise InputError(f"a recipe's divide is 0 or from 1 to 1,000,000, not {recipe.divide}")
        for field, choices in CHOICES.items():
            if getattr(recipe, field) not in choices:
                raise InputError(f"no {field} {getattr(recipe, field)!r}; known: {', '.join(choices)}")
        quantizer = quantizers.build(self.quantizer)
        if (nearest := quantizer.units(recipe.hidden)) != recipe.hidden:
            raise InputError(f"quantizer {self.quantizer!r} has no layers of {recipe.hidden} units; near: {nearest}")
        if quantizer.curved and recipe.optimizer != "adam":
            raise InputError(f"quantizer {self.quantizer!r} needs Adam's second moment, which {recipe.optimizer} lacks")
        if self.norm in ("batch", "batch_step") and recipe.batch < 2:
            raise InputError(f"norm {self.norm!r} needs a batch of at least 2 sequences, not {recipe.batch}")
        if recipe.chrono and not cells.build(self.cell).forget_gate:
            raise InputError(f"a recipe's chrono is for a forget gate, which cell {self.cell!r} lacks")
        if cells.build(self.cell).normalize_cell and self.norm in ("none", "weight"):
            raise InputError(f"cell {self.cell!r} normalizes its cell, which norm {self.norm!r} cannot")
        if recipe.bidirectional and self.data.causal:
            raise InputError("a bidirectional network would see the symbol that it predicts")
        if recipe.embedding and not self.data.symbols:
            raise InputError(f"an embedding is for symbols, and {self.dataset!r} has none")
        if recipe.bidirectional and recipe.carry:
            raise InputError("a bidirectional network has no state to carry")

    def _check_size(self, recipe: Recipe) -> None:
        """Raises `InputError` for networks past any memory, and for batches that a split cannot fill."""
        directions = 2 if recipe.bidirectional else 1
        rows = cells.build(self.cell).gates * recipe.hidden * directions
        columns = [recipe.embedding, *[recipe.hidden * directions] * (recipe.layers - 1)]
        weights = rows * (sum(columns) + recipe.layers * recipe.hidden)
        if weights > MOST_WEIGHTS:
            raise InputError(f"{weights:.1e} weights are more than {MOST_WEIGHTS:.0e}; take fewer units or layers")
        sums = rows * recipe.layers * recipe.batch * recipe.steps
        if sums > MOST_SUMS:
            raise InputError(f"{sums:.1e} sums of gates are more than {MOST_SUMS:.0e}; take fewer sequences or steps")
        limits, least = {"valid": recipe.valid_limit, "test": recipe.test_limit}, self.data.least(recipe)
        for split in SPLITS:
            count = self.data.counts.get(split, least)
            count = min(count, limits.get(split) or count)
            if count < least:
                sizes = f"of {recipe.batch} sequences and {recipe.steps} steps"
                raise InputError(f"a batch {sizes} needs {least} items of the {split} split, of which {count} are used")

    @functools.cached_property
    def data(self) -> Dataset:
        """The dataset itself."""
        return datasets.build(self.dataset)

    @property
    def recipe(self) -> Recipe:
        """The dataset's recipe for the budget, changed as the budget says."""
        return self.data.recipe(self.budget)

    @property
    def folder(self) -> str:
        """The name of the budget, without changes."""
        return parse(self.budget, "budget")[0]

    @property
    def key(self) -> str:
        """A file name: readable, then unique by a digest of the fields that differ from the defaults."""
        changed = {name: getattr(self, name) for name, value in fields().items() if getattr(self, name) != value}
        digest = hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:6]
        choices = (self.dataset, self.cell, self.quantizer, self.norm, self.budget)
        return "-".join([*map(slug, choices), f"s{self.seed}", digest])

    @property
    def title(self) -> str:
        """A heading of dataset, cell and quantizer."""
        return f"{self.dataset} · {self.cell} · {self.quantizer}"


def slug(choice: str) -> str:
    """A choice as part of a file name.

    >>> slug("ternary(stochastic=True)"), slug("uniform(bits=2)"), slug("lstm")
    ('ternary_stochastic', 'uniform_bits2', 'lstm')
    """
    name, options = parse(choice)
    words = [option if value is True else f"{option}{value}" for option, value in options.items()]
    return re.sub(r"[^A-Za-z0-9_.+]", "", "_".join([name, *words]))


def fields() -> dict[str, str | int]:
    """The names of a spec's fields with their defaults: the parameters cell of every notebook."""
    return {field.name: field.default for field in dataclasses.fields(RunSpec)}


def pairs(words: list[str]) -> dict[str, str]:
    """The values by field of arguments as `seed=1`; raises `InputError`, also for an unknown field."""
    values: dict[str, str] = {}
    for word in words:
        field, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"cannot read {word!r}; write it as FIELD=VALUE")
        if field not in fields():
            of_recipe = field in Recipe.__dataclass_fields__
            hint = f"; it belongs to the budget, as in budget='smoke({field}=...)'" if of_recipe else ""
            raise InputError(f"a run has no field {field!r}; known: {', '.join(fields())}{hint}")
        if field in values:
            raise InputError(f"field {field!r} is given twice")
        values[field] = value
    return values


def read(words: list[str]) -> RunSpec:
    """The spec of arguments as `seed=1`; raises `InputError`."""
    values = pairs(words)
    if "seed" in values:
        if not re.fullmatch(r"[0-9]{1,20}", values["seed"]):
            raise InputError(f"a seed is a whole number from 0, not {values['seed']!r}")
        values["seed"] = int(values["seed"])
    return RunSpec(**values)


def words(run: RunSpec) -> list[str]:
    """A spec as the arguments that `read` takes.

    >>> read(words(RunSpec(seed=3))) == RunSpec(seed=3)
    True
    """
    return [f"{field}={value}" for field, value in dataclasses.asdict(run).items()]
