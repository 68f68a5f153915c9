"""What was found of a network on a machine on real text: kept, so that nobody needs the text to read of it."""

import dataclasses
import json
from pathlib import Path

from lowbit import paths
from lowbit.onchip.pair import Pair
from lowbit.registry import InputError


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
    text: dict  # dataset, split, sha256 of the dataset's arrays
    score: dict  # unit, symbols; by bits of activations, and as `real` of the same model in float64
    errors: dict  # by bits of activations, then by stage: rms and largest
    activity: dict  # symbols, counts of what happened; additions skipped, words that met a zero
    checks: list  # of Check as dicts
    hardware: list  # lanes, steps and cycles of the engine in a simulator of hardware
    faults: dict  # weight codes changed on purpose, and how many were noticed
    made: dict  # seconds, and on what

    @property
    def bits(self) -> list[int]:
        """Widths of activations that were scored."""
        return sorted(int(each) for each in self.score if each.isdigit())


def path(pair: Pair) -> Path:
    """Where the record is, or would be."""
    return paths.results() / pair.folder / f"{pair.key}.json"


def recall(pair: Pair) -> Findings:
    """The record; raises `InputError` where there is none or it is of another packed model."""
    file = path(pair)
    if not file.exists():
        raise InputError(f"nothing is on file of {pair.network} on {pair.machine}; `benchmarks/onchip.py` measures it")
    found = Findings(**json.loads(file.read_text()))
    if found.model_sha256 != pair.digest:
        raise InputError(f"{file.name} is of another packed model; `benchmarks/onchip.py` measures it again")
    return found


def on_file() -> list[Pair]:
    """Every pair that has a record."""
    told = [json.loads(file.read_text()) for file in sorted((paths.results() / Pair().folder).glob("*.json"))]
    return [Pair(each["network"], each["machine"]) for each in told]


def text(found: Findings) -> str:
    """A record as it is filed."""
    return json.dumps(dataclasses.asdict(found), indent=1) + "\n"
