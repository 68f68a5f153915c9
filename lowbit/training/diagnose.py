"""Diagnoses: the measurements in one trained network as a JSON file, written whole or not at all."""

import dataclasses
import json
import time
from pathlib import Path
from typing import NamedTuple

import torch

from lowbit import paths
from lowbit.layers.networks import Network
from lowbit.registry import InputError
from lowbit.studies import provenance, schema, sealed, store, study
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import measurements, trained
from lowbit.training.train import Watch


@dataclasses.dataclass(frozen=True)
class Diagnosis(sealed.Sealed):
    """The measurements in the network of one run, and the record that it belongs to. These fields are its schema."""

    spec: schema.Spec
    masters: dict[str, str]  # sha256 of the record's master matrices: the run that this is about
    same: bool  # whether the network measured is the record's own, or one trained again that differs
    steps: schema.Count  # of a training segment
    jacobians: schema.Jacobians
    gates: dict[str, schema.Gate]
    lengths: schema.Lengths
    batches: schema.Batches
    samples: schema.Draws
    seconds: schema.Amount  # of measuring, wall clock
    machine: schema.Machine
    rounded: dict[schema.Name, list[schema.Amount]] = dataclasses.field(default_factory=dict)  # older diagnoses lack it
    digest: str = ""  # sha256 of all but seconds and machine


class Scan(NamedTuple):
    """The diagnoses of some budgets, and the problems of files that hold none."""

    diagnoses: list[Diagnosis]
    problems: list[str]


def path(spec: RunSpec) -> Path:
    """Where the diagnosis of a run is, or would be: below its record."""
    return paths.results() / spec.folder / "diagnosis" / f"{spec.key}.json"


def recall(spec: RunSpec, watch: Watch | None = None) -> Diagnosis:
    """The diagnosis of a run that is on file; else measures its network, trained again where it is not at hand.

    Raises `InputError` where the run diverged.
    """
    diagnosis = load(spec)
    if diagnosis is None:
        network = trained.network(spec, watch)
        if store.has_diverged(spec):
            raise InputError(f"{spec.key} diverged: there is nothing to measure in its network")
        diagnosis = examine(spec, network)
        store.write(path(spec), json.dumps(dataclasses.asdict(diagnosis), allow_nan=False) + "\n")
    return diagnosis


def load(spec: RunSpec) -> Diagnosis | None:
    """The diagnosis on file of the run's record, or None where there is none that can be read."""
    if not path(spec).exists():
        return None
    diagnosis, _ = _read(path(spec))
    return diagnosis


def scan(*budgets: str) -> Scan:
    """The diagnoses of `budgets`, or of all; broken and outdated files are named among the problems."""
    diagnoses, problems = [], []
    for file in sorted(paths.results().glob("*/diagnosis/*.json")):
        if budgets and file.parent.parent.name not in budgets:
            continue
        diagnosis, problem = _read(file)
        if diagnosis is None:
            problems.append(problem)
        else:
            diagnoses.append(diagnosis)
    return Scan(diagnoses, problems)


def gather(spec: RunSpec) -> list[Diagnosis]:
    """All diagnoses of a spec's dataset and budget on file.

    Runs of the study `diagnosed` whose network is at hand are measured first; nothing is trained.
    """
    for run in study.build("diagnosed"):
        alike = (run.dataset, run.folder) == (spec.dataset, spec.folder) and not store.has_diverged(run)
        if alike and load(run) is None and trained.at_hand(run) is not None:
            recall(run)
    return [diagnosis for diagnosis in scan(spec.folder).diagnoses if diagnosis.spec["dataset"] == spec.dataset]


def records(spec: RunSpec) -> list[Record]:
    """The records of a spec's dataset and budget."""
    return [record for record in store.scan(spec.folder).records if record.spec["dataset"] == spec.dataset]


def examine(spec: RunSpec, network: Network) -> Diagnosis:
    """Measures a trained network of a run that has a record."""
    start, record = time.perf_counter(), store.load(spec)
    same = trained.belongs(network, record)
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(spec.seed)
    subject = network, spec.data, spec.recipe
    diagnosis = Diagnosis(
        spec=dataclasses.asdict(spec),
        masters=trained.masters(record.weights),
        same=same,
        steps=spec.recipe.steps,
        jacobians=measurements.jacobians(*subject),
        gates=measurements.gates(*subject),
        lengths=measurements.by_length(*subject),
        batches=measurements.by_batch(*subject),
        samples=measurements.samples(*subject),
        seconds=0.0,
        machine=provenance.machine(),
        rounded=measurements.rounded(*subject),
    )
    return dataclasses.replace(diagnosis, seconds=round(time.perf_counter() - start, 2)).sealed()


def _read(file: Path) -> tuple[Diagnosis | None, str]:
    try:
        content = schema.parse(file)
        if content.get("digest") != sealed.digest(content):
            return None, f"{file}: its digest does not match its content; delete it to measure again"
        schema.check(content, Diagnosis)
        diagnosis = Diagnosis(**content)
        if path(diagnosis.run) != file:
            return None, f"{file}: holds the diagnosis of {diagnosis.run.key}"
    except Exception as error:  # what somebody else wrote can raise anything
        return None, f"{file}: no diagnosis ({schema.reason(error)}); delete it to measure again"
    record = store.load(diagnosis.run)
    if record is not None and trained.masters(record.weights) != diagnosis.masters:
        return None, f"{file}: the record of this run has changed since; delete it to measure again"
    return diagnosis, ""
