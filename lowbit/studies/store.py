"""Records: one JSON file a run, written whole or not at all, and read as one table."""

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from filelock import FileLock

from lowbit import paths, quantizers
from lowbit.registry import InputError
from lowbit.studies import divergence, schema, sealed
from lowbit.studies.spec import RunSpec, fields

if TYPE_CHECKING:
    import pandas as pd

EVIDENCE = ("brief", "cpu", "long", "paper")  # budgets whose records findings rest on; `search` chooses recipes
APART = ("benchmarks", "hardware", "packed")  # folders of results that hold other records than those of runs


@dataclasses.dataclass(frozen=True)
class Record(sealed.Sealed):
    """The results of one run, and all that is needed to check it or run it again. These fields are its file's schema.

    A diverged run (`divergence.diverged`) is marked, and no table ranks it. A number that is not finite is null in the
    file, and NaN in scores, curve, weights and canary here.

    >>> import lowbit
    >>> record = lowbit.recall(lowbit.RunSpec(budget="smoke(updates=2, valid_limit=300, test_limit=300)"))
    >>> sorted(record.metrics), record.run.quantizer
    (['as_published', 'deployed', 'points', 'sampled'], 'ternary')
    """

    spec: schema.Spec
    recipe: schema.Settings  # that the budget meant
    metric: schema.Metric
    metrics: schema.Metrics
    curve: Annotated[list[schema.Point], schema.Meta(min_length=1)]
    weights: Annotated[dict[schema.Name, schema.Matrix], schema.Meta(min_length=1)]
    data: schema.Data
    sizes: schema.Sizes
    seconds: schema.Amount  # of training and evaluation, wall clock
    machine: schema.Machine
    canary: schema.Canary | None = None  # of this kind of run by the code that made it; older records lack it
    diverged: bool = False  # follows from scores and curve; records older than this field lack it
    digest: str = ""  # sha256 of all that the machine should not change

    def __post_init__(self):
        for name in ("metrics", "curve", "weights"):
            object.__setattr__(self, name, schema.numbers(getattr(self, name)))
        if self.canary is not None:
            object.__setattr__(self, "canary", schema.numbers(self.canary))
        object.__setattr__(self, "diverged", divergence.diverged(self.metrics, self.curve, self.data))


class Scan(NamedTuple):
    """The records in some files, and the errors of files that hold none."""

    records: list[Record]
    problems: list[str]


def path(spec: RunSpec) -> Path:
    """The file of the record of a run."""
    return paths.results() / spec.folder / f"{spec.key}.json"


def write(file: Path, content: str | bytes) -> None:
    """Writes under a temporary name and renames: half a file never exists.

    Raises `InputError` where the folder cannot be written or the disk is full.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())  # or a loss of power could leave the new name with no content
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
    """Writes a record to its file, and removes the mark of the one that it replaces."""
    write(path(record.run), json.dumps(record.content, indent=1, allow_nan=False) + "\n")
    _mark(record.run).unlink(missing_ok=True)


def hold(name: str) -> FileLock:
    """A lock, to be entered by `with`, that ends with its process, however that ends."""
    file = paths.runs() / "locks" / f"{name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from error
    return FileLock(file)


def mark(spec: RunSpec) -> None:
    """Marks the record on file for replacement by the next `recall`; it stays until the new one is there."""
    write(_mark(spec), _content_sha256(spec))


def is_marked(spec: RunSpec) -> bool:
    """Whether the record on file is marked for replacement."""
    file = _mark(spec)
    return file.exists() and path(spec).exists() and file.read_text() == _content_sha256(spec)


def load(spec: RunSpec) -> Record | None:
    """The record of a run, or None where there is none that can be read."""
    file = path(spec)
    return _own(file)[0] if file.exists() else None


def read(file: Path) -> tuple[Record | None, str]:
    """The record in a file and "", or None and the error: not of the schema, or changed since it was sealed."""
    try:
        if not file.is_file():
            raise ValueError("not a file")
        return _read(file.stem, file.read_bytes()), ""
    except Exception as error:  # files of other programs can raise anything
        return None, f"no record ({schema.reason(error)})"


@functools.cache  # by content: tables and plans read all records many times
def _read(key: str, text: bytes) -> Record:
    content = schema.decode(text)
    if content.get("digest") != sealed.digest(content):
        raise ValueError("its digest does not match its content")
    schema.check(content, Record)
    record = Record(**content)
    if None in content["metrics"].values() and not content.get("diverged"):
        raise ValueError("scores are null, and it is not marked as diverged")
    if record.run.key != key:
        raise ValueError(f"holds the record of {record.run.key}")
    metric = record.run.data.metric
    if record.metric != {"name": metric.name, "unit": metric.unit}:
        raise ValueError(f"its metric is none of {record.run.dataset!r}")
    if record.curve[-1]["update"] > record.recipe["updates"]:
        raise ValueError("its curve has more updates than its recipe")
    return record


def has_diverged(spec: RunSpec) -> bool:
    """Whether a run has a record that says that it diverged."""
    record = load(spec)
    return record is not None and record.diverged


def current(spec: RunSpec) -> Record | None:
    """The record of a run; None where there is none or it is marked for replacement."""
    return None if is_marked(spec) else load(spec)


def scan(*budgets: str) -> Scan:
    """The records of `budgets`, or of all; broken files are named among the problems and skipped."""
    records, problems = [], []
    for file in sorted(paths.results().glob("*/*.json")):
        if file.parent.name in APART or (budgets and file.parent.name not in budgets):
            continue
        record, problem = _own(file)
        if record is None:
            problems.append(f"{file}: {problem}; delete it to run again")
        else:
            records.append(record)
    return Scan(records, problems)


SCORES: dict[str, Callable[[Record], Any]] = {  # the columns of `frame` after those of the spec
    "bits": lambda record: quantizers.build(record.spec["quantizer"]).bits,
    "hidden": lambda record: record.recipe["hidden"],
    "metric": lambda record: record.metric["name"],
    "as_published": lambda record: record.metrics["as_published"],
    "deployed": lambda record: record.metrics["deployed"],
    "sampled": lambda record: record.metrics["sampled"]["mean"],
    "sampled_std": lambda record: record.metrics["sampled"]["std"],
    "points": lambda record: record.metrics.get("points", 0),
    "trivial": lambda record: min(record.data.get("baselines", {}).values(), default=math.nan),
    "weights": lambda record: record.sizes["recurrent_weights"],
    "weight_bytes": lambda record: record.sizes["packed_bytes"],
    "updates": lambda record: record.curve[-1]["update"],
    "seconds": lambda record: record.seconds,
    "diverged": lambda record: record.diverged,
    "clipped": lambda record: record.recipe.get("clip_masters", False),
    "valid": lambda record: min(point["valid"] for point in record.curve),
    "key": lambda record: record.run.key,
}


def frame(records: list[Record]) -> "pd.DataFrame":
    """One row a record: its spec, its scores under the three evaluations, its sizes.

    Runs that `diverged` are rows too; rankings and averages leave them out.
    """
    import pandas as pd

    rows = [
        dataclasses.asdict(record.run) | {name: score(record) for name, score in SCORES.items()} for record in records
    ]
    return pd.DataFrame(rows, columns=[*fields(), *SCORES])


def _mark(spec: RunSpec) -> Path:
    return paths.runs() / "again" / spec.key


def _content_sha256(spec: RunSpec) -> str:
    return hashlib.sha256(path(spec).read_bytes()).hexdigest() if path(spec).exists() else ""


def _own(file: Path) -> tuple[Record | None, str]:
    """The record in a file of this root and "", or None and the error."""
    record, problem = read(file)
    if record is not None and path(record.run) != file:
        return None, f"holds the record of {record.run.key}"
    return record, problem
