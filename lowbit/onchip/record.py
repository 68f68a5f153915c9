"""Records of networks on machines on real text, in `results/hardware`, so that pages need no dataset."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

from lowbit import paths
from lowbit.onchip.pair import Pair
from lowbit.registry import InputError
from lowbit.studies import schema


@dataclasses.dataclass(frozen=True)
class Findings:
    """The result of `measure`."""

    network: str
    machine: str
    model_sha256: str
    text: dict[str, str]  # dataset, split, sha256 of the dataset's arrays
    score: dict[str, str | float]  # unit, symbols; by bits of activations, and as `real` of the same model in float64
    errors: dict[str, dict[str, dict[str, float]]]  # by bits of activations, then by stage: rms and largest
    activity: dict[str, float]  # symbols, counts of events; additions skipped, words with a zero activation
    checks: list[dict[str, str | int]]  # pairs of models with equal values: names, steps, values and cycles
    hardware: list[dict[str, int]]  # lanes, steps and cycles of the engine in a simulator of hardware
    faults: dict[str, int]  # weight codes changed on purpose, and those that changed outputs
    made: dict  # seconds, and the computer

    @property
    def bits(self) -> list[int]:
        """Widths of activations with a score."""
        return sorted(int(name) for name in self.score if name.isdigit())


class Scan(NamedTuple):
    """Records, and messages about other files."""

    findings: list[Findings]
    problems: list[str]


def path(pair: Pair) -> Path:
    """The file of a record."""
    return paths.results() / pair.folder / f"{pair.key}.json"


def recall(pair: Pair) -> Findings:
    """The record of a pair; raises `InputError` where there is none or it is of another packed model."""
    file = path(pair)
    if not file.exists():
        raise InputError(f"there is no record of {pair.network} on {pair.machine}; `benchmarks/onchip.py` measures it")
    findings = _read(file)
    if isinstance(findings, str):
        raise InputError(findings)
    if findings.model_sha256 != pair.digest:
        raise InputError(f"{file.name} is of another packed model; `benchmarks/onchip.py` measures it again")
    return findings


def pairs() -> list[Pair]:
    """The pairs of all records."""
    return [Pair(findings.network, findings.machine) for findings in scan().findings]


def scan() -> Scan:
    """All records, and the problems of other files in their folder."""
    results = [_read(file) for file in sorted((paths.results() / Pair().folder).glob("*.json"))]
    problems = [result for result in results if isinstance(result, str)]
    return Scan([result for result in results if not isinstance(result, str)], problems)


def _read(file: Path) -> Findings | str:
    """A record, or the problem of the file."""
    try:
        content = schema.parse(file)
        schema.check(content, Findings)
        findings = Findings(**content)
        pair = Pair(findings.network, findings.machine)
        if not pair.accelerator or path(pair) != file:  # `accelerator` raises InputError for an unknown machine
            return f"{file}: holds a record of {findings.network} on {findings.machine}"
        return findings
    except Exception as error:  # files of others can raise anything
        return f"{file}: no record ({schema.reason(error)}); `benchmarks/onchip.py` measures it again"


def text(findings: Findings) -> str:
    """A record as JSON."""
    return json.dumps(dataclasses.asdict(findings), indent=1) + "\n"
