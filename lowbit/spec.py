"""One run as names and numbers: what a notebook's parameters cell holds and a record is filed under."""

import dataclasses
import functools
import hashlib
import json
import re

from lowbit import cells, datasets, norm, quantizers
from lowbit.datasets import Dataset, Recipe
from lowbit.registry import InputError, parse

REGISTRIES = {"dataset": datasets, "cell": cells, "quantizer": quantizers, "activations": quantizers}
CHOICES = {  # of the fields of a recipe that are words
    "optimizer": ("adam", "sgd"),
    "init": ("orthogonal", "uniform"),
    "start": ("learned", "noisy", "zero"),
}


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """What to train; every choice is a name, with options as in `ternary(stochastic=True)`.

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
    budget: str = "smoke"  # or tour, brief, cpu, paper; with changes to its recipe as in cpu(hidden=128)
    seed: int = 0

    def __post_init__(self):
        for field, registry in REGISTRIES.items():
            object.__setattr__(self, field, registry.canonical(getattr(self, field)))
        fits = quantizers.build(self.quantizer).fits
        for part in sorted(cells.chosen(self.quantized).difference(fits)):
            raise InputError(f"quantizer {self.quantizer!r} is none for {part}; it is for {'+'.join(fits)}")
        if self.norm not in norm.names():
            raise InputError(f"no norm {self.norm!r}; known: {', '.join(norm.names())}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"a seed is a whole number from 0, not {self.seed!r}")
        self._check(self.recipe)
        name, changes = parse(self.budget)
        kept = [f"{change}={value!r}" for change, value in sorted(changes.items())]
        object.__setattr__(self, "budget", f"{name}({', '.join(kept)})" if kept else name)

    def _check(self, recipe: Recipe) -> None:
        for field in ("hidden", "updates", "layers", "batch", "steps", "evaluate_every", "calibration"):
            if getattr(recipe, field) < 1:
                raise InputError(f"a recipe's {field} is counted from 1, not {getattr(recipe, field)}")
        for field, known in CHOICES.items():
            if getattr(recipe, field) not in known:
                raise InputError(f"no {field} {getattr(recipe, field)!r}; known: {', '.join(known)}")
        if not 0 <= recipe.dropout < 1:
            raise InputError(f"a recipe's dropout is a share from 0 and below 1, not {recipe.dropout}")
        quantizer = quantizers.build(self.quantizer)
        if quantizer.units(recipe.hidden) != recipe.hidden:
            near = quantizer.units(recipe.hidden)
            raise InputError(f"quantizer {self.quantizer!r} has no layers of {recipe.hidden} units; near: {near}")
        if quantizer.curved and recipe.optimizer != "adam":
            raise InputError(f"quantizer {self.quantizer!r} needs Adam's second moment, which {recipe.optimizer} lacks")
        batch_norm = self.norm in ("batch", "batch_step")
        if batch_norm and recipe.batch < 2:
            raise InputError(f"norm {self.norm!r} needs a batch of at least 2 sequences, not {recipe.batch}")
        if cells.build(self.cell).settles and self.norm in ("none", "weight"):
            raise InputError(f"cell {self.cell!r} normalizes its cell, which norm {self.norm!r} cannot")
        if recipe.bidirectional and self.data.causal:
            raise InputError("a bidirectional network would see the symbol that it predicts")
        if recipe.bidirectional and recipe.carry:
            raise InputError("a bidirectional network has no state to carry")

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
        """A file name: readable, then unique by what differs from the defaults."""
        changed = {name: getattr(self, name) for name, value in fields().items() if getattr(self, name) != value}
        text = json.dumps(changed)
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        choices = (self.dataset, self.cell, self.quantizer, self.norm, self.budget)
        return "-".join([*map(slug, choices), f"s{self.seed}", digest])

    @property
    def title(self) -> str:
        """A heading: what was trained on what."""
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


def read(text: dict[str, str]) -> RunSpec:
    """A spec from words, as a command line gives them; raises `InputError` for an unknown field."""
    known = fields()
    for name in text:
        if name not in known:
            raise InputError(f"a run has no field {name!r}; known: {', '.join(known)}")
    values = dict(text)
    if "seed" in values:
        if not str(values["seed"]).isdecimal():
            raise InputError(f"a seed is a whole number from 0, not {values['seed']!r}")
        values["seed"] = int(values["seed"])
    return RunSpec(**values)
