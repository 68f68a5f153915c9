"""Open cell libraries as data: where each is, what it is known by, and which of its cells synthesis leaves alone."""

import csv
import dataclasses
import functools

from lowbit import paths
from lowbit.datasets import download
from lowbit.datasets.download import File
from lowbit.registry import InputError


@dataclasses.dataclass(frozen=True)
class Library:
    """A library of cells at one corner, in Liberty."""

    name: str
    path: str
    sha256: str
    bytes: int
    url: str
    node_nm: int
    voltage_v: float
    nand2: str  # whose area is one gate equivalent
    slew_ns: float  # assumed at every pin, from 20 to 80 % of the swing
    avoid: str  # patterns of cells: clock gates, latches, and those for special uses
    licence: str

    def text(self) -> str:
        """All of it; raises `InputError` where it cannot be had."""
        path = download.fetch(File(self.path, self.sha256, self.bytes, (self.url,)))
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None


@functools.cache
def catalogue() -> dict[str, Library]:
    """The libraries of `data/libraries.csv` by their names."""
    rows = csv.DictReader((paths.SOURCE / "data" / "libraries.csv").read_text().splitlines())
    kinds = {field.name: field.type for field in dataclasses.fields(Library)}
    return {row["name"]: Library(**{key: kinds[key](text) for key, text in row.items()}) for row in rows}


def build(name: str) -> Library:
    """The library of a name; raises `InputError`."""
    if name not in catalogue():
        raise InputError(f"no cell library {name!r}; known: {', '.join(catalogue())}")
    return catalogue()[name]
