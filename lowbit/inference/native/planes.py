"""Codes looked up in tables of bytes and multiplied by bytes, 64 rows at a time: AVX-512 with VNNI and VBMI."""

import numba
import numpy as np

from lowbit.inference.matvec.planes import CODES, ROWS
from lowbit.inference.native import vectors as v
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves


@inner
def _block(weights, x, chunks, table):
    digit, sums = v.load(table, 16), v.splat(np.int32(0), 64)
    for _ in range(chunks):
        sums = v.bytes512(sums, v.find512(digit, v.load(weights, 64)), v.spread32(x, 16))
        weights, x = weights + 256, x + 4
    return sums


@inner
def _joined(sums, planes, y):
    """The sums of all digits, rounded to float32 once."""
    of = numba.carray(v.pointer(sums), (planes, ROWS), np.int32)
    out = numba.carray(v.pointer(y), ROWS, np.float32)
    for r in range(ROWS):
        total = np.int64(0)
        for p in range(planes):
            total += np.int64(of[p, r]) << (8 * p)
        out[r] = np.float32(total)


def multiply(sizes, weights, x, buffer, y):
    """Each block once for every digit."""
    rows, chunks, planes = v.read(sizes), v.read(sizes + 8), v.read(sizes + 16)
    cols, split, sums = v.read(sizes + 24), v.read(sizes + 32), buffer + v.read(sizes + 40)
    offset = v.splat(np.int32(-128 * halves(x, cols, split, buffer)), 64)
    tables, weights = weights, weights + CODES * planes
    for _ in range(rows // ROWS):
        for p in range(planes):
            sums_of_digit = _block(weights, buffer, chunks, tables + CODES * p)
            if split:
                sums_of_digit = v.add32(
                    v.mul32(sums_of_digit, 64), _block(weights, buffer + cols + 64, chunks, tables + CODES * p)
                )
            v.store(sums + 4 * ROWS * p, v.add32(sums_of_digit, offset))
        _joined(sums, planes, y)
        weights, y = weights + 4 * ROWS * chunks, y + 4 * ROWS
