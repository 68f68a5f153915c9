"""Masked fields times bytes, 64 rows at a time: AVX-512 with VNNI."""

import numpy as np

from lowbit.inference.matvec.fields512 import ROWS
from lowbit.inference.native import vectors as v
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves


@inner
def _block2(weights, x, chunks):
    a = b = c = d = v.splat(np.int32(0), 64)
    for _ in range(chunks):
        codes = v.load(weights, 64)
        a = v.bytes512(a, v.both(codes, 0x03030303), v.spread32(x, 16))
        b = v.bytes512(b, v.both(codes, 0x0C0C0C0C), v.spread32(x + 4, 16))
        c = v.bytes512(c, v.both(codes, 0x30303030), v.spread32(x + 8, 16))
        d = v.bytes512(d, v.both(codes, 0xC0C0C0C0), v.spread32(x + 12, 16))
        weights, x = weights + 256, x + 16
    return v.add32(v.add32(a, v.right32(b, 2)), v.add32(v.right32(c, 4), v.right32(d, 6)))


@inner
def _block4(weights, x, chunks):
    a = b = v.splat(np.int32(0), 64)
    for _ in range(chunks):
        codes = v.load(weights, 64)
        a = v.bytes512(a, v.both(codes, 0x0F0F0F0F), v.spread32(x, 16))
        b = v.bytes512(b, v.both(codes, 0xF0F0F0F0), v.spread32(x + 4, 16))
        weights, x = weights + 256, x + 8
    return v.add32(a, v.right32(b, 4))


@inner
def _block8(weights, x, chunks):
    a = v.splat(np.int32(0), 64)
    for _ in range(chunks):
        a = v.bytes512(a, v.load(weights, 64), v.spread32(x, 16))
        weights, x = weights + 256, x + 4
    return a


@inner
def _block(width, weights, x, chunks):
    if width == 2:
        return _block2(weights, x, chunks)
    if width == 4:
        return _block4(weights, x, chunks)
    return _block8(weights, x, chunks)


def multiply(sizes, weights, x, buffer, y):
    """Blocks of 64 rows; activations of more than eight bits in two halves."""
    rows, chunks, width = v.read(sizes), v.read(sizes + 8), v.read(sizes + 16)
    step, base, cols, split = v.read(sizes + 24), v.read(sizes + 32), v.read(sizes + 40), v.read(sizes + 48)
    total = halves(x, cols, split, buffer)
    offset = v.splat(np.int32(base * total), 64)
    for _ in range(rows // ROWS):
        sums = _block(width, weights, buffer, chunks)
        if split:
            sums = v.add32(v.mul32(sums, 64), _block(width, weights, buffer + cols + 64, chunks))
        v.store(y, v.add32(v.mul32(sums, step), offset))
        weights, y = weights + 256 * chunks, y + 4 * ROWS
