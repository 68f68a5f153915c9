"""Weights of few but far apart levels, as powers of two: each code looked up in tables of bytes, one a digit."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, affine, fields

ROWS = 64
CODES = 64  # that one register of bytes can tell apart


@matvec.register
@dataclasses.dataclass(frozen=True)
class Planes(Member):
    r"""Levels as $\sum_p 256^p d_p$ with signed bytes $d_p$: a product of bytes for each $p$, eight bits a weight."""

    rank: ClassVar[int] = 10
    needs: ClassVar[frozenset[str]] = frozenset(("avx512f", "avx512bw", "avx512vnni", "avx512vbmi"))
    wide: ClassVar[bool] = True

    def fits(self, grid: Grid, bits: int) -> bool:
        """At most 64 levels, more than 256 steps apart; sums of a digit stay in 32 bits and those of all in 53."""
        few = len(grid.levels) <= CODES and affine(grid.levels)[2] >= 256
        cols, top = grid.codes.shape[1], max(map(abs, grid.levels))
        return few and bits <= 13 and (cols * 255) << (bits - 1) < 2**31 and (cols * top) << (bits - 1) < 2**53

    def layout(self, grid: Grid, bits: int) -> Layout:
        """A table for each digit, then blocks of rows, chunks of columns, rows, 4 codes."""
        packed = fields(grid.codes, 8, ROWS)
        tables = digits(np.array(grid.levels, np.int64))
        rows, chunks, cols = len(packed) * ROWS, packed.shape[1], grid.codes.shape[1]
        # Bytes of weights have no sign in the product: digits count from -128.
        shifted = np.full((len(tables), CODES), 128, np.uint8)
        shifted[:, : len(grid.levels)] = tables + 128
        weights = np.concatenate((shifted.ravel(), packed.ravel()))
        buffer = -(-2 * (cols + 64) // 64) * 64
        sizes = [rows, chunks, len(tables), cols, bits > 8, buffer]
        return Layout(sizes, weights, rows, buffer=buffer + 4 * ROWS * len(tables))


def digits(levels: np.ndarray) -> np.ndarray:
    """Signed digits to the base 256, the lowest first: (digits levels).

    >>> digits(np.array([-1, 127, 128, 65536])).tolist()
    [[-1, 127, -128, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    """
    result = []
    while levels.any():
        low = (levels + 128) % 256 - 128
        result.append(low)
        levels = (levels - low) // 256
    return np.array(result)
