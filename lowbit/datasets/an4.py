"""Spelled words, numbers and commands, transcribed letter by letter."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from lowbit import datasets
from lowbit.datasets import archives, speech
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.varied import CPU_LETTERS, PAPER_LETTERS, Lettered

COMMIT = "5e478f0ee6c5b060edf702acdd563948cad5545f"
CEPSTRA = 13
STACK = 4  # frames that are one step
HELD_OUT = 10  # of this many training speakers, one is for validation


def assemble(archive: Path) -> bytes:
    """The folder `an4` of a zip file of the repository as a tar file."""
    return archives.pack(archives.members(archive, r"an4/(LICENSE|README|etc/an4[\w.]+|feat/[\w/-]+\.mfc)"))


@datasets.register
@dataclasses.dataclass(frozen=True)
class An4(Lettered):
    """Carnegie Mellon's census utterances (acero1993acoustical) as letters: 26 and the space between words.

    A substitute for the licensed Wall Street Journal recordings (`wsj`) that ott2016recurrent uses: spelled words,
    digits and commands in place of read news, half an hour in place of 81, so scores are no score of that task.
    ardakani2019learning has no such task. The 948 training and 130 test utterances are the set's own; every
    tenth training speaker is for validation, and no speaker is in two parts.

    The files are features made by others: 13 cepstra of 40 mel bands, 100 frames a second; they are
    standardized over each utterance and four frames are one step. The recordings themselves lie at
    http://www.speech.cs.cmu.edu/databases/an4/: features made anew from them would not be these files.
    """

    title: ClassVar[str] = "AN4"
    reference: ClassVar[str] = "acero1993acoustical"
    licence: ClassVar[str] = "AN4 licence: free for any purpose, its notice kept"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "an4/an4_mfcc.tar",
            "8913d066a1830dea575b08f4e50966bac449611789f1caf4b30dcba733673e49",
            16_107_520,
            (f"https://github.com/cphazen/Machine-Learning-Project-ASR/archive/{COMMIT}.zip",),
            extract=assemble,
        ),
    )
    alphabet: ClassVar[str] = " ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    counts: ClassVar[dict[str, int]] = {"train": 857, "valid": 91, "test": 130, "outputs": 28}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, updates=20, evaluate_every=10, batch=8, valid_limit=8, test_limit=8),
        "cpu": dataclasses.replace(CPU_LETTERS, steps=50, evaluate_every=100),
        "paper": dataclasses.replace(PAPER_LETTERS, dropout=0.3, evaluate_every=200),
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Features and letters, in the order of the set's own lists."""
        contents = archives.unpack(fetch(self.files[0]))
        train, test = utterances(contents, "train"), utterances(contents, "test")
        speakers = sorted({Path(name).parent for name, _ in train})
        held_out = speakers[HELD_OUT - 1 :: HELD_OUT]
        parts = {
            "train": [(name, text) for name, text in train if Path(name).parent not in held_out],
            "valid": [(name, text) for name, text in train if Path(name).parent in held_out],
            "test": test,
        }
        splits = {}
        for split, part in parts.items():
            names, texts = map(list, zip(*part, strict=True))
            splits[split] = self.arrays(names, [features(contents[f"an4/feat/{name}.mfc"]) for name in names], texts)
        return splits


def utterances(contents: dict[str, bytes], part: str) -> list[tuple[str, str]]:
    """The names of features of a part, each with its transcript, which is listed as `GO (an253-fash-b)`."""
    names = contents[f"an4/etc/an4_{part}.fileids"].decode().split()
    texts = contents[f"an4/etc/an4_{part}.transcription"].decode().splitlines()
    return [(name, text.rpartition("(")[0].strip()) for name, text in zip(names, texts, strict=True)]


def features(content: bytes) -> Float[np.ndarray, "steps inputs"]:
    """The features of a file of cepstra: a count, then as many numbers, all big-endian."""
    frames = np.frombuffer(content, ">f4", offset=4).astype(np.float32).reshape(-1, CEPSTRA)
    return speech.stacked(speech.standardized(frames), STACK)
