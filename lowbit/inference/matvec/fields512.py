"""Fields of 2, 4 or 8 bits masked out of bytes and multiplied by bytes, 64 rows at a time."""

import dataclasses
from typing import ClassVar

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, affine, codes, fields, narrow

ROWS = 64


@matvec.register
@dataclasses.dataclass(frozen=True)
class Fields512(Member):
    """A mask and a product of bytes for each field, unshifted: the sums are shifted, once, at the end."""

    rank: ClassVar[int] = 30
    needs: ClassVar[frozenset[str]] = frozenset(("avx512f", "avx512bw", "avx512vnni"))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Levels that are at most 256 multiples of a step; activations of up to 13 bits, in two halves above 8."""
        return bits <= 13 and affine(grid.levels)[2] < 256 and narrow(grid, bits)

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Blocks of rows, chunks of columns, rows, then 4 bytes of which each holds a few columns."""
        step, base, top = affine(grid.levels)
        width = 2 if top < 4 else 4 if top < 16 else 8
        packed = fields(codes(grid), width, ROWS)
        rows, chunks = len(packed) * ROWS, packed.shape[1]
        sizes = [rows, chunks, width, step, base, grid.codes.shape[1], bits > 8]
        return Layout(sizes, packed, rows, buffer=2 * (grid.codes.shape[1] + 64))
