"""The types of a record, which msgspec checks when a file is read. Training, which only writes, needs no msgspec."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, TypedDict

from lowbit.datasets import Recipe
from lowbit.studies.spec import fields

try:
    import msgspec
    from msgspec import Meta
except ModuleNotFoundError:  # a machine that has torch and little else: only digests check its own records
    msgspec = None

    def Meta(**_) -> None:  # noqa: N802
        """No constraint."""


Count = Annotated[int, Meta(ge=0, le=2**53)]
Size = Annotated[int, Meta(ge=1, le=2**53)]
Amount = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r"^[\w.]+$")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Score = Amount | None  # null where it is not finite; lower is better, none is below zero
BOUNDED = {int: Count, float: Amount}

# The fields of RunSpec; the oldest records lack one.
_SPEC = {name: type(default) for name, default in fields().items()}
Spec = TypedDict("Spec", _SPEC | {"activations": NotRequired[str]})
Settings = TypedDict(  # the fields of Recipe
    "Settings",
    {
        field.name: Required[BOUNDED.get(field.type, field.type)]
        if field.default is dataclasses.MISSING
        else BOUNDED.get(field.type, field.type)
        for field in dataclasses.fields(Recipe)
    },
    total=False,
)


class Metric(TypedDict):
    """The name and unit of a score."""

    name: str
    unit: str


class Sampled(TypedDict):
    """Scores over weight samples."""

    mean: Score
    std: Score
    values: Annotated[list[Score], Meta(min_length=1)]


class Metrics(TypedDict):
    """Test scores under the three evaluations."""

    as_published: Score
    deployed: Score
    sampled: Sampled
    points: NotRequired[Count]  # predictions that were scored, the same ones under each evaluation
    further: NotRequired[dict[str, Score]]


class Point(TypedDict):
    """One validation."""

    update: Count
    train_nats: Score  # mean since the last validation; null where every update since then was skipped
    valid: Score
    rate: Amount
    skipped: NotRequired[Count]  # updates so far whose gradient was not finite


class Matrix(TypedDict):
    """The trained weights of one matrix."""

    scale: float | None
    sha256: Digest
    histogram: Annotated[list[Count], Meta(min_length=64, max_length=64)]
    codes: NotRequired[list[Count]]
    saturated: NotRequired[Annotated[float, Meta(ge=0, le=1)]]
    levels: NotRequired[list[float | None]]


class Data(TypedDict):
    """Facts about the arrays; a dataset adds its own."""

    sha256: Digest
    baselines: NotRequired[dict[str, Amount]]
    entropy_bits: NotRequired[Amount]


class Sizes(TypedDict):
    """Numbers of weights, and bytes of the packed recurrent matrices."""

    parameters: Size
    recurrent_weights: Size
    packed_bytes: Size


class Machine(TypedDict, total=False):
    """The machine, code and versions of a record, and what the run used."""

    time: str
    processor: str
    gpu: str | None
    cores: Annotated[int, Meta(ge=1, le=2**16)] | None
    threads: Annotated[int, Meta(ge=1, le=2**16)]
    system: str
    python: str
    torch: str
    lowbit: str
    lock: str | None
    revision: str
    dirty: bool | None
    code: str
    kernels: list[str]
    spent: dict[str, Amount | None]


class Canary(TypedDict):
    """See `lowbit.canary`."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    scores: Annotated[dict[str, Score], Meta(min_length=1)]
    platform: dict[str, str]


class Jacobians(TypedDict):
    """See `lowbit.training.measurements.jacobians`."""

    step: list[Count]
    radius: list[list[float]]
    spectral_norm: list[list[float]]
    hidden: Annotated[list[float], Meta(min_length=1)]


class Gate(TypedDict):
    """See `lowbit.training.measurements.gates`."""

    histogram: Annotated[list[Count], Meta(min_length=64, max_length=64)]
    mean: float
    std: Amount
    low: Amount
    high: Amount


class Lengths(TypedDict, total=False):
    """See `lowbit.training.measurements.by_length`."""

    length: list[Count]
    score: list[Amount]


class Batches(TypedDict):
    """See `lowbit.training.measurements.by_batch`."""

    size: list[Count]
    as_published: list[Amount]
    population: list[Amount]


class Draws(TypedDict, total=False):
    """See `lowbit.training.measurements.samples`."""

    nearest: Amount
    drawn: list[Amount]


DEEPEST = 16  # levels of lists and objects; a record has five
OPEN = ("data", "machine")  # parts that may hold more than is listed here


def parse(file: Path) -> dict:
    """The JSON object of a file: UTF-8, no NaN, no infinity, no key twice. Anything else can raise anything."""
    if not file.is_file():
        raise ValueError("not a file")
    return decode(file.read_bytes())


def decode(text: bytes) -> dict:
    """The JSON object of a file's bytes, as `parse` has it."""
    content = json.loads(text.decode(), object_pairs_hook=_unique)
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    _check_depth(content, DEEPEST)
    return content


def _check_depth(value: Any, levels: int) -> None:
    if levels < 0:
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_depth(part, levels - 1)


def check(content: Any, kind: type) -> None:
    """Raises `ValueError` where JSON does not fit a dataclass, with the path of the first difference."""
    if msgspec is None:
        return
    try:
        checked = plain(msgspec.to_builtins(msgspec.convert(content, kind)))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for name, value in content.items():
        if name not in OPEN and checked.get(name) != value:
            raise ValueError(f"{name!r} holds a value that no record has there")


def reason(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def plain(value: Any) -> Any:
    """The value for JSON: null where a number is not finite.

    >>> plain({"mean": math.inf, "values": [1.0, math.nan]})
    {'mean': None, 'values': [1.0, None]}
    """
    return _mapped(lambda number: None if isinstance(number, float) and not math.isfinite(number) else number, value)


def numbers(value: Any) -> Any:
    """The value for arithmetic: NaN where a number is missing or not finite."""
    return _mapped(lambda number: math.nan if plain(number) is None else number, value)


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The value with a change of everything but dictionaries, lists and tuples."""
    if isinstance(value, dict):
        return {name: _mapped(change, part) for name, part in value.items()}
    return [_mapped(change, part) for part in value] if isinstance(value, list | tuple) else change(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {max(names, key=names.count)!r} occurs twice")
    return content
