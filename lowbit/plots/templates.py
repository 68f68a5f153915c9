"""Pages and what they are made from: each template with its parameters, its place and what it shows."""

import dataclasses
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lowbit import paths, quantizers
from lowbit.hardware import technology
from lowbit.onchip import record as onchip
from lowbit.onchip.pair import Pair
from lowbit.speed import benchmarks
from lowbit.speed.benchmarks import Measured
from lowbit.studies import store
from lowbit.studies.spec import RunSpec, slug
from lowbit.studies.study import fitting
from lowbit.training import diagnose


class Template(NamedTuple):
    """A notebook with parameters."""

    spec: type  # a frozen dataclass of names and numbers, which are the parameters; its `folder` says what to spend
    place: Callable[[Any], str]  # of the page of a spec: where it lies below `pages`, without suffix
    sources: Callable[[Any], list[str]]  # what it shows; a change makes the page one of the past
    over: bool = False  # it looks over all records of a dataset and budget
    always: Callable[[], list] = list  # specs that have a page in every study


def _record(run: RunSpec) -> list[str]:
    record = store.load(run)
    return [record.digest, repr(record.machine)] if record else []


def _records(run: RunSpec) -> list[str]:
    return [each.digest for each in store.scan(run.folder).records if each.spec["dataset"] == run.dataset]


def _diagnoses(run: RunSpec) -> list[str]:
    found = diagnose.scan(run.folder).diagnoses
    return _records(run) + [each.digest for each in found if each.spec["dataset"] == run.dataset]


def _code(run: RunSpec) -> list[str]:
    return [inspect.getsource(type(quantizers.build(run.quantizer)))]


def _benchmarks(*kinds: str) -> Callable[[Measured], list[str]]:
    return lambda _: [each.digest for each in benchmarks.scan(*kinds).records]


def _measured(kind: str) -> Callable[[], list[Measured]]:
    return lambda: [Measured(each.measured) for each in benchmarks.scan(kind).records]


def _about(run: RunSpec) -> str:
    return f"{slug(run.dataset)}-{run.folder}"


def _engine(pair: Pair) -> list[str]:
    files = [onchip.path(pair), pair.file, paths.SOURCE / "data" / "machines.csv"]
    told = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()]
    return [*told, *(each.digest for each in benchmarks.scan("simulators").records)]


def _silicon(pair: Pair) -> list[str]:
    prices = [file.read_text() for file in sorted(technology.folder().glob("*.csv"))]
    dataset = pair.network.partition("-")[0]
    scores = [each.digest for each in store.scan("cpu").records if each.spec["dataset"] == dataset]
    return [*_engine(pair), *prices, *scores, (paths.notebooks() / "explorer.html").read_text()]


def _holding() -> list[Pair]:
    """Those whose weights are on the chip."""
    return [pair for pair in onchip.pairs() if not pair.accelerator.off_chip_bits_per_s]


TEMPLATES = {
    "train": Template(RunSpec, lambda run: f"runs/{run.key}", _record),
    "quantizer": Template(RunSpec, lambda run: f"quantizers/{slug(run.quantizer)}", _code),
    "compare": Template(RunSpec, lambda run: f"compare/{_about(run)}", _records, over=True),
    "diagnose": Template(RunSpec, lambda run: f"diagnose/{_about(run)}", _diagnoses, over=True),
    "training_speed": Template(
        Measured,
        lambda of: f"speed/training-{of.measured}",
        _benchmarks("training", "bfloat16"),
        always=_measured("training"),
    ),
    "inference_speed": Template(
        Measured,
        lambda of: f"speed/inference-{of.measured}",
        _benchmarks("inference", "statistics"),
        always=_measured("inference"),
    ),
    "datapath": Template(Pair, lambda pair: f"datapath/{pair.key}", _engine, always=onchip.pairs),
    "area_energy": Template(Pair, lambda pair: f"area_energy/{pair.key}", _silicon, always=_holding),
}


@dataclasses.dataclass(frozen=True)
class Page:
    """One template executed with one spec's fields as its parameters."""

    template: str  # a key of TEMPLATES
    spec: Any

    @property
    def name(self) -> str:
        """Where it lies below `pages`, without suffix."""
        return TEMPLATES[self.template].place(self.spec)

    @property
    def link(self) -> str:
        """How a chapter names it."""
        return f"pages/{self.name}.ipynb"

    @property
    def path(self) -> Path:
        """The executed notebook."""
        return paths.book() / self.link


def pages(runs: list[RunSpec]) -> tuple[list[Page], list[Page]]:
    """A page for every run, quantizer, benchmark and engine, then those over all records of a dataset and budget."""
    first = [Page("train", run) for run in runs] + [Page("quantizer", fitting(q)) for q in quantizers.names()]
    first += [Page(name, spec) for name, template in TEMPLATES.items() for spec in template.always()]
    pairs = [RunSpec(dataset=d, budget=b) for d, b in dict.fromkeys((run.dataset, run.folder) for run in runs)]
    return first, [Page(name, pair) for name, template in TEMPLATES.items() if template.over for pair in pairs]
