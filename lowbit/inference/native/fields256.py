"""Masked and shifted fields times bytes, 32 rows at a time: AVX2."""

import numpy as np

from lowbit.inference.matvec.fields256 import ROWS
from lowbit.inference.native import vectors as v
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves


def _block_of(width):
    """The function that sums a block of rows with fields of `width` bits, which is a constant of its code."""
    count, mask = 8 // width, 0x01010101 * ((1 << width) - 1)

    @inner
    def chunk(codes, x):
        sums = v.splat(np.int32(0), ROWS)
        for p in range(count):
            sums = v.add16(sums, v.bytes256(v.both(v.right16(codes, width * p), mask), v.spread32(x + 4 * p, 8)))
        return sums

    @inner
    def block(weights, x, chunks, safe):
        total, ones, n = v.splat(np.int32(0), ROWS), v.splat(np.int32(0x00010001), 8), 0
        while n < chunks:
            until, sums = min(n + safe, chunks), v.splat(np.int32(0), ROWS)
            while n < until:
                sums = v.add16(sums, chunk(v.load(weights, ROWS), x))
                weights, x, n = weights + 4 * ROWS, x + 4 * count, n + 1
            total = v.add32(total, v.pairs256(sums, ones))
        return total

    return block


_block1, _block2, _block4 = _block_of(1), _block_of(2), _block_of(4)


@inner
def _block(width, weights, x, chunks, safe):
    if width == 1:
        return _block1(weights, x, chunks, safe)
    if width == 2:
        return _block2(weights, x, chunks, safe)
    return _block4(weights, x, chunks, safe)


def multiply(sizes, weights, x, buffer, y):
    """Blocks of 32 rows, widened to 32 bits where 16 could overflow."""
    rows, chunks, width, step = v.read(sizes), v.read(sizes + 8), v.read(sizes + 16), v.read(sizes + 24)
    base, cols, split, safe = v.read(sizes + 32), v.read(sizes + 40), v.read(sizes + 48), v.read(sizes + 56)
    total = halves(x, cols, split, buffer)
    offset = v.splat(np.int32(base * total), ROWS)
    for _ in range(rows // ROWS):
        sums = _block(width, weights, buffer, chunks, safe)
        if split:
            sums = v.add32(v.mul32(sums, 64), _block(width, weights, buffer + cols + 64, chunks, safe))
        v.store(y, v.add32(v.mul32(sums, step), offset))
        weights, y = weights + 4 * ROWS * chunks, y + 4 * ROWS
