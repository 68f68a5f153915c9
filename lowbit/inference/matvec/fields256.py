"""Fields of 1, 2 or 4 bits shifted and masked out of bytes, for processors without the widest vectors."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import compiled, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, affine, codes, fields, halves
from lowbit.inference.vectors import (
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

ROWS = 32


@matvec.register
@dataclasses.dataclass(frozen=True)
class Fields256(Member):
    """Sums of 16 bits, widened before they could overflow."""

    rank: ClassVar[int] = 20
    needs: ClassVar[frozenset[str]] = frozenset(("avx2",))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Levels that are at most 16 multiples of a step; activations of up to 13 bits, in two halves above 8."""
        return bits <= 13 and affine(grid.levels)[2] < 16

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Blocks of rows, chunks of columns, rows, then 4 bytes of which each holds a few columns."""
        step, base, top = affine(grid.levels)
        width = 1 if top < 2 else 2 if top < 4 else 4
        packed = fields(codes(grid), width, ROWS)
        rows, chunks = len(packed) * ROWS, packed.shape[1]
        safe = (2**15 - 1) // (top * 127 * 2 * (8 // width))  # chunks before 16 bits could overflow
        sizes = [rows, chunks, width, step, base, grid.whole.shape[1], bits > 8, safe]
        return Layout(sizes, packed, rows, room=2 * (grid.whole.shape[1] + 64))

    @property
    def address(self) -> int:
        """AVX2."""
        return _multiply.address


@compiled.inner
def _chunk1(codes, x):
    sums = splat(np.int32(0), ROWS)
    for p in range(8):
        sums = add16(sums, bytes256(both(right16(codes, p), 0x01010101), spread32(x + 4 * p, 8)))
    return sums


@compiled.inner
def _chunk2(codes, x):
    sums = splat(np.int32(0), ROWS)
    for p in range(4):
        sums = add16(sums, bytes256(both(right16(codes, 2 * p), 0x03030303), spread32(x + 4 * p, 8)))
    return sums


@compiled.inner
def _chunk4(codes, x):
    sums = bytes256(both(codes, 0x0F0F0F0F), spread32(x, 8))
    return add16(sums, bytes256(both(right16(codes, 4), 0x0F0F0F0F), spread32(x + 4, 8)))


@compiled.inner
def _block1(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk1(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 32, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@compiled.inner
def _block2(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk2(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 16, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@compiled.inner
def _block4(weights, x, chunks, safe):
    total, ones, chunk = splat(np.int32(0), ROWS), splat(np.int32(0x00010001), 8), 0
    while chunk < chunks:
        until, sums = min(chunk + safe, chunks), splat(np.int32(0), ROWS)
        while chunk < until:
            sums = add16(sums, _chunk4(load(weights, ROWS), x))
            weights, x, chunk = weights + 4 * ROWS, x + 8, chunk + 1
        total = add32(total, pairs256(sums, ones))
    return total


@compiled.inner
def _block(width, weights, x, chunks, safe):
    if width == 1:
        return _block1(weights, x, chunks, safe)
    if width == 2:
        return _block2(weights, x, chunks, safe)
    return _block4(weights, x, chunks, safe)


@compiled.product
def _multiply(sizes, weights, x, room, y):
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
