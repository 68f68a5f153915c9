"""Records: one JSON file a run, written whole or not at all, and read as one table."""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from lowbit import paths, quantizers
from lowbit.registry import InputError
from lowbit.spec import RunSpec, fields

# The columns of `frame` after those of the spec.
SCORES = (
    *("bits", "hidden", "metric", "as_published", "deployed", "sampled", "sampled_std"),
    *("trivial", "weight_bytes", "updates", "seconds", "key"),
)


COMMITTED = ("brief", "cpu", "paper")  # budgets whose records are part of the study


@dataclasses.dataclass(frozen=True)
class Record:
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
    machine: dict  # where it ran and on what versions
    digest: str = ""  # sha256 of all that the machine should not change

    @property
    def run(self) -> RunSpec:
        """The spec as an object."""
        return RunSpec(**self.spec)

    def sealed(self) -> "Record":
        """The same record with its digest, over everything but time and machine."""
        told = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in ("seconds", "machine", "digest")
        }
        text = json.dumps(told, sort_keys=True)
        return dataclasses.replace(self, digest=hashlib.sha256(text.encode()).hexdigest())


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
    """Files a record."""
    write(path(record.run), json.dumps(dataclasses.asdict(record), indent=1) + "\n")


def load(spec: RunSpec) -> Record | None:
    """The record of a run, or None where there is none that can be read."""
    file = path(spec)
    if not file.exists():
        return None
    record, _ = _read(file)
    return record


def scan(*budgets: str) -> Scan:
    """The records of `budgets`, or of all; broken files are named among the problems and skipped."""
    records, problems = [], []
    for file in sorted(paths.results().glob("*/*.json")):
        if budgets and file.parent.name not in budgets:
            continue
        record, problem = _read(file)
        if record is None:
            problems.append(problem)
        else:
            records.append(record)
    return Scan(records, problems)


def frame(records: list[Record]) -> pd.DataFrame:
    """One row a record: its spec, its scores under the three evaluations, its sizes."""
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
            "trivial": min(record.data.get("baselines", {}).values(), default=math.nan),
            "weight_bytes": record.sizes["packed_bytes"],
            "updates": record.curve[-1]["update"],
            "seconds": record.seconds,
            "key": record.run.key,
        }
        for record in records
    ]
    return pd.DataFrame(rows, columns=None if rows else [*fields(), *SCORES])


def machine() -> dict:
    """Processor, versions and revision: what a record says of where it came from."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lowbit": importlib.metadata.version("lowbit"),
        "revision": _revision(),
    }


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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _revision() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", paths.SOURCE, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", "lowbit")
        return git("rev-parse", "--short=12", "HEAD") + (" and changes" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
