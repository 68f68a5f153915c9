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

from lowbit import paths
from lowbit.registry import InputError
from lowbit.studies import provenance, schema, spec, store, study
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import canary, checkpoint, evaluate, freshness

# What can give the same run another digest, besides its code: the canary says that.
CAUSES = ("processor", "gpu", "threads", "system", "python", "torch", "kernels", "lock")
WIDTH = 3  # standard deviations that two scores of one run may differ by where their digests cannot agree
LEFT_OUT = {*store.APART, "diagnosis"}  # folders of files that are no records of runs


class Taken(NamedTuple):
    """What became of one file."""

    file: Path
    verdict: str  # taken, known, refused, or left out: a folder of other records than those of runs
    reason: str = ""


class Verdict(NamedTuple):
    """How a record compares with the same run made here."""

    key: str
    verdict: str  # same, near, different; failed, where it could not be made; undecided, without the test set
    reason: str


def take(folder: Path | str) -> list[Taken]:
    """Files the records below a folder; one that fails a check, or differs from one on file, is refused.

    Folders of benchmarks, hardware, packed models and diagnoses are left out. Checkpoints of unfinished runs are taken
    where they are further than those here. Raises `InputError` where there is neither.
    """
    if schema.msgspec is None:
        raise InputError("records are checked with msgspec; install it with: pip install msgspec")
    files = sorted(Path(folder).rglob("*.json"))
    apart = sorted({file.parent for file in files if LEFT_OUT.intersection(file.relative_to(folder).parts[:-1])})
    files = [file for file in files if file.parent not in apart]
    checkpoints = sorted(Path(folder).rglob("checkpoints/*.pt"))
    if not files and not checkpoints:
        raise InputError(f"no records in {folder}")
    data = {record.spec["dataset"]: record.data["sha256"] for record in store.scan().records}
    taken = [_take(file, data) for file in files] + [_take_checkpoint(file) for file in checkpoints]
    return taken + [Taken(other, "left out", "no records of runs") for other in apart]


def sample(name: str, count: int) -> list[Record]:
    """Records of a study, drawn at random."""
    records = [record for run in study.build(name) if (record := store.load(run)) is not None]
    if not records:
        raise InputError(f"no record of study {name!r} to verify")
    return random.sample(records, min(count, len(records)))


def verify(record: Record) -> Verdict:
    """Makes a run again in a root of its own and compares."""
    root, key = paths.runs() / "verify", record.run.key
    errors = _train(record, root)
    again, _ = store.read(root / store.path(record.run).relative_to(paths.root()))
    shutil.rmtree(root, ignore_errors=True)
    return compare(record, again) if again is not None else Verdict(key, "failed", errors or "it left no record")


def verify_start(record: Record, share: float) -> Verdict:
    """Makes the first updates of a run again, to the first validation after a share of them, and compares."""
    root, key = paths.runs() / "verify", record.run.key
    errors = _train(record, root, "--until", str(math.ceil(share * record.recipe["updates"])))
    file = root / checkpoint.checkpoint_path(record.run).relative_to(paths.root())
    values = checkpoint.load(file) if file.exists() else None
    shutil.rmtree(root, ignore_errors=True)
    if values is None:
        return Verdict(key, "failed", errors or "it left no checkpoint")
    made_with = {"threads": record.machine.get("threads"), "kernels": values["ran"]}
    machine, data = {**provenance.machine(), **made_with}, {**record.data, "sha256": record.run.data.digest}
    canary_here = canary.canary(record.run)
    again = dataclasses.replace(record, curve=values["curve"], machine=machine, canary=canary_here, data=data)
    return compare_start(record, again)


def compare_start(record: Record, again: Record) -> Verdict:
    """Whether the curve of a record begins as that of another, which may be shorter.

    On the same processor, versions, threads and code all points must be the same. Elsewhere the validation score of
    the last of them must be within the tolerance of `compare`.
    """
    key, start = record.run.key, record.curve[: len(again.curve)]
    prefix = f"to update {start[-1]['update']:,}"
    if record.data["sha256"] != again.data["sha256"]:
        return Verdict(key, "different", "the data differ")
    if json.dumps(start) == json.dumps(again.curve):  # where two NaN are the same
        return Verdict(key, "same", f"{prefix}, {len(start)} points of the curve agree")
    if _causes(record) == _causes(again):
        return Verdict(key, "different", f"{prefix} the curves differ, on the same machine, versions and code")
    verdict, reason = _judge(record, [points[-1]["valid"] for points in (start, again.curve)], "valid")
    return Verdict(key, verdict, f"{prefix} {reason}; differs in {differences(record, again)}")


def compare(record: Record, again: Record) -> Verdict:
    r"""Whether two records of one run agree.

    On the same processor, versions, threads and code the digests must be the same. Where one of these differs they
    cannot be: rounding differs, and training multiplies it as a new seed would. Then the deployed scores must be
    within $3\sqrt{2}\,\sqrt{\sigma^2/n + s^2}$: $n$ points of the test set, each with the standard deviation $\sigma$
    that the metric has at that score, and $s$ over seeds, as known of runs most like this one. The factor $\sqrt{2}$
    takes the two networks to err independently, which is more than two networks of one run do.
    """
    key = record.run.key
    if record.digest == again.digest:
        return Verdict(key, "same", "the digests agree")
    if record.data["sha256"] != again.data["sha256"]:
        return Verdict(key, "different", "the data differ")
    reason = f"differs in {differences(record, again)}"
    if _causes(record) == _causes(again):
        return Verdict(key, "different", "the digests differ, on the same machine, versions and code")
    if record.diverged or again.diverged:
        verdict = "near" if record.diverged == again.diverged else "different"
        return Verdict(key, verdict, f"{'both' if verdict == 'near' else 'one of the two'} diverged; {reason}")
    verdict, because = _judge(record, [record.metrics["deployed"], again.metrics["deployed"]], "test")
    return Verdict(key, verdict, f"{because}; {reason}")


def differences(record: Record, again: Record) -> str:
    """All in which two records were not made alike, with both values."""
    then, now = ({**_causes(side), "revision": side.machine.get("revision")} for side in (record, again))
    return (
        ", ".join(f"{name} ({then[name]}, here {now[name]})" for name in then if then[name] != now[name]) or "nothing"
    )


def _causes(record: Record) -> dict:
    return {name: record.machine.get(name) for name in CAUSES} | {"canary": (record.canary or {}).get("sha256")}


def _train(record: Record, root: Path, *options: str) -> str:
    """Trains the run of a record in an empty root; the last line of errors."""
    shutil.rmtree(root, ignore_errors=True)
    environment = {"LOWBIT_HOME": str(root), "LOWBIT_DATA": str(paths.raw())}
    environment["OMP_NUM_THREADS"] = str(record.machine.get("threads", 1))
    command = [sys.executable, "-m", "lowbit", "train", *spec.words(record.run), *options]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2]


def _judge(record: Record, scores: list[float], split: str) -> tuple[str, str]:
    """Whether two scores on a split are near, different or, without the split, undecided; and why."""
    apart = f"{abs(scores[0] - scores[1]):.4f} {record.metric['unit']} apart"
    try:
        tolerance, because = _tolerance(record.run, statistics.mean(scores), split)
    except InputError as error:
        return "undecided", f"{apart}, but the size of the {split} set is not known: {error}"
    verdict = "near" if abs(scores[0] - scores[1]) <= tolerance else "different"
    return verdict, f"{apart}, tolerance {tolerance:.4f} ({because})"


def _tolerance(run: RunSpec, score: float, split: str) -> tuple[float, str]:
    """What is allowed at a score on a split, and in words what it is made of; raises `InputError` without the split."""
    metric = run.data.metric
    points = evaluate.points(run.data, run.recipe, split)
    drawn = metric.deviation(score) / math.sqrt(points)
    share, runs = _spread(run)
    reason = f"{drawn:.4f} by {points:,} {split} points, "
    reason += f"{share * score:.4f} by {runs} runs of other seeds" if runs else "no seeds on file"
    return WIDTH * math.sqrt(2) * math.hypot(drawn, share * score), reason


def _spread(run: RunSpec) -> tuple[float, int]:
    """The standard deviation over seeds as a share of the score, pooled, and of how many runs.

    Of runs on the same data and budget, else on the same data, else with the same metric; 0 where there are no seeds.
    """
    name = run.data.metric.name
    records = [record for record in store.scan().records if record.metric["name"] == name and not record.diverged]
    for same in (lambda other: (other.dataset, other.budget), lambda other: other.dataset, lambda _: None):
        kinds: dict[RunSpec, list[float]] = {}
        for record in records:
            if same(record.run) == same(run):
                kinds.setdefault(dataclasses.replace(record.run, seed=0), []).append(record.metrics["deployed"])
        several = [scores for scores in kinds.values() if len(scores) > 1 and statistics.mean(scores)]
        if several:
            squares = [
                (len(scores) - 1) * statistics.variance(scores) / statistics.mean(scores) ** 2 for scores in several
            ]
            runs = sum(map(len, several))
            return math.sqrt(sum(squares) / (runs - len(several))), runs
    return 0.0, 0


def _take(file: Path, data: dict[str, str]) -> Taken:
    """Files one record; `data` are the checksums of the datasets of records on file, to which its own is added."""
    record, problem = store.read(file)
    if record is None:
        return Taken(file, "refused", problem)
    run, dataset = record.run, record.spec["dataset"]
    if dataclasses.asdict(run.recipe) != {**dataclasses.asdict(run.recipe), **record.recipe}:
        return Taken(file, "refused", "its budget means another recipe here")
    known = store.load(run)
    if known is not None and known.digest == record.digest:
        return Taken(file, "known")
    if known is not None:
        return Taken(file, "refused", f"{store.path(run)} differs; delete it to take this one")
    if data.setdefault(dataset, record.data["sha256"]) != record.data["sha256"]:
        return Taken(file, "refused", "its data differ from those of the records on file")
    store.save(record)
    state, reason = freshness.judge(record)
    code = {"fresh": "", "stale": f"made by other code: {reason}", "unknown": f"made by unknown code: {reason}"}
    return Taken(file, "taken", code[state])


def _take_checkpoint(file: Path) -> Taken:
    """Copies the checkpoint of an unfinished run, unless one here is as far."""
    target = checkpoint.checkpoint_folder() / file.name
    try:
        update = int(checkpoint.load(file)["update"])
        here = int(checkpoint.load(target)["update"]) if target.exists() else 0
    except Exception as error:  # what somebody else wrote can raise anything
        return Taken(file, "refused", f"no checkpoint ({schema.reason(error)})")
    if here >= update:
        return Taken(file, "known")
    store.write(target, file.read_bytes())
    return Taken(file, "taken", f"a checkpoint at update {update:,}")
