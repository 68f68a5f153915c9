"""Tables of all sums of a few activations, held in one register, looked up 32 rows at a time."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import compiled, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, codes, padded
from lowbit.inference.vectors import (
    add16,
    load,
    mul16,
    pairs512,
    pick512,
    read,
    right16,
    splat,
    spread16,
    store,
)

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
        return grid.levels == (-1, 1) or (grid.levels == (-1, 0, 1) and (bits > 8 or grid.whole.size > LARGE))

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
        return Layout([rows, words, group, safe], weights, rows, room=words * WORD * 64)

    @property
    def address(self) -> int:
        """AVX-512."""
        return _multiply.address


@compiled.inner
def _tables5(factors, x, tables, count):
    f0, f1, f2 = load(factors, 16), load(factors + 64, 16), load(factors + 128, 16)
    f3, f4 = load(factors + 192, 16), load(factors + 256, 16)
    for _ in range(count):
        low = add16(mul16(f0, spread16(x, 16)), mul16(f1, spread16(x + 2, 16)))
        high = add16(mul16(f2, spread16(x + 4, 16)), mul16(f3, spread16(x + 6, 16)))
        store(tables, add16(add16(low, high), mul16(f4, spread16(x + 8, 16))))
        x, tables = x + 10, tables + 64


@compiled.inner
def _tables3(factors, x, tables, count):
    f0, f1, f2 = load(factors, 16), load(factors + 64, 16), load(factors + 128, 16)
    for _ in range(count):
        low = add16(mul16(f0, spread16(x, 16)), mul16(f1, spread16(x + 2, 16)))
        store(tables, add16(low, mul16(f2, spread16(x + 4, 16))))
        x, tables = x + 6, tables + 64


@compiled.product
def _multiply(sizes, weights, x, room, y):
    rows, words, group, safe = read(sizes), read(sizes + 8), read(sizes + 16), read(sizes + 24)
    if group == 5:
        _tables5(weights, x, room, WORD * words)
    else:
        _tables3(weights, x, room, WORD * words)
    weights += 64 * group
    even, odd = splat(np.int32(1), 16), splat(np.int32(1 << 16), 16)
    for _ in range(rows // ROWS):
        low = high = splat(np.int32(0), 64)
        table, word = room, 0
        while word < words:
            until = min(word + safe, words)
            sums = splat(np.int32(0), 64)
            while word < until:
                first, second, third = load(table, 16), load(table + 64, 16), load(table + 128, 16)
                index = load(weights, 64)
                found = add16(pick512(first, index), pick512(second, right16(index, 5)))
                sums = add16(sums, add16(found, pick512(third, right16(index, 10))))
                weights, table, word = weights + 256, table + 192, word + 1
            low, high = pairs512(low, sums, even), pairs512(high, sums, odd)
        store(y, low)
        store(y + 2 * ROWS, high)
        y += 4 * ROWS
