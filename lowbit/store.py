"""Records: one JSON file a run, written whole or not at all, and read as one table."""

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from lowbit import paths, quantizers
from lowbit.registry import InputError
from lowbit.spec import RunSpec, fields

if TYPE_CHECKING:
    import pandas as pd

# The columns of `frame` after those of the spec.
SCORES = (
    *("bits", "hidden", "metric", "as_published", "deployed", "sampled", "sampled_std"),
    *("points", "trivial", "weight_bytes", "updates", "seconds", "key"),
)


COMMITTED = ("brief", "cpu", "paper")  # budgets whose records are part of the study
APART = ("benchmarks", "hardware")  # folders of results that hold other records than those of runs


class Sealed:
    """What was found of one run, with a digest of it; a subclass is a dataclass."""

    spec: dict
    digest: str

    @property
    def run(self) -> RunSpec:
        """The spec as an object."""
        return RunSpec(**self.spec)

    def sealed(self) -> "Sealed":
        """The same with its digest, over everything but time and machine."""
        told = dataclasses.asdict(self)
        for name in ("seconds", "machine", "digest"):
            del told[name]
        text = json.dumps(told, sort_keys=True)
        return dataclasses.replace(self, digest=hashlib.sha256(text.encode()).hexdigest())


@dataclasses.dataclass(frozen=True)
class Record(Sealed):
    """What one run found, and all that is needed to trust it or run it again."""

    spec: dict  # the fields of RunSpec
    recipe: dict  # the fields of Recipe that the budget meant
    metric: dict  # name and unit
    metrics: dict  # as_published, deployed, sampled: test scores under the three evaluations
    curve: list  # one entry a validation: update, train and valid score, learning rate
    weights: dict  # by matrix: histogram of masters, share of each code, share beyond the outermost level
    data: dict  # sha256 of the arrays and further facts
    sizes: dict  # parameters, recurrent weights and their bytes when packed
    seconds: float  # of training and evaluation, wall clock
    machine: dict  # where it ran, on what code and versions, and what it took; older records say less
    digest: str = ""  # sha256 of all that the machine should not change


class Scan(NamedTuple):
    """All records of some budgets, and what was wrong with files that are none."""

    records: list[Record]
    problems: list[str]


def path(spec: RunSpec) -> Path:
    """Where the record of a run is, or would be."""
    return paths.results() / spec.folder / f"{spec.key}.json"


def write(file: Path, content: str | bytes) -> None:
    """`content` under a temporary name, then in its place: half a file never exists.

    Raises `InputError` where the folder cannot be written or the disk is full.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, file)
    except OSError as error:
        if part.exists():
            part.unlink()
        raise InputError(f"cannot write {file}: {error.strerror}") from error


def probe(spec: RunSpec) -> None:
    """Raises `InputError` now if the record could not be written after the training."""
    file = path(spec).with_suffix(".probe")
    write(file, "")
    file.unlink()


def save(record: Record) -> None:
    """Files a record; if another was to be replaced, it now is."""
    write(path(record.run), json.dumps(dataclasses.asdict(record), indent=1) + "\n")
    _asked(record.run).unlink(missing_ok=True)


def hold(name: str) -> FileLock:
    """A lock, to be entered by `with`, that ends with the process that holds it, however that ends."""
    file = paths.runs() / "locks" / f"{name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from error
    return FileLock(file)


def ask_again(spec: RunSpec) -> None:
    """Has the record on file replaced by the next `recall`; it stays until the new one is there."""
    write(_asked(spec), _content_sha256(spec))


def is_asked_again(spec: RunSpec) -> bool:
    """Whether the very record on file is to be replaced."""
    file = _asked(spec)
    return file.exists() and path(spec).exists() and file.read_text() == _content_sha256(spec)


def load(spec: RunSpec) -> Record | None:
    """The record of a run, or None where there is none that can be read."""
    file = path(spec)
    if not file.exists():
        return None
    record, _ = _read(file)
    return record


def current(spec: RunSpec) -> Record | None:
    """The record of a run, unless there is none or it is to be replaced."""
    return None if is_asked_again(spec) else load(spec)


def scan(*budgets: str) -> Scan:
    """The records of `budgets`, or of all; broken files are named among the problems and skipped."""
    records, problems = [], []
    for file in sorted(paths.results().glob("*/*.json")):
        if file.parent.name in APART or (budgets and file.parent.name not in budgets):
            continue
        record, problem = _read(file)
        if record is None:
            problems.append(problem)
        else:
            records.append(record)
    return Scan(records, problems)


def frame(records: list[Record]) -> "pd.DataFrame":
    """One row a record: its spec, its scores under the three evaluations, its sizes."""
    import pandas as pd

    rows = [
        {
            **dataclasses.asdict(record.run),
            "bits": quantizers.build(record.spec["quantizer"]).bits,
            "hidden": record.recipe["hidden"],
            "metric": record.metric["name"],
            "as_published": record.metrics["as_published"],
            "deployed": record.metrics["deployed"],
            "sampled": record.metrics["sampled"]["mean"],
            "sampled_std": record.metrics["sampled"]["std"],
            "points": record.metrics.get("points", 0),
            "trivial": min(record.data.get("baselines", {}).values(), default=math.nan),
            "weight_bytes": record.sizes["packed_bytes"],
            "updates": record.curve[-1]["update"],
            "seconds": record.seconds,
            "key": record.run.key,
        }
        for record in records
    ]
    return pd.DataFrame(rows, columns=None if rows else [*fields(), *SCORES])


def _asked(spec: RunSpec) -> Path:
    return paths.runs() / "again" / spec.key


def _content_sha256(spec: RunSpec) -> str:
    return hashlib.sha256(path(spec).read_bytes()).hexdigest() if path(spec).exists() else ""


def _read(file: Path) -> tuple[Record | None, str]:
    try:
        told = json.loads(file.read_text())
        record = Record(**told)
        if record.sealed().digest != record.digest:
            return None, f"{file}: its digest does not match its content; delete it to run again"
        if path(record.run) != file:
            return None, f"{file}: holds the record of {record.run.key}"
        return record, ""
    except (OSError, ValueError, TypeError) as error:
        return None, f"{file}: no record ({error}); delete it to run again"
