"""Masked fields times bytes, 64 rows at a time: AVX-512 with VNNI."""

import numpy as np

from lowbit.inference.matvec.fields512 import ROWS
from lowbit.inference.native.emit import inner
from lowbit.inference.native.halves import halves
from lowbit.inference.native.vectors import add32, both, bytes512, load, mul32, read, right32, splat, spread32, store


@inner
def _block2(weights, x, chunks):
    a = b = c = d = splat(np.int32(0), 64)
    for _ in range(chunks):
        codes = load(weights, 64)
        a = bytes512(a, both(codes, 0x03030303), spread32(x, 16))
        b = bytes512(b, both(codes, 0x0C0C0C0C), spread32(x + 4, 16))
        c = bytes512(c, both(codes, 0x30303030), spread32(x + 8, 16))
        d = bytes512(d, both(codes, 0xC0C0C0C0), spread32(x + 12, 16))
        weights, x = weights + 256, x + 16
    return add32(add32(a, right32(b, 2)), add32(right32(c, 4), right32(d, 6)))


@inner
def _block4(weights, x, chunks):
    a = b = splat(np.int32(0), 64)
    for _ in range(chunks):
        codes = load(weights, 64)
        a = bytes512(a, both(codes, 0x0F0F0F0F), spread32(x, 16))
        b = bytes512(b, both(codes, 0xF0F0F0F0), spread32(x + 4, 16))
        weights, x = weights + 256, x + 8
    return add32(a, right32(b, 4))


@inner
def _block8(weights, x, chunks):
    a = splat(np.int32(0), 64)
    for _ in range(chunks):
        a = bytes512(a, load(weights, 64), spread32(x, 16))
        weights, x = weights + 256, x + 4
    return a


@inner
def _block(width, weights, x, chunks):
    if width == 2:
        return _block2(weights, x, chunks)
    if width == 4:
        return _block4(weights, x, chunks)
    return _block8(weights, x, chunks)


def multiply(sizes, weights, x, room, y):
    """Blocks of 64 rows; activations of more than eight bits in two halves."""
    rows, chunks, width = read(sizes), read(sizes + 8), read(sizes + 16)
    step, base, cols, split = read(sizes + 24), read(sizes + 32), read(sizes + 40), read(sizes + 48)
    total = halves(x, cols, split, room)
    offset = splat(np.int32(base * total), 64)
    for _ in range(rows // ROWS):
        sums = _block(width, weights, room, chunks)
        if split:
            sums = add32(mul32(sums, 64), _block(width, weights, room + cols + 64, chunks))
        store(y, add32(mul32(sums, step), offset))
        weights, y = weights + 256 * chunks, y + 4 * ROWS
