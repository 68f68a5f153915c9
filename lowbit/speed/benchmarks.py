"""Benchmark records: contestants that did the same work in turn, and measurements of their machine."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lowbit import paths
from lowbit.registry import InputError
from lowbit.studies import schema, store

NUMBER = (int, float)
STARTS = {"import_seconds": NUMBER, "seconds": NUMBER, "bar": NUMBER}
TABLES = {  # of each kind of benchmark, beside its cases: the columns of its tables
    "training": {"first_use": {"cache": str, **STARTS}},
    "inference": {
        "files": {"quantizer": str, "units": int, "bytes": int, "float32_bytes": int},
        "start_up": {"quantizer": str, "cache": str, **STARTS},
    },
    "steps": {},
    "bfloat16": {
        "curves": {"products": str, "seed": int, "update": int, "train_nats": NUMBER, "valid": NUMBER},
        "scores": {"products": str, "seed": int, "deployed": NUMBER, "seconds": NUMBER},
    },
    "simulators": {"texts": {"units": int, "weights": str, "characters": int, "cycles": int, "seconds": NUMBER}},
    "statistics": {"kept": {"quantizer": str, "kept": int, "act_bits": int, "bytes": int, "stream": NUMBER}},
}
KINDS = tuple(TABLES)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The parameter of a page of benchmarks: the machine whose record it shows."""

    measured: str = "machine"

    @property
    def folder(self) -> str:
        """The budget whose resources the page takes."""
        return "smoke"


class Quartiles(NamedTuple):
    """The quartiles of some numbers."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values) -> "Quartiles":
        """Computes them."""
        return cls(*np.quantile(values, (0.25, 0.5, 0.75)).tolist())


@dataclasses.dataclass(frozen=True)
class Case:
    """Contestants that do the same work in turn, round after round: what slows the machine slows them all."""

    about: dict  # the work, in names and numbers
    threads: int
    seconds: dict[str, list[float]]  # by contestant, one number a round, first round first
    notes: dict[str, dict]  # by contestant: its `group`, and further facts
    bars: dict[str, dict[str, float]]  # by contestant: the factor by which it should beat a group's fastest

    def __post_init__(self):
        rounds = set(map(len, self.seconds.values()))
        if len(rounds) != 1 or not min(rounds):
            raise ValueError(f"contestants of {self.about} ran {sorted(rounds)} rounds")
        if not all(0 < second < math.inf for times in self.seconds.values() for second in times):
            raise ValueError(f"a time of {self.about} is not positive and finite")
        for name in self.seconds:
            if "group" not in self.notes.get(name, {}):
                raise ValueError(f"contestant {name!r} has no group")

    def names(self, *groups: str) -> list[str]:
        """The contestants of some groups."""
        return [name for name in self.seconds if self.notes[name]["group"] in groups]

    def time(self, name: str) -> Quartiles:
        """Seconds over the rounds."""
        return Quartiles.of(self.seconds[name])

    def fastest(self, *groups: str) -> str | None:
        """The contestant of some groups with the lowest median; None where they are absent."""
        return min(self.names(*groups), key=lambda name: self.time(name).median, default=None)

    def ratio(self, name: str, *groups: str) -> Quartiles | None:
        """How many times faster than the fastest of some groups, round by round; None where they are absent.

        >>> seconds = {"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 4.0, 2.5]}
        >>> notes = {"ours": {"group": "ours"}, "theirs": {"group": "torch"}}
        >>> Case({}, 1, seconds, notes, {}).ratio("ours", "torch")
        Quartiles(low=2.0, median=2.0, high=2.25)
        """
        peer = self.fastest(*groups)
        if peer is None:
            return None
        return Quartiles.of(np.divide(self.seconds[peer], self.seconds[name]))


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The results of one benchmark on one machine."""

    kind: str  # of KINDS
    machine: dict  # processor, instructions, caches, versions: lowbit.speed.roofline.machine
    settings: dict  # of the command line
    limits: dict  # products and reads of the machine: lowbit.speed.roofline.limits
    absent: list[str]  # peers that are not installed, and contestants that this machine cannot run
    cases: list[Case]
    tables: dict[str, list[dict]]
    complete: bool  # whether the benchmark came to its end
    digest: str = ""  # sha256 of all the above

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"no benchmark {self.kind!r}; known: {', '.join(KINDS)}")
        for name in TABLES[self.kind]:
            if self.complete and name not in self.tables:
                raise ValueError(f"table {name!r} is missing")
        for table, rows in self.tables.items():
            if table not in TABLES[self.kind]:
                raise ValueError(f"there is no table {table!r} of this kind")
            for row, (name, kind) in itertools.product(rows, TABLES[self.kind][table].items()):
                if not isinstance(row.get(name), kind):
                    raise ValueError(f"a row of table {table!r} has {name} {row.get(name)!r}")

    @property
    def measured(self) -> str:
        """The name of the machine in file names."""
        return slug(self.machine)

    def sealed(self) -> "Benchmark":
        """A copy with its digest."""
        content = dataclasses.asdict(self)
        del content["digest"]
        text = json.dumps(content, sort_keys=True)
        return dataclasses.replace(self, digest=hashlib.sha256(text.encode()).hexdigest())


def path(kind: str, measured: str) -> Path:
    """The file of the record of a benchmark on a machine."""
    return paths.benchmarks() / f"{kind}-{measured}.json"


def slug(machine: dict) -> str:
    """A processor and its cores as part of a file name.

    >>> slug({"processor": "AMD EPYC 7B13", "cores": 2}), slug({"processor": "Intel(R) Xeon(R) CPU", "cores": 8})
    ('amd-epyc-7b13-2-cores', 'intel-xeon-cpu-8-cores')
    """
    words = re.sub(r"\((?:r|tm)\)", " ", f"{machine['processor']} {machine['cores']} cores".lower())
    return "-".join(re.findall(r"[a-z0-9]+", words))


def save(benchmark: Benchmark) -> Path:
    """Writes a record to its file, in place of an earlier one of the same kind and machine."""
    file = path(benchmark.kind, benchmark.measured)
    store.write(file, json.dumps(dataclasses.asdict(benchmark.sealed())) + "\n")
    return file


def read(kind: str, measured: str) -> Benchmark:
    """The record of a benchmark on a machine; raises `InputError` where it is absent or damaged."""
    file = path(kind, measured)
    if not file.exists():
        known = ", ".join(benchmark.measured for benchmark in scan(kind).records) or "none yet"
        raise InputError(f"no benchmark {kind!r} of machine {measured!r}; known: {known}")
    benchmark, problem = _read(file)
    if benchmark is None:
        raise InputError(problem)
    return benchmark


def near(kind: str, measured: str) -> Benchmark | None:
    """The record of a machine, else that of another; None where there is none of the kind."""
    return min(scan(kind).records, key=lambda benchmark: benchmark.measured != measured, default=None)


def scan(*kinds: str) -> store.Scan:
    """The records of `kinds`, or of all; broken files are named among the problems."""
    files = [file for kind in kinds or [""] for file in paths.benchmarks().glob(f"{kind}-*.json" if kind else "*.json")]
    rows = [_read(file) for file in sorted(files)]
    return store.Scan([row for row, _ in rows if row], [problem for row, problem in rows if not row])


def _read(file: Path) -> tuple[Benchmark | None, str]:
    again = "delete it or run the benchmark again"
    try:
        content = schema.parse(file)
        schema.check(content, Benchmark)
        benchmark = Benchmark(**content | {"cases": [Case(**case) for case in content["cases"]]})
        if benchmark.sealed().digest != benchmark.digest:
            return None, f"{file}: its digest does not match its content; {again}"
        if path(benchmark.kind, benchmark.measured) != file:
            return None, f"{file}: holds benchmark {benchmark.kind!r} of machine {benchmark.measured!r}"
        return benchmark, ""
    except Exception as error:  # files of other programs can raise anything
        return None, f"{file}: no benchmark ({schema.reason(error)}); {again}"
