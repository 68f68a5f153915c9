"""Sums of a few activations in a table, looked up 32 rows at a time: AVX-512."""

import numba
import numpy as np

from lowbit.inference.matvec.lookup import ROWS, WORD
from lowbit.inference.native import vectors as v
from lowbit.inference.native.emit import inner


@inner
def _tables5(factors, x, tables, count):
    f0, f1, f2 = v.load(factors, 16), v.load(factors + 64, 16), v.load(factors + 128, 16)
    f3, f4 = v.load(factors + 192, 16), v.load(factors + 256, 16)
    for _ in range(count):
        low = v.add16(v.mul16(f0, v.spread16(x, 16)), v.mul16(f1, v.spread16(x + 2, 16)))
        high = v.add16(v.mul16(f2, v.spread16(x + 4, 16)), v.mul16(f3, v.spread16(x + 6, 16)))
        v.store(tables, v.add16(v.add16(low, high), v.mul16(f4, v.spread16(x + 8, 16))))
        x, tables = x + 10, tables + 64


@inner
def _tables3(factors, x, tables, count):
    f0, f1, f2 = v.load(factors, 16), v.load(factors + 64, 16), v.load(factors + 128, 16)
    for _ in range(count):
        low = v.add16(v.mul16(f0, v.spread16(x, 16)), v.mul16(f1, v.spread16(x + 2, 16)))
        v.store(tables, v.add16(low, v.mul16(f2, v.spread16(x + 4, 16))))
        x, tables = x + 6, tables + 64


@inner
def _turned(sizes, blocks):
    """The first block and the step to the next: there and back, so that the last ones are still in the caches."""
    turn = numba.carray(v.pointer(sizes), 5, np.int64)
    turn[4] = 1 - turn[4]
    return (blocks - 1, -1) if turn[4] else (0, 1)


def multiply(sizes, weights, x, buffer, y):
    """Tables of all groups first, then blocks of 128 rows."""
    rows, words, group, safe = v.read(sizes), v.read(sizes + 8), v.read(sizes + 16), v.read(sizes + 24)
    if group == 5:
        _tables5(weights, x, buffer, WORD * words)
    else:
        _tables3(weights, x, buffer, WORD * words)
    weights += 64 * group
    even, odd = v.splat(np.int32(1), 16), v.splat(np.int32(1 << 16), 16)
    blocks, size = rows // ROWS, 256 * words
    first, step = _turned(sizes, blocks)
    weights, y = weights + size * first, y + 4 * ROWS * first
    for _ in range(blocks):
        low = high = v.splat(np.int32(0), 64)
        table, word, at = buffer, 0, weights
        while word < words:
            until = min(word + safe, words)
            sums = v.splat(np.int32(0), 64)
            while word < until:
                first, second, third = v.load(table, 16), v.load(table + 64, 16), v.load(table + 128, 16)
                index = v.load(at, 64)
                pairs = v.add16(v.pick512(first, index), v.pick512(second, v.right16(index, 5)))
                sums = v.add16(sums, v.add16(pairs, v.pick512(third, v.right16(index, 10))))
                at, table, word = at + 256, table + 192, word + 1
            low, high = v.pairs512(low, sums, even), v.pairs512(high, sums, odd)
        v.store(y, low)
        v.store(y + 2 * ROWS, high)
        weights, y = weights + size * step, y + 4 * ROWS * step
