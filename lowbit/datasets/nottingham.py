"""British and American folk tunes with chords as piano rolls."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from lowbit import datasets
from lowbit.datasets.download import File
from lowbit.datasets.music import Music, rolls
from lowbit.datasets.recipe import CPU, SMOKE, Recipe
from lowbit.datasets.varied import joined
from lowbit.registry import InputError

COUNTS = {
    "published": {"train": 694, "valid": 173, "test": 170, "outputs": 88},
    "disjoint": {"train": 694, "valid": 172, "test": 169, "outputs": 88},
}


@datasets.register
@dataclasses.dataclass(frozen=True)
class Nottingham(Music):
    """1037 folk tunes with their chords, in the splits of boulanger2012modeling.

    One tune of the validation split and one of the test split stand in the training split too, byte for byte, and one
    training tune stands there twice. Published scores have them, and so has ours; `split="disjoint"` leaves the two out
    of validation and test. Neither ardakani2019learning nor ott2016recurrent uses music.
    """

    title: ClassVar[str] = "Nottingham tunes"
    reference: ClassVar[str] = "boulanger2012modeling"
    licence: ClassVar[str] = "none stated by those who made it; old music, whose transcription may carry rights"
    files: ClassVar[tuple[File, ...]] = (
        rolls("Nottingham.mat", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea", 371_688),
    )
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, valid_limit=8, test_limit=8),
        "cpu": dataclasses.replace(CPU, updates=2000, batch=32, evaluate_every=200),
    }

    split: str = "published"  # or "disjoint": no piece of train is in another part

    def __post_init__(self):
        if self.split not in COUNTS:
            raise InputError(f"{self.title} has no split {self.split!r}; known: {', '.join(COUNTS)}")

    @property
    def counts(self) -> dict[str, int]:
        """Pieces of each part."""
        return COUNTS[self.split]

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Lengths and frames of the parts of the file; the pieces of train are left out of the others if `disjoint`."""
        splits = super().read()
        if self.split == "disjoint":
            train = {piece.tobytes() for piece in pieces(*splits["train"])}
            for part in ("valid", "test"):
                splits[part] = joined([piece for piece in pieces(*splits[part]) if piece.tobytes() not in train])
        return splits


def pieces(lengths: Int[np.ndarray, " count"], frames: UInt8[np.ndarray, "total keys"]) -> list[np.ndarray]:
    """The frames of each piece."""
    return np.split(frames, lengths.cumsum()[:-1])
