"""The product as it is written, in whole numbers: what every other kernel must equal."""

import dataclasses
from typing import ClassVar

import numba
import numpy as np

from lowbit.inference import compiled, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member
from lowbit.inference.vectors import pointer


@matvec.register
@dataclasses.dataclass(frozen=True)
class Reference(Member):
    """Eight bits a weight in rows, one product after the other; for every matrix and processor."""

    rank: ClassVar[int] = 0

    def fits(self, grid: Grid, bits: int) -> bool:
        """Wherever a sum cannot leave 32 bits."""
        return grid.whole.shape[1] * max(map(abs, grid.levels)) << (bits - 1) < 2**31

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Row by row."""
        return Layout([*grid.whole.shape], grid.whole, len(grid.whole))

    @property
    def address(self) -> int:
        """Plain loops, which the compiler may vectorize."""
        return _multiply.address


@compiled.product
def _multiply(sizes, weights, x, room, y):
    rows, cols = numba.carray(pointer(sizes), 2, np.int64)
    w = numba.carray(pointer(weights), (rows, cols), np.int8)
    q = numba.carray(pointer(x), cols, np.int16)
    sums = numba.carray(pointer(y), rows, np.int32)
    for r in range(rows):
        total = np.int32(0)
        for k in range(cols):
            total += np.int32(w[r, k]) * np.int32(q[k])
        sums[r] = total
