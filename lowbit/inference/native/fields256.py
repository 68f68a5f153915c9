"""Masked and shifted fields times bytes, 32 rows at a time: AVX2."""

import numpy as np

from lowbit.inference.matvec.fields256 import ROWS
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves
from lowbit.inference.native.vectors import (
    add16,
    add32,
    both,
    bytes256,
    load,
    mul32,
    pairs256,
    read,
    right16,
    splat,
    spread32,
    store,
)


@inner
def _chunk1(codes, x):
    sums = splat(np.int32(0), ROWS)
    for p in range(8):
        sums = add16(sums, bytes256(both(right16(codes, p), 0x01010101), spread32(x + 4 * p, 8)))
    return sums


@inner
def _chunk2(codes, x):
    sums = splat(np.int32(0), ROWS)
    for p in range(4):
        sums = add16(sums, bytes256(both(right16(codes, 2 * p), 0x03030303), spread32(x + 4 * p, 8)))
    return sums


@inner
def _chunk4(codes, x):
    sums = bytes256(both(codes, 0x0F0F0F0F), spread32(x, 8))
    return add16(sums, bytes256(both(right16(codes, 4), 0x0F0F0F0F), spread32(x + 4, 8)))


@inner
def _block1(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk1(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 32, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@inner
def _block2(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk2(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 16, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@inner
def _block4(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk4(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 8, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@inner
def _block(width, weights, x, chunks, safe):
    if width == 1:
        return _block1(weights, x, chunks, safe)
    if width == 2:
        return _block2(weights, x, chunks, safe)
    return _block4(weights, x, chunks, safe)


def multiply(sizes, weights, x, room, y):
    """Blocks of 32 rows, widened to 32 bits where 16 could overflow."""
    rows, chunks, width, step = read(sizes), read(sizes + 8), read(sizes + 16), read(sizes + 24)
    base, cols, split, safe = read(sizes + 32), read(sizes + 40), read(sizes + 48), read(sizes + 56)
    total = halves(x, cols, split, room)
    offset = splat(np.int32(base * total), ROWS)
    for _ in range(rows // ROWS):
        sums = _block(width, weights, room, chunks, safe)
        if split:
            sums = add32(mul32(sums, 64), _block(width, weights, room + cols + 64, chunks, safe))
        store(y, add32(mul32(sums, step), offset))
        weights, y = weights + 4 * ROWS * chunks, y + 4 * ROWS
