"""Recordings of single spoken digits."""

import ast
import dataclasses
import functools
import json
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import archives, speech
from lowbit.datasets.base import SPLITS
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import CPU, SMOKE, Recipe
from lowbit.datasets.varied import Classified, joined
from lowbit.registry import InputError

COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
RATE_HZ = 8000
SPEAKERS = {"train": ("george", "jackson", "lucas"), "valid": ("nicolas",), "test": ("theo", "yweweler")}
COUNTS = {
    "official": {"train": 2400, "valid": 300, "test": 300, "outputs": 10},
    "speaker": {"train": 1500, "valid": 500, "test": 1000, "outputs": 10},
}


def assemble(archive: Path) -> bytes:
    """Readme, recordings and metadata of the speakers, from a zip file of the repository, as a tar file."""
    contents = archives.members(archive, r"README\.md|recordings/\w+\.wav|metadata\.py")
    if "metadata.py" not in contents:
        raise FileNotFoundError("the archive holds no metadata.py")
    try:
        speakers = ast.literal_eval(ast.parse(contents.pop("metadata.py")).body[-1].value)
        contents["speakers.json"] = json.dumps(speakers, indent=1, sort_keys=True).encode()
    except (SyntaxError, LookupError, AttributeError, TypeError, ValueError, MemoryError, RecursionError):
        raise ValueError("metadata.py of the archive does not end in a table of the speakers") from None
    return archives.pack(contents)


@datasets.register
@dataclasses.dataclass(frozen=True)
class Fsdd(Classified):
    """3000 recordings of the digits zero to nine by six speakers (jackson2018fsdd): 13 cepstra and their slopes,
    100 frames a second, standardized over each recording.

    A substitute for the licensed TIDIGITS (`tidigits`) that ott2016recurrent trains a GRU on: other speakers,
    single digits in place of strings, a ninth of the recordings, so scores are no score of that task.
    ardakani2019learning has no such task. The set's own split takes recordings 0 to 4 of each speaker and
    digit for the test; of the others, 5 to 9 are our validation split. All its parts share the speakers;
    `split="speaker"` tests on two speakers and validates on one that are in no other part, which is harder. All 500
    recordings of that one, nicolas, are 8-bit sound in 16-bit files, with an offset of about one step of the 8 bits:
    its validation score is that of other sound too.
    """

    title: ClassVar[str] = "Free spoken digits"
    reference: ClassVar[str] = "jackson2018fsdd"
    licence: ClassVar[str] = "CC BY-SA 4.0"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "fsdd/fsdd_recordings.tar",
            "e69b14ce7bf6d7794b06c10e8ae103fcdf43a2cfe5f4cc227724a9c5fabc2591",
            23_439_360,
            (f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.zip",),
            extract=assemble,
        ),
    )
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, updates=40, evaluate_every=20, steps=24, valid_limit=64, test_limit=64),
        "cpu": dataclasses.replace(CPU, updates=800, batch=64, steps=40, evaluate_every=100),
        "paper": Recipe(hidden=200, updates=6000, steps=40, final_rate=1e-4, evaluate_every=200),
    }

    facts = speech.facts
    split: str = "official"  # or "speaker": no speaker is in two parts

    def __post_init__(self):
        if self.split not in COUNTS:
            raise InputError(f"{self.title} has no split {self.split!r}; known: {', '.join(COUNTS)}")

    @property
    def counts(self) -> dict[str, int]:
        """Recordings of each part."""
        return COUNTS[self.split]

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Features and digits, by digit, speaker and number."""
        contents = archives.unpack(fetch(self.files[0]))
        waves = {name: functools.partial(contents.get, name) for name in sorted(contents) if name.endswith(".wav")}
        frames = [speech.standardized(part) for part in speech.cepstra("fsdd", waves, RATE_HZ)]
        digits, speakers, numbers = zip(*(Path(name).stem.split("_") for name in waves), strict=True)
        parts = list(map(self._part, speakers, map(int, numbers)))
        splits = {split: [i for i, part in enumerate(parts) if part == split] for split in SPLITS}
        return {
            split: (*joined([frames[i] for i in rows]), np.array([digits[i] for i in rows]).astype(np.uint8))
            for split, rows in splits.items()
        }

    def _part(self, speaker: str, number: int) -> str:
        if self.split == "speaker":
            return next(part for part, speakers in SPEAKERS.items() if speaker in speakers)
        return "test" if number < 5 else "valid" if number < 10 else "train"
