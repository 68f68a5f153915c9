"""A hundred million letters of English novels: what text8 is, of another source."""

import dataclasses
import hashlib
import string
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import books, text8
from lowbit.datasets.base import Text
from lowbit.datasets.download import File
from lowbit.datasets.recipe import Recipe
from lowbit.registry import InputError

LENGTH = 100_000_000
SHA256 = "3f3d568ec1b0adec7e17056a463ff02b5bc6006da132759618780c6463743789"  # of the text
DIGITS = b"zero one two three four five six seven eight nine".split()

SYMBOLS = (string.ascii_lowercase + string.digits).encode()
LOWERED = bytes(symbol if symbol in SYMBOLS else ord(" ") for symbol in bytes(range(256)).lower())


def clean(text: bytes) -> bytes:
    """Lower case letters, digits as words, one blank for each run of other symbols.

    >>> clean(b"In 1851, Moby-Dick")
    b'in one eight five one moby dick'
    """
    text = text.translate(LOWERED)
    for digit, name in enumerate(DIGITS):
        text = text.replace(b"%d" % digit, b" %b " % name)
    return b" ".join(text.split())


@datasets.register
@dataclasses.dataclass(frozen=True)
class Books27(Text):
    """English novels as text8 has its Wikipedia: 100,000,000 letters and blanks, 27 symbols, cut 90 / 5 / 5.

    A substitute for text8 of our own making, from 216 books in the public domain in a fixed random order, cleaned
    after the rule of mahoney2011about. Alphabet, size and split are those of text8, the language is not: scores
    of one are no scores of the other, and no paper has this text. Train, valid and test are of different
    books but for the two that the cuts go through. The recipes are those of `text8`.
    """

    title: ClassVar[str] = "English novels, letters"
    reference: ClassVar[str] = "mahoney2011about"
    licence: ClassVar[str] = books.LICENCE
    files: ClassVar[tuple[File, ...]] = (books.ARCHIVE,)
    counts: ClassVar[dict[str, int]] = text8.COUNTS
    recipes: ClassVar[dict[str, Recipe]] = text8.RECIPES

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The books one after another, cleaned and cut."""
        text = b" ".join([b"", *(clean(book.encode()) for book in books.texts().values())])[:LENGTH]
        if hashlib.sha256(text).hexdigest() != SHA256:
            raise InputError(f"{self.title}: the text of {books.ARCHIVE.name} has another checksum")
        return text8.parts(text)

    @property
    def alphabet(self) -> str:
        """The blank and the letters."""
        return text8.ALPHABET.decode()
