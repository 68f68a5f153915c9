"""The source files of the running Python: text that needs no download."""

import dataclasses
import hashlib
import os
import platform
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets.base import SPLITS, Text
from lowbit.datasets.recipe import CPU_TEXT, SMOKE, Recipe
from lowbit.registry import InputError

EXCLUDED = {
    *("test", "tests", "site-packages", "dist-packages", "__pycache__"),
    *("idlelib", "lib2to3"),  # gone or going with the Python version
    *("encodings", "pydoc_data"),  # tables, not programs
}
OTHER = "\x7f"  # the one symbol for tabs and for all that is not ASCII
PIECE = 2000  # characters, and on to the end of the line
TOUR = dataclasses.replace(
    CPU_TEXT, hidden=96, updates=300, steps=48, evaluate_every=100, calibration=8, valid_limit=15_000, test_limit=15_000
)


@datasets.register
@dataclasses.dataclass(frozen=True)
class Stdlib(Text):
    """Three million characters of Python: the standard library's own files, no download.

    97 symbols in every version of Python: newline, the 95 printable ASCII characters, and one for all others.
    A file belongs to one split as a whole, by a hash of its name. Within a split the files are cut into
    pieces of about 2000 characters at line ends, which stand in the order of their hashes, so that the first
    symbols of a split come from many files; the price is one jump of topic a piece. Documented in
    python2024library; neither paper uses it. It is of the kind of the papers' Linux kernel: program text with
    long-range structure. The text is that of the running version, so scores compare only where `facts` agree.
    """

    title: ClassVar[str] = "Python standard library"
    reference: ClassVar[str] = "python2024library"
    licence: ClassVar[str] = "PSF-2.0, read where it is installed"
    counts: ClassVar[dict[str, int]] = {"train": 2_400_000, "valid": 300_000, "test": 300_000, "outputs": 97}
    recipes: ClassVar[dict[str, Recipe]] = {"smoke": SMOKE, "tour": TOUR, "cpu": CPU_TEXT}

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The pieces of each split in the order of their hashes, up to its length."""
        root = Path(sysconfig.get_paths()["stdlib"])
        pieces: dict[str, list[tuple[int, str]]] = {split: [] for split in SPLITS}
        for path in sources(root):
            name = path.relative_to(root).as_posix()
            for number, piece in enumerate(cut(path.read_text("utf-8", errors="replace"))):
                pieces[split_of(name)].append((_hash(f"{name} {number}"), piece))
        return {split: (self._encoded(split, part),) for split, part in pieces.items()}

    @property
    def alphabet(self) -> str:
        """Newline, printable ASCII, and one for all others."""
        return "\n" + "".join(map(chr, range(32, 127))) + OTHER

    def facts(self) -> dict[str, str | float]:
        """The version of Python whose files these are."""
        return {"python": platform.python_version()}

    def _encoded(self, split: str, pieces: list[tuple[int, str]]) -> np.ndarray:
        text = re.sub(r"[^\n -~]", OTHER, "".join(piece for _, piece in sorted(pieces)))
        length = self.counts[split]
        if len(text) < length:
            raise InputError(
                f"{self.title}: {len(text)} characters for {split}, {length} are needed; "
                "this Python was installed without the sources of its library"
            )
        # A newline becomes 0, the blank 1, the tilde 95 and OTHER 96.
        return np.maximum(np.frombuffer(text[:length].encode("ascii"), np.uint8), 31) - np.uint8(31)

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return 97  # also where a version of Python happens to lack one of them


def sources(root: Path) -> Iterator[Path]:
    """The Python files below `root`, without tests, tables and what is not part of every version."""
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in EXCLUDED and not name.startswith("config-")]
        for name in names:
            if name.endswith(".py") and not name.startswith("_sysconfigdata"):
                yield Path(folder, name)


def split_of(name: str) -> str:
    """The split that a file belongs to: in eight of ten cases train."""
    return {8: "valid", 9: "test"}.get(_hash(name) % 10, "train")


def cut(text: str) -> Iterator[str]:
    """Pieces of `PIECE` characters, each on to the end of its line; together they are `text`."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + PIECE) + 1 or len(text)
        yield text[start:end]
        start = end


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
