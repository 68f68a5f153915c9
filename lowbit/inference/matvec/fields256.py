"""Fields of 1, 2 or 4 bits shifted and masked out of bytes, for processors without the widest vectors."""

import dataclasses
from typing import ClassVar

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, affine, codes, fields, narrow

ROWS = 32


@matvec.register
@dataclasses.dataclass(frozen=True)
class Fields256(Member):
    """Sums of 16 bits, widened before they could overflow."""

    rank: ClassVar[int] = 20
    needs: ClassVar[frozenset[str]] = frozenset(("avx2",))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Levels that are at most 16 multiples of a step; activations of up to 13 bits, in two halves above 8."""
        return bits <= 13 and 0 < affine(grid.levels)[2] < 16 and narrow(grid, bits)

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Blocks of rows, chunks of columns, rows, then 4 bytes of which each holds a few columns."""
        step, base, top = affine(grid.levels)
        width = 1 if top < 2 else 2 if top < 4 else 4
        packed = fields(codes(grid), width, ROWS)
        rows, chunks = len(packed) * ROWS, packed.shape[1]
        safe = (2**15 - 1) // (top * 127 * 2 * (8 // width))  # chunks before 16 bits could overflow
        sizes = [rows, chunks, width, step, base, grid.codes.shape[1], bits > 8, safe]
        return Layout(sizes, packed, rows, buffer=2 * (grid.codes.shape[1] + 64))
