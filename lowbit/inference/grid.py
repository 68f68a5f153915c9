"""Low-bit matrices as whole numbers times one scale a row: what integer arithmetic can multiply exactly."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Integer, UInt8, UInt16

LARGEST = 127  # of whole numbers that eight bits hold, which go down to one more below zero
WIDEST = 2**36  # of those whose sums of a few thousand are exact in 64 bits with any activations


class Matrix(NamedTuple):
    """Weights as codes and the level of each code; without codes, the weights themselves."""

    codes: UInt8[np.ndarray, "rows cols"] | UInt16[np.ndarray, "rows cols"] | None
    book: Float32[np.ndarray, "blocks levels"]  # ascending, for blocks of rows; the values where there are no codes

    @property
    def values(self) -> Float32[np.ndarray, "rows cols"]:
        """The weights that codes stand for."""
        if self.codes is None:
            return self.book
        return np.take_along_axis(self.levels, self.codes.astype(np.intp), axis=1)

    @property
    def levels(self) -> Float32[np.ndarray, "rows levels"]:
        """The levels of each row."""
        return np.repeat(self.book, len(self.codes) // len(self.book), axis=0)


class Grid(NamedTuple):
    r"""$w = s_r\, i$ with a whole number $i$ for each weight and one scale $s_r$ for each row."""

    codes: UInt8[np.ndarray, "rows cols"]
    levels: tuple[int, ...]  # the whole number of each code, ascending
    scale: Float32[np.ndarray, " rows"]

    @property
    def narrow(self) -> bool:
        """Whether eight bits hold each level."""
        return self.levels[0] >= -LARGEST - 1 and self.levels[-1] <= LARGEST

    @property
    def whole(self) -> Integer[np.ndarray, "rows cols"]:
        """The whole numbers, in the fewest bytes that hold them all."""
        kind = np.result_type(*(np.min_scalar_type(-abs(level) - 1) for level in self.levels))
        return np.array(self.levels, kind)[self.codes]


def shortest(book: Float32[np.ndarray, "rows levels"], gates: int) -> Float32[np.ndarray, "blocks levels"]:
    """One row of levels for all rows or for each gate, where they agree.

    >>> shortest(np.array([[-1, 1], [-1, 1], [-2, 2], [-2, 2]], np.float32), 2).tolist()
    [[-1.0, 1.0], [-2.0, 2.0]]
    """
    for blocks in (1, gates):
        if len(book) % blocks == 0:
            grouped = book.reshape(blocks, -1, book.shape[1])
            if (grouped == grouped[:, :1]).all():
                return np.ascontiguousarray(grouped[:, 0])
    return book


def grid(matrix: Matrix, largest: int = LARGEST) -> Grid | None:
    """The matrix as whole numbers; None where its levels are no multiples of one step, the same in all rows.

    Above `LARGEST` only those levels count that some weight has, and the smallest of them is the step.

    >>> thirds = grid(Matrix(np.array([[0, 1, 2]], np.uint8), np.array([[-0.3, 0.0, 0.3]], np.float32)))
    >>> thirds.levels, thirds.whole.tolist()
    ((-1, 0, 1), [[-1, 0, 1]])
    >>> powers = Matrix(np.array([[1, 3, 2]], np.uint8), np.array([[-8, -2, 2**-9, 4]], np.float32))
    >>> grid(powers), grid(powers, WIDEST).levels
    (None, (-1024, 1, 2048))
    """
    if matrix.codes is None or matrix.codes.dtype != np.uint8:
        return None
    weights = _multiples(matrix.codes, matrix.book.astype(np.float64), range(1, LARGEST + 2), LARGEST)
    if weights is None and largest > LARGEST:
        used = np.flatnonzero(np.bincount(matrix.codes.ravel()))
        book = matrix.book[:, used[0] : used[-1] + 1].astype(np.float64)
        sizes = np.abs(book[book != 0])
        top = sizes.max() / sizes.min() if len(sizes) else 0
        tops = (round(top),) if top < largest else ()
        weights = _multiples(matrix.codes - used[0].astype(np.uint8), book, tops, largest)
    return weights


def _multiples(codes: np.ndarray, book: np.ndarray, tops: Iterable[int], bound: int) -> Grid | None:
    """Whole numbers whose largest, without sign, is one of `tops`; those of levels stay below `bound`."""
    largest = np.abs(book).max(axis=1, keepdims=True)
    if not largest.all():
        return None
    shares = book / largest
    for top in tops:
        whole = np.rint(shares * top)
        near = np.abs(whole - shares * top).max() < min(1e-5 * top, 1e-3)
        if near and (whole == whole[0]).all() and whole[0].max() <= bound:
            scale = np.repeat(largest[:, 0] / top, len(codes) // len(book))
            return Grid(codes, tuple(int(level) for level in whole[0]), scale.astype(np.float32))
    return None
