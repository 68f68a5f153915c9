"""Open cell libraries as data: the file of each, its process, and which of its cells synthesis does not use."""

import dataclasses
import functools

from lowbit.datasets import download
from lowbit.datasets.download import File
from lowbit.hardware import technology
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
    nand2: str  # the cell whose area is one gate equivalent
    slew_ns: float  # assumed at every pin, from 20 to 80 % of the swing
    avoid: str  # patterns of cells: clock gates, latches, and those for special uses
    licence: str

    def text(self) -> str:
        """The Liberty file; raises `InputError` where it cannot be downloaded or read."""
        path = download.fetch(File(self.path, self.sha256, self.bytes, (self.url,)))
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None


@functools.cache
def catalogue() -> dict[str, Library]:
    """The libraries of `data/libraries.csv` by name."""
    return technology.catalogue("libraries.csv", Library)


def build(name: str) -> Library:
    """The library of a name; raises `InputError`."""
    if name not in catalogue():
        raise InputError(f"no cell library {name!r}; known: {', '.join(catalogue())}")
    return catalogue()[name]
