"""Texts of one file, cut in three; their alphabets are the characters that occur."""

import functools

import numpy as np

from lowbit.datasets.base import Text, cut
from lowbit.datasets.download import fetch


class Document(Text):
    """One text in three consecutive parts; a code is the place of its character among all that occur, sorted."""

    def text(self) -> str:
        """The whole text, its bytes as Latin-1 unless overridden."""
        return fetch(self.files[0]).read_bytes().decode("latin-1")

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The three parts; the alphabet is that of all of them."""
        text = np.frombuffer(self.text().encode("utf-32-le"), np.uint32)
        return cut(np.searchsorted(np.unique(text), text).astype(np.uint8), self.counts)

    @functools.cached_property
    def alphabet(self) -> str:
        """The characters of the text in their order."""
        return "".join(sorted(set(self.text())))
