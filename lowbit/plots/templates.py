"""Templates of pages: the parameters of each, where its pages lie, and what they are made from."""

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

    spec: type  # a frozen dataclass of names and numbers, which are the parameters; its `folder` names the resources
    place: Callable[[Any], str]  # of the page of a spec: its path below `pages`, without suffix
    sources: Callable[[Any], list[str]]  # digests or texts of what it shows; a page with others is out of date
    over: bool = False  # whether it shows all records of a dataset and budget
    always: Callable[[], list] = list  # specs that have a page in every study


def _digests(records: list, dataset: str) -> list[str]:
    return [record.digest for record in records if record.spec["dataset"] == dataset]


def _train(run: RunSpec) -> list[str]:
    record = store.load(run)
    return [record.digest, repr(record.machine)] if record else []


def _compare(run: RunSpec) -> list[str]:
    return _digests(store.scan(run.folder).records, run.dataset)


def _diagnose(run: RunSpec) -> list[str]:
    return _compare(run) + _digests(diagnose.scan(run.folder).diagnoses, run.dataset)


def _benchmarks(*kinds: str) -> list[str]:
    return [benchmark.digest for benchmark in benchmarks.scan(*kinds).records]


def _datapath(pair: Pair) -> list[str]:
    files = [onchip.path(pair), pair.file, paths.SOURCE / "data" / "machines.csv"]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()]
    return digests + _benchmarks("simulators")


def _area_energy(pair: Pair) -> list[str]:
    prices = [file.read_text() for file in sorted(technology.folder().glob("*.csv"))]
    scores = _digests(store.scan("cpu").records, pair.network.partition("-")[0])
    return [*_datapath(pair), *prices, *scores, (paths.notebooks() / "explorer.html").read_text()]


def _over(name: str, sources: Callable[[RunSpec], list[str]]) -> Template:
    return Template(RunSpec, lambda run: f"{name}/{slug(run.dataset)}-{run.folder}", sources, over=True)


def _speed(kind: str, beside: str) -> Template:
    """The page of a kind of benchmark on a machine, which also shows a record of another kind."""
    return Template(
        Measured,
        lambda spec: f"speed/{kind}-{spec.measured}",
        lambda _: _benchmarks(kind, beside),
        always=lambda: [Measured(benchmark.measured) for benchmark in benchmarks.scan(kind).records],
    )


def _on_chip() -> list[Pair]:
    """The pairs whose weights are in memory on the chip."""
    return [pair for pair in onchip.pairs() if not pair.accelerator.off_chip_bits_per_s]


TEMPLATES = {
    "train": Template(RunSpec, lambda run: f"runs/{run.key}", _train),
    "quantizer": Template(
        RunSpec,
        lambda run: f"quantizers/{slug(run.quantizer)}",
        lambda run: [inspect.getsource(type(quantizers.build(run.quantizer)))],
    ),
    "compare": _over("compare", _compare),
    "diagnose": _over("diagnose", _diagnose),
    "training_speed": _speed("training", "bfloat16"),
    "inference_speed": _speed("inference", "statistics"),
    "datapath": Template(Pair, lambda pair: f"datapath/{pair.key}", _datapath, always=onchip.pairs),
    "area_energy": Template(Pair, lambda pair: f"area_energy/{pair.key}", _area_energy, always=_on_chip),
}


@dataclasses.dataclass(frozen=True)
class Page:
    """One template executed with one spec's fields as its parameters."""

    template: str  # a key of TEMPLATES
    spec: Any

    @property
    def name(self) -> str:
        """Its path below `pages`, without suffix."""
        return TEMPLATES[self.template].place(self.spec)

    @property
    def link(self) -> str:
        """Its path from a chapter."""
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
