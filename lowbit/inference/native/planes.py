"""Codes looked up in tables of bytes and multiplied by bytes, 64 rows at a time: AVX-512 with VNNI and VBMI."""

import numba
import numpy as np

from lowbit.inference.matvec.planes import CODES, ROWS
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves
from lowbit.inference.native.vectors import (
    add32,
    bytes512,
    find512,
    load,
    mul32,
    pointer,
    read,
    splat,
    spread32,
    store,
)


@inner
def _block(weights, x, chunks, table):
    digit, sums = load(table, 16), splat(np.int32(0), 64)
    for _ in range(chunks):
        sums = bytes512(sums, find512(digit, load(weights, 64)), spread32(x, 16))
        weights, x = weights + 256, x + 4
    return sums


@inner
def _joined(sums, planes, y):
    """The sums of all digits, rounded to float32 once."""
    of = numba.carray(pointer(sums), (planes, ROWS), np.int32)
    out = numba.carray(pointer(y), ROWS, np.float32)
    for r in range(ROWS):
        total = np.int64(0)
        for p in range(planes):
            total += np.int64(of[p, r]) << (8 * p)
        out[r] = np.float32(total)


def multiply(sizes, weights, x, room, y):
    """Each block once for every digit."""
    rows, chunks, planes = read(sizes), read(sizes + 8), read(sizes + 16)
    cols, split, sums = read(sizes + 24), read(sizes + 32), room + read(sizes + 40)
    offset = splat(np.int32(-128 * halves(x, cols, split, room)), 64)
    tables, weights = weights, weights + CODES * planes
    for _ in range(rows // ROWS):
        for p in range(planes):
            found = _block(weights, room, chunks, tables + CODES * p)
            if split:
                found = add32(mul32(found, 64), _block(weights, room + cols + 64, chunks, tables + CODES * p))
            store(sums + 4 * ROWS * p, add32(found, offset))
        _joined(sums, planes, y)
        weights, y = weights + 4 * ROWS * chunks, y + 4 * ROWS
