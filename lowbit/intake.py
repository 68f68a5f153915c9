"""Records made elsewhere: taken in after checks, or made again and compared."""

import dataclasses
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from lowbit import paths, provenance, store, study
from lowbit.registry import InputError
from lowbit.spec import RunSpec
from lowbit.store import Record

SAME = ("processor", "gpu", "threads", "system", "torch", "kernels")  # what digests are compared on
WIDTH = 3  # standard deviations over seeds that a score may differ by on another machine


class Taken(NamedTuple):
    """What became of one file."""

    file: Path
    verdict: str  # taken, known or refused
    reason: str = ""


class Verdict(NamedTuple):
    """How a record compares with the same run made here."""

    key: str
    verdict: str  # same, near, undecided or different
    reason: str


def take(folder: Path | str) -> list[Taken]:
    """Files the records below a folder; one that fails a check, or differs from one on file, is refused.

    Raises `InputError` where there is no record at all.
    """
    files = sorted(file for file in Path(folder).rglob("*.json") if file.parent.name not in ("diagnosis", "benchmarks"))
    if not files:
        raise InputError(f"no records in {folder}")
    return [_take(file) for file in files]


def sample(name: str, count: int) -> list[Record]:
    """Records of a study, drawn at random."""
    records = [record for run in study.build(name) if (record := store.load(run)) is not None]
    if not records:
        raise InputError(f"no record of study {name!r} to verify")
    return random.sample(records, min(count, len(records)))


def verify(record: Record) -> Verdict:
    """Makes a run again in a root of its own and compares.

    On the same kind of machine, versions and threads the digests must be the same; else the deployed score must be
    within some standard deviations over seeds, where there are seeds enough to tell.
    """
    root, key = paths.runs() / "verify", record.run.key
    words = [f"{field}={value}" for field, value in dataclasses.asdict(record.run).items()]
    environment = {"LOWBIT_HOME": str(root), "LOWBIT_DATA": str(paths.raw())}
    environment["OMP_NUM_THREADS"] = str(record.machine["threads"])
    told = [sys.executable, "-m", "lowbit", "train", *words]
    done = subprocess.run(told, env={**os.environ, **environment}, capture_output=True, text=True)
    made = root / store.path(record.run).relative_to(paths.root())
    if done.returncode or not made.exists():
        return Verdict(key, "different", (done.stderr.strip() or "it left no record").splitlines()[-1])
    again = Record(**json.loads(made.read_text()))
    shutil.rmtree(root, ignore_errors=True)
    return compare(record, again)


def compare(record: Record, again: Record) -> Verdict:
    """Whether two records of one run agree."""
    key = record.run.key
    if record.digest == again.digest:
        return Verdict(key, "same", "the digests agree")
    other = [name for name in SAME if record.machine.get(name) != again.machine.get(name)]
    if record.data["sha256"] != again.data["sha256"]:
        return Verdict(key, "different", "the data differ")
    if not other and record.machine.get("code") == again.machine.get("code"):
        return Verdict(key, "different", "the digests differ, on the same machine and code")
    apart = abs(record.metrics["deployed"] - again.metrics["deployed"])
    because = f"{apart:.4f} {record.metric['unit']} apart, other {', '.join(other) or 'code'}"
    spread = _spread(record.run)
    if spread is None:
        return Verdict(key, "undecided", f"{because}; no other seed tells how far apart runs are")
    return Verdict(key, "near" if apart <= WIDTH * spread else "different", f"{because}; {spread:.4f} over seeds")


def _spread(run: RunSpec) -> float | None:
    """The standard deviation over seeds of the deployed score, of runs on the same data and budget, pooled."""
    kinds: dict[RunSpec, list[float]] = {}
    for record in store.scan(run.folder).records:
        if (record.run.dataset, record.run.budget) == (run.dataset, run.budget):
            kinds.setdefault(dataclasses.replace(record.run, seed=0), []).append(record.metrics["deployed"])
    variances = [(len(scores) - 1, statistics.variance(scores)) for scores in kinds.values() if len(scores) > 1]
    if not variances:
        return None
    return math.sqrt(sum(n * variance for n, variance in variances) / sum(n for n, _ in variances))


def _take(file: Path) -> Taken:
    try:
        record = Record(**json.loads(file.read_text()))
        run = record.run
    except (OSError, ValueError, TypeError) as error:
        return Taken(file, "refused", f"no record ({error})")
    if record.sealed().digest != record.digest:
        return Taken(file, "refused", "its digest does not match its content")
    if run.key != file.stem:
        return Taken(file, "refused", f"holds the record of {run.key}")
    if dataclasses.asdict(run.recipe) != {**dataclasses.asdict(run.recipe), **record.recipe}:
        return Taken(file, "refused", "its budget means another recipe here")
    known = store.load(run)
    if known is not None and known.digest == record.digest:
        return Taken(file, "known")
    if known is not None:
        return Taken(file, "refused", f"{store.path(run)} differs; delete it to take this one")
    if any(other.data["sha256"] != record.data["sha256"] for other in _on_same_data(record)):
        return Taken(file, "refused", "its data differ from those of the records on file")
    store.save(record)
    made = record.machine.get("code")
    return Taken(file, "taken", "" if made == provenance.code(run) else "made by other code")


def _on_same_data(record: Record) -> list[Record]:
    found = store.scan().records
    return [other for other in found if other.spec["dataset"] == record.spec["dataset"]]
