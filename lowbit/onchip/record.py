"""What was found of a network on a machine on real text: kept, so that nobody needs the text to read of it."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

from lowbit import paths
from lowbit.onchip.pair import Pair
from lowbit.registry import InputError
from lowbit.studies import schema


@dataclasses.dataclass(frozen=True)
class Check:
    """Two tellings of one engine, compared value by value; a record exists only where all were equal."""

    what: str
    against: str
    steps: int
    values: int  # outputs that were compared
    cycles: int  # that the engine took, counted by both


@dataclasses.dataclass(frozen=True)
class Findings:
    """What `measure` gives."""

    network: str
    machine: str
    model_sha256: str
    text: dict[str, str]  # dataset, split, sha256 of the dataset's arrays
    score: dict[str, str | float]  # unit, symbols; by bits of activations, and as `real` of the same model in float64
    errors: dict[str, dict[str, dict[str, float]]]  # by bits of activations, then by stage: rms and largest
    activity: dict[str, float]  # symbols, counts of what happened; additions skipped, words that met a zero
    checks: list[dict[str, str | int]]  # of Check
    hardware: list[dict[str, int]]  # lanes, steps and cycles of the engine in a simulator of hardware
    faults: dict[str, int]  # weight codes changed on purpose, and how many were noticed
    made: dict  # seconds, and on what

    @property
    def bits(self) -> list[int]:
        """Widths of activations that were scored."""
        return sorted(int(each) for each in self.score if each.isdigit())


class Scan(NamedTuple):
    """Records, and what was wrong with files that are none."""

    found: list[Findings]
    problems: list[str]


def path(pair: Pair) -> Path:
    """Where the record is, or would be."""
    return paths.results() / pair.folder / f"{pair.key}.json"


def recall(pair: Pair) -> Findings:
    """The record; raises `InputError` where there is none or it is of another packed model."""
    file = path(pair)
    if not file.exists():
        raise InputError(f"nothing is on file of {pair.network} on {pair.machine}; `benchmarks/onchip.py` measures it")
    found, problem = _read(file)
    if found is None:
        raise InputError(problem)
    if found.model_sha256 != pair.digest:
        raise InputError(f"{file.name} is of another packed model; `benchmarks/onchip.py` measures it again")
    return found


def on_file() -> list[Pair]:
    """Every pair that has a record that can be read."""
    return [Pair(found.network, found.machine) for found in scan().found]


def scan() -> Scan:
    """All records; broken files are named among the problems."""
    read = [_read(file) for file in sorted((paths.results() / Pair().folder).glob("*.json"))]
    return Scan([found for found, _ in read if found is not None], [problem for found, problem in read if not found])


def _read(file: Path) -> tuple[Findings | None, str]:
    try:
        content = schema.parse(file)
        schema.check(content, Findings)
        found = Findings(**content)
        pair = Pair(found.network, found.machine)
        if not pair.built or path(pair) != file:  # `built` raises where no such machine is known
            return None, f"{file}: holds what was measured of {found.network} on {found.machine}"
        return found, ""
    except Exception as error:  # what somebody else wrote can raise anything
        return None, f"{file}: no record ({schema.reason(error)}); `benchmarks/onchip.py` measures it again"


def text(found: Findings) -> str:
    """A record as it is filed."""
    return json.dumps(dataclasses.asdict(found), indent=1) + "\n"
