"""The Penn Treebank by characters: the language model task of most papers."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from lowbit import datasets
from lowbit.datasets.base import SPLITS, Text
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import BRIEF_TEXT, CPU_TEXT, LONG_TEXT, SEARCH_TEXT, SMOKE, Recipe

ARCHIVE = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz#./simple-examples/data/"


def part(name: str, sha256: str, size: int) -> File:
    """One of the three files."""
    return File(f"ptb_char/{name}", sha256, size, (ARCHIVE + name,))


@datasets.register
@dataclasses.dataclass(frozen=True)
class PtbChar(Text):
    """Wall Street Journal text (marcus1993building) in the preparation of mikolov2012subword.

    Lower case, 10,000 words and `<unk>`, numbers as `N`; in the files symbols stand between blanks, `_` is the
    word space and a line is a sentence, whose end is the 50th symbol. Two symbols, `*` and `4`, never come in
    the test split. ardakani2019learning states these counts and uses these files; ott2016recurrent uses the
    same corpus, by characters too, in a preparation that we could not verify. Others read the *word* files as
    characters: other data, other scores.
    """

    title: ClassVar[str] = "Penn Treebank, characters"
    reference: ClassVar[str] = "mikolov2012subword"
    licence: ClassVar[str] = "no open licence (LDC99T42, Dow Jones); fetched by each reader for research"
    files: ClassVar[tuple[File, ...]] = (
        part("ptb.char.train.txt", "e313d91425e06c4f0a8fb6e881dcce0c291f2a0e9f4dda54833069b122f91da9", 10_034_964),
        part("ptb.char.valid.txt", "21661f63ec355085879458b6524644d4add5573541b4be14fb52ab2e2e995eb8", 786_084),
        part("ptb.char.test.txt", "1ef5607ac3c463b16e38bfe7900dd3bfc91de5a96e0f21e7eab5188b465b8ebe", 884_846),
    )
    counts: ClassVar[dict[str, int]] = {"train": 5_017_482, "valid": 393_042, "test": 442_423, "outputs": 50}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": SMOKE,
        "brief": BRIEF_TEXT,
        "cpu": CPU_TEXT,
        "search": SEARCH_TEXT,
        "long": LONG_TEXT,
        "paper": Recipe(hidden=1000, updates=50 * 783),  # epochs, of the whole batches in one
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The three files without their blanks; the alphabet is that of train."""
        alphabet = np.frombuffer(self.alphabet.encode(), np.uint8)
        codes = (np.searchsorted(alphabet, _text(file)).astype(np.uint8) for file in self.files)
        return {split: (part,) for split, part in zip(SPLITS, codes, strict=True)}

    @functools.cached_property
    def alphabet(self) -> str:
        """The bytes of the first file, in their order."""
        return np.unique(_text(self.files[0])).tobytes().decode()


def _text(file: File) -> UInt8[np.ndarray, " time"]:
    return np.frombuffer(fetch(file).read_bytes().replace(b" ", b""), np.uint8)
