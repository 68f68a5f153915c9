"""Low-bit matrices as whole numbers times one scale a row: what integer arithmetic can multiply exactly."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int8, UInt8

LARGEST = 128  # of the whole numbers, without sign: they are kept in eight bits


class Matrix(NamedTuple):
    """Weights as codes and the level of each code; without codes, the weights themselves."""

    codes: UInt8[np.ndarray, "rows cols"] | None
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

    whole: Int8[np.ndarray, "rows cols"]
    levels: tuple[int, ...]  # that `whole` takes its values from, ascending
    scale: Float32[np.ndarray, " rows"]


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


def grid(matrix: Matrix) -> Grid | None:
    """The matrix as whole numbers; None where its levels are no multiples of one step, the same in all rows.

    >>> found = grid(Matrix(np.array([[0, 1, 2]], np.uint8), np.array([[-0.3, 0.0, 0.3]], np.float32)))
    >>> found.levels, found.whole.tolist()
    ((-1, 0, 1), [[-1, 0, 1]])
    """
    if matrix.codes is None:
        return None
    book = matrix.book.astype(np.float64)
    largest = np.abs(book).max(axis=1, keepdims=True)
    if not largest.all():
        return None
    shares = book / largest
    for top in range(1, LARGEST + 1):
        whole = np.rint(shares * top)
        if np.abs(whole - shares * top).max() < 1e-5 * top and (whole == whole[0]).all() and whole[0].max() < LARGEST:
            scale = np.repeat(largest[:, 0] / top, len(matrix.codes) // len(book))
            levels = whole[0].astype(np.int8)
            return Grid(levels[matrix.codes], tuple(levels.tolist()), scale.astype(np.float32))
    return None
