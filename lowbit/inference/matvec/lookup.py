"""Tables of all sums of a few activations, held in one register, looked up 32 rows at a time."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, codes, padded

ROWS = 128  # of a block: four registers of 32 rows
LARGE = 6_000_000  # weights: from here on fewer bits save more time than fewer instructions
WORD = 3  # groups in 16 bits, five bits each
GROUP = {2: 5, 3: 3}  # weights of a group by their number of levels: 32 or 27 sums


@matvec.register
@dataclasses.dataclass(frozen=True)
class Lookup(Member):
    """5 binary or 3 ternary weights name one of 32 sums: 1.07 or 1.78 bits a weight, no multiplication."""

    rank: ClassVar[int] = 40
    needs: ClassVar[frozenset[str]] = frozenset(("avx512f", "avx512bw", "avx512vnni"))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Binary weights, and ternary ones with activations of more than eight bits or beyond the fast caches."""
        return grid.levels == (-1, 1) or (grid.levels == (-1, 0, 1) and (bits > 8 or grid.codes.size > LARGE))

    def layout(self, grid: Grid, bits: int) -> Layout:
        """The factors that make a table, then 16-bit words: blocks of rows, words, rows."""
        base = len(grid.levels)
        group = GROUP[base]
        # Even lanes of the registers are summed apart from odd ones: the first half of a block and the second.
        digits = padded(codes(grid), ROWS, WORD * group, 0)
        rows, words = len(digits), digits.shape[1] // (WORD * group)
        packed = np.zeros((rows, words), np.uint16)
        for place in range(WORD * group):
            packed += digits[:, place :: WORD * group] * np.uint16(32 ** (place // group) * base ** (place % group))
        lanes = packed.reshape(rows // ROWS, 2, ROWS // 32, 16, words).transpose(0, 4, 2, 3, 1)
        entries = np.arange(32)[None] // base ** np.arange(group)[:, None] % base
        factors = np.array(grid.levels, np.int16)[entries]
        weights = np.concatenate((factors.ravel().view(np.uint16), lanes.ravel()))
        safe = max(1, (2**15 - 1) // (WORD * group * (2 ** (bits - 1) - 1)))  # words before 16 bits could overflow
        return Layout([rows, words, group, safe, 0], weights, rows, buffer=words * WORD * 64)
