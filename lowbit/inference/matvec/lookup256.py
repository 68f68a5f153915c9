"""Tables of all sums of a few activations, 16 in a register, looked up 32 rows at a time with AVX2."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, padded

ROWS = 64  # of a block: two registers of 32 rows
LOW = 7  # bits of the lower part of a sum; two of these add up within a byte


@matvec.register
@dataclasses.dataclass(frozen=True)
class Lookup256(Member):
    """4 binary weights, or 2 of three levels, name one of 16 sums: 1 or 2 bits a weight, no multiplication."""

    rank: ClassVar[int] = 25
    needs: ClassVar[frozenset[str]] = frozenset(("avx2",))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Up to three small levels, and activations of at most eight bits."""
        return bits <= 8 and len(grid.levels) <= 3 and max(map(abs, grid.levels)) <= 8

    def layout(self, grid: Grid, bits: int) -> Layout:
        """The factors that make a table, then blocks of rows, pairs of groups, a byte for each row.

        Row 16 i + 8 k + j stands in byte 4 j + i of register k, as every other byte is widened to 16, then to 32 bits.
        """
        width = 1 if len(grid.levels) <= 2 else 2
        group = 4 // width
        whole = padded(grid.codes, ROWS, 2 * group, 0)
        rows, pairs = len(whole), whole.shape[1] // (2 * group)
        fields = whole.reshape(rows, pairs, 2 * group).astype(np.uint8)
        packed = sum(fields[:, :, place] << width * place for place in range(2 * group))
        lanes = packed.reshape(rows // ROWS, 4, 2, 8, pairs).transpose(0, 4, 2, 3, 1)
        levels = np.zeros(1 << width, np.int16)
        levels[: len(grid.levels)] = grid.levels
        entries = np.arange(16)[None] >> width * np.arange(group)[:, None] & ((1 << width) - 1)
        weights = np.concatenate((levels[entries].ravel().view(np.uint8), lanes.ravel()))
        largest = group * (2 ** (bits - 1) - 1) * max(map(abs, grid.levels))
        safe = max(1, 64 // -(-(largest + 1) >> LOW))  # pairs before the upper parts leave a byte
        return Layout([rows, pairs, group, safe], weights, rows, buffer=pairs * 64)
