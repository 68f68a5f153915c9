"""Sums of a few activations in tables of 16, looked up 32 rows at a time: AVX2."""

import numpy as np

from lowbit.inference.matvec.lookup256 import LOW, ROWS
from lowbit.inference.native import vectors as v
from lowbit.inference.native.emit import inner

NIBBLES, BITS, UP = 0x0F0F0F0F, (1 << LOW) - 1, 256


@inner
def _store_table(sums, table):
    """Writes 16 sums as 16 lower parts and 16 upper ones, a byte each."""
    low, high = v.both(sums, BITS | BITS << 16), v.mul16(v.down16(sums, LOW), UP)
    v.store(table, v.evens(v.add16(low, high)))


@inner
def _tables4(factors, x, tables, count):
    f0, f1 = v.load(factors, 8), v.load(factors + 32, 8)
    f2, f3 = v.load(factors + 64, 8), v.load(factors + 96, 8)
    for _ in range(count):
        first = v.add16(v.mul16(f0, v.spread16(x, 8)), v.mul16(f1, v.spread16(x + 2, 8)))
        _store_table(
            v.add16(first, v.add16(v.mul16(f2, v.spread16(x + 4, 8)), v.mul16(f3, v.spread16(x + 6, 8)))), tables
        )
        x, tables = x + 8, tables + 32


@inner
def _tables2(factors, x, tables, count):
    f0, f1 = v.load(factors, 8), v.load(factors + 32, 8)
    for _ in range(count):
        _store_table(v.add16(v.mul16(f0, v.spread16(x, 8)), v.mul16(f1, v.spread16(x + 2, 8))), tables)
        x, tables = x + 4, tables + 32


@inner
def _widened(low, odd, high):
    """Sums of the even bytes and of the odd ones in 16 bits, from those of the lower parts and of the upper ones."""
    even = v.add16(v.add16(low, v.mul16(odd, -UP)), v.mul16(v.down16(v.mul16(high, UP), 8), 1 << LOW))
    return even, v.add16(odd, v.mul16(v.down16(high, 8), 1 << LOW))


def multiply(sizes, weights, x, buffer, y):
    """Tables of all groups first, then blocks of 64 rows, widened before the upper parts could leave a byte."""
    rows, pairs, group, safe = v.read(sizes), v.read(sizes + 8), v.read(sizes + 16), v.read(sizes + 24)
    if group == 4:
        _tables4(weights, x, buffer, 2 * pairs)
    else:
        _tables2(weights, x, buffer, 2 * pairs)
    weights += 32 * group
    first, second = v.splat(np.int32(1), 16), v.splat(np.int32(1 << 16), 16)  # of the two numbers in 32 bits
    for _ in range(rows // ROWS):
        y0 = y1 = y2 = y3 = v.splat(np.int32(0), 16)
        table, pair = buffer, 0
        while pair < pairs:
            until = min(pair + safe, pairs)
            low = odd = high = v.splat(np.int32(0), 16)
            while pair < until:
                codes = v.load(weights, 16)
                lower, upper = v.both(codes, NIBBLES), v.both(v.right16(codes, 4), NIBBLES)
                sums = v.add8(v.find256(v.spread128(table, 8), lower), v.find256(v.spread128(table + 32, 8), upper))
                high = v.add8(high, v.find256(v.spread128(table + 16, 8), lower))
                high = v.add8(high, v.find256(v.spread128(table + 48, 8), upper))
                low, odd = v.add16(low, sums), v.add16(odd, v.right16(sums, 8))
                weights, table, pair = weights + 64, table + 64, pair + 1
            low, odd = _widened(low, odd, high)
            y0, y1 = v.add32(y0, v.pairs256(low, first)), v.add32(y1, v.pairs256(odd, first))
            y2, y3 = v.add32(y2, v.pairs256(low, second)), v.add32(y3, v.pairs256(odd, second))
        v.store(y, y0)
        v.store(y + ROWS, y1)
        v.store(y + 2 * ROWS, y2)
        v.store(y + 3 * ROWS, y3)
        y += 4 * ROWS
