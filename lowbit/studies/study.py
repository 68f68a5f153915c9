"""Studies by name: the runs of an experiment; a new experiment is a function here."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

from lowbit import datasets, quantizers
from lowbit.layers import cells, norm
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.recipes import CANDIDATES, METHODS, changed, recipe
from lowbit.studies.spec import RunSpec

Runs = Callable[[], list[RunSpec]]
STUDIES: dict[str, Runs] = {}
RETRIES: dict[str, int] = {}  # how often a page that fails is tried again; a training goes on from its checkpoint


def study(runs: Runs | None = None, retries: int = 0) -> Runs | Callable[[Runs], Runs]:
    """Enters a study under the name of its function."""
    if runs is None:
        return functools.partial(study, retries=retries)
    STUDIES[runs.__name__], RETRIES[runs.__name__] = runs, retries
    return runs


def build(name: str) -> list[RunSpec]:
    """The runs of a study, each once; raises `InputError` for an unknown name."""
    if name not in STUDIES:
        raise InputError(f"no study {name!r}; known: {', '.join(sorted(STUDIES))}")
    return list(dict.fromkeys(STUDIES[name]()))


def grid(**choices: list) -> list[RunSpec]:
    """Every combination of the choices."""
    return [RunSpec(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())]


def cover(**choices: list) -> list[RunSpec]:
    """The fewest runs that name each choice at least once, each with the parts that its quantizer is for."""
    count = max(map(len, choices.values()))
    return [fitting(**{field: values[i % len(values)] for field, values in choices.items()}) for i in range(count)]


def fitting(
    quantizer: str = "ternary",
    quantized: str = "input+recurrent",
    dataset: str = "markov",
    budget: str = "smoke",
    **choices,
) -> RunSpec:
    """A run in which a quantizer is left out of the parts that it is not for, with units that it can have."""
    built, hidden = quantizers.build(quantizer), datasets.build(dataset).recipe(budget).hidden
    parts = [part for part in quantized.split("+") if part in built.fits] or built.fits
    if built.units(hidden) != hidden:
        budget = changed(budget, hidden=built.units(hidden))
    return RunSpec(dataset, quantizer=quantizer, quantized="+".join(parts), budget=budget, **choices)


@study
def smoke() -> list[RunSpec]:
    """Each registered choice once, in seconds, on data that need no download; and all that is on file."""
    return [
        *cover(
            dataset=datasets.local(),
            cell=[*cells.names(), "gru(reset='cho2014')", "lstm(normalize_cell=True)", "rnn(activation='relu')"],
            quantizer=quantizers.variants(),
            norm=[name for name in norm.names() if name not in ("none", "weight")],
            activations=["full", "uniform(bits=8)", "ternary"],
        ),
        *cover(norm=["none", "weight"], quantized=["+".join(cells.PARTS), "input", "recurrent"]),
        *(run for run in diagnosed() if run.folder == "smoke"),
        *recorded(),
    ]


@study
def tour() -> list[RunSpec]:
    """The runs that `make book` trains: real text on every quantizer and cell, a cover, and all that is on file."""
    text = {"dataset": ["stdlib"], "budget": ["tour"]}
    return [
        *cover(**text, quantizer=quantizers.names()),
        *grid(**text, quantizer=["full", "ternary"], cell=cells.names()),
        *cover(**text, quantizer=["ternary", "full", "binary"], norm=norm.names()),
        *grid(**text, quantizer=["binary(stochastic=True)", "ternary(stochastic=True)"]),
        *grid(dataset=["markov", "digits"], budget=["tour"], quantizer=["full", "binary", "ternary"]),
        *recorded(),
    ]


@study
def recorded() -> list[RunSpec]:
    """Every kind of committed record, its lowest seed for all: its page is rendered, nothing is trained.

    The runs of a search have a table, not pages.
    """
    lowest: dict[RunSpec, RunSpec] = {}
    for run in sorted((record.run for record in store.scan(*store.EVIDENCE).records), key=lambda run: run.seed):
        lowest.setdefault(dataclasses.replace(run, seed=0), run)
    return list(lowest.values())


@study(retries=1)
def ptb_char() -> list[RunSpec]:
    """A's first question on its first task: does a normalized low-bit LSTM keep up, and does it without the norm?"""
    task = {"dataset": ["ptb_char"], "budget": ["cpu"]}
    return [
        *grid(**task, quantizer=["full", "ternary", "binary"]),
        *grid(**task, quantizer=["binaryconnect"], norm=["none"]),
        *grid(**task, quantizer=["ternary(stochastic=True)", "binary(stochastic=True)"]),
        *grid(**task, quantizer=["full", "ternary"], seed=[1, 2]),
    ]


@study
def diagnosed() -> list[RunSpec]:
    """The networks that are diagnosed: on the Markov source in seconds, and on A's first task."""
    task = {"dataset": ["ptb_char"], "budget": ["cpu"]}
    return [
        *grid(quantizer=["full", "ternary(stochastic=True)"]),
        *grid(quantizer=["binaryconnect"], norm=["none"]),
        *grid(**task, quantizer=["full", "binaryconnect"], norm=["none"]),
        *grid(**task, quantizer=["full", "ternary", "ternary(stochastic=True)", "binary"]),
    ]


@study(retries=1)
def parts() -> list[RunSpec]:
    """B's figure 3: a GRU with input, recurrent, bias or all weights ternarized, ten seeds each."""
    task = {"dataset": ["warpeace"], "budget": ["brief"], "cell": ["gru"], "norm": ["none"]}
    every, seeds = "input+recurrent+biases", list(range(10))
    return [
        *grid(**task, quantizer=["ternaryconnect"], quantized=["input", "recurrent", "biases", every], seed=seeds),
        *grid(**task, quantizer=["full"], quantized=[every], seed=seeds),
    ]


SEEDS = {name: [0, 1, 2] for name in ("fsdd", "jsb", "nottingham")}  # where a run takes a minute


@study(retries=1)
def tasks() -> list[RunSpec]:
    """Every dataset that is trained in minutes: full precision, ternary, binary, and one bit with and without norm.

    The cell is the LSTM but on spoken digits, where the paper has the GRU.
    """
    runs = []
    for name in datasets.names():
        if "cpu" in datasets.build(name).recipes and not datasets.registry[name].bound:
            task = {"dataset": [name], "budget": ["cpu"], "cell": ["gru" if name == "fsdd" else "lstm"]}
            task["seed"] = SEEDS.get(name, [0])
            runs += grid(**task, quantizer=["full", "ternary", "binary"])
            runs += grid(**task, quantizer=["binaryconnect"], norm=["none", "batch_step"])
    return runs


@study(retries=1)
def clipping() -> list[RunSpec]:
    """Full precision with and without clipped masters, on the tasks where the other methods have them clipped."""
    return [
        RunSpec(dataset=dataset, quantizer="full", budget=recipe, seed=seed)
        for dataset, budget in (("ptb_char", "cpu"), ("an4", "cpu"), ("ptb_char", "brief"))
        for recipe in (budget, changed(budget, clip_masters=False))
        for seed in range(3)
    ]


@study(retries=1)
def search() -> list[RunSpec]:
    """The same small search for each method, in few units, at a tenth of the updates of `long`; validation chooses."""
    starts = ((6e-3, "uniform"), (2e-2, "uniform"), (2e-2, "levels"), (6e-2, "uniform"))
    recipes = [recipe(rate, clip, init) for rate, init in starts for clip in (False, True)]
    return [
        RunSpec("ptb_char", quantizer=name, norm=norm, budget=changed("search", **options))
        for name, norm in METHODS
        for options in recipes
    ]


@study(retries=1)
def long() -> list[RunSpec]:
    """A's first task at about an hour a run: each method in four widths, with the better of two recipes."""

    def run(method: tuple[str, str], options: dict, hidden: int = 256, seed: int = 0) -> RunSpec:
        budget = changed("long", hidden=hidden, **options)
        return RunSpec("ptb_char", quantizer=method[0], norm=method[1], budget=budget, seed=seed)

    return [
        *(run(method, options) for method, recipes in CANDIDATES.items() for options in recipes),
        *(
            run(method, recipes[0], hidden, seed)
            for hidden, seeds in ((256, 3), (128, 3), (64, 3), (512, 1))
            for method, recipes in CANDIDATES.items()
            for seed in range(seeds)
        ),
    ]


@study(retries=1)
def pixels() -> list[RunSpec]:
    """A's longest memory test at about two hours a run: digits pixel by pixel, in order and in a random one."""
    tasks = ["mnist_seq", "mnist_seq(permuted=True)"]
    return grid(dataset=tasks, budget=["long"], quantizer=["full", "ternary", "binary"])


@study(retries=1)
def methods() -> list[RunSpec]:
    """Every quantizer on A's first task, with A's norm."""
    choices = [*quantizers.names(), "laq(bits=4)", "lat(exact=True)", "lat(sides=2)", "dorefa(bits=4)"]
    choices += ["alternating(bits=3)", "alternating(bits=4)"]
    return [fitting(quantizer, dataset="ptb_char", budget="brief") for quantizer in choices]


@study(retries=1)
def variants() -> list[RunSpec]:
    """The differences of A's released code from the paper, one at a time."""

    def run(cell: str = "lstm", seed: int = 0, **changes) -> RunSpec:
        budget = changed("brief", **changes) if changes else "brief"
        return RunSpec(dataset="ptb_char", cell=cell, quantizer="ternary(stochastic=True)", budget=budget, seed=seed)

    return [
        *(run(seed=seed) for seed in range(3)),
        run(clip_masters=False),
        run(clip_masters=False, clip_steps=True),
        run(restart=True),
        run(init="orthogonal"),
        run(start="learned"),
        run("lstm(normalize_cell=True)"),
        *grid(dataset=["warpeace", "warpeace(symbols=83)"], budget=["brief"], quantizer=["full", "ternary"]),
    ]
