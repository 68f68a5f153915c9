"""Sums of a few activations in a table, looked up 32 rows at a time: AVX-512."""

import numba
import numpy as np

from lowbit.inference.matvec.lookup import ROWS, WORD
from lowbit.inference.native.emit import inner
from lowbit.inference.native.vectors import (
    add16,
    load,
    mul16,
    pairs512,
    pick512,
    pointer,
    read,
    right16,
    splat,
    spread16,
    store,
)


@inner
def _tables5(factors, x, tables, count):
    f0, f1, f2 = load(factors, 16), load(factors + 64, 16), load(factors + 128, 16)
    f3, f4 = load(factors + 192, 16), load(factors + 256, 16)
    for _ in range(count):
        low = add16(mul16(f0, spread16(x, 16)), mul16(f1, spread16(x + 2, 16)))
        high = add16(mul16(f2, spread16(x + 4, 16)), mul16(f3, spread16(x + 6, 16)))
        store(tables, add16(add16(low, high), mul16(f4, spread16(x + 8, 16))))
        x, tables = x + 10, tables + 64


@inner
def _tables3(factors, x, tables, count):
    f0, f1, f2 = load(factors, 16), load(factors + 64, 16), load(factors + 128, 16)
    for _ in range(count):
        low = add16(mul16(f0, spread16(x, 16)), mul16(f1, spread16(x + 2, 16)))
        store(tables, add16(low, mul16(f2, spread16(x + 4, 16))))
        x, tables = x + 6, tables + 64


@inner
def _turned(sizes, blocks):
    """The first block and the step to the next: there and back, so that the last ones are still in the caches."""
    turn = numba.carray(pointer(sizes), 5, np.int64)
    turn[4] = 1 - turn[4]
    return (blocks - 1, -1) if turn[4] else (0, 1)


def multiply(sizes, weights, x, room, y):
    """Tables of all groups first, then blocks of 128 rows."""
    rows, words, group, safe = read(sizes), read(sizes + 8), read(sizes + 16), read(sizes + 24)
    if group == 5:
        _tables5(weights, x, room, WORD * words)
    else:
        _tables3(weights, x, room, WORD * words)
    weights += 64 * group
    even, odd = splat(np.int32(1), 16), splat(np.int32(1 << 16), 16)
    blocks, size = rows // ROWS, 256 * words
    first, step = _turned(sizes, blocks)
    weights, y = weights + size * first, y + 4 * ROWS * first
    for _ in range(blocks):
        low = high = splat(np.int32(0), 64)
        table, word, at = room, 0, weights
        while word < words:
            until = min(word + safe, words)
            sums = splat(np.int32(0), 64)
            while word < until:
                first, second, third = load(table, 16), load(table + 64, 16), load(table + 128, 16)
                index = load(at, 64)
                found = add16(pick512(first, index), pick512(second, right16(index, 5)))
                sums = add16(sums, add16(found, pick512(third, right16(index, 10))))
                at, table, word = at + 256, table + 192, word + 1
            low, high = pairs512(low, sums, even), pairs512(high, sums, odd)
        store(y, low)
        store(y + 2 * ROWS, high)
        weights, y = weights + size * step, y + 4 * ROWS * step
