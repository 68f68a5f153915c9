"""Fields of 2, 4 or 8 bits masked out of bytes and multiplied by bytes, 64 rows at a time."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import compiled, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, affine, codes, fields, halves
from lowbit.inference.vectors import add32, both, bytes512, load, mul32, read, right32, splat, spread32, store

ROWS = 64


@matvec.register
@dataclasses.dataclass(frozen=True)
class Fields512(Member):
    """A mask and a product of bytes for each field, unshifted: the sums are shifted, once, at the end."""

    rank: ClassVar[int] = 30
    needs: ClassVar[frozenset[str]] = frozenset(("avx512f", "avx512bw", "avx512vnni"))

    def fits(self, grid: Grid, bits: int) -> bool:
        """Levels that are at most 256 multiples of a step; activations of up to 13 bits, in two halves above 8."""
        return bits <= 13

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Blocks of rows, chunks of columns, rows, then 4 bytes of which each holds a few columns."""
        step, base, top = affine(grid.levels)
        width = 2 if top < 4 else 4 if top < 16 else 8
        packed = fields(codes(grid), width, ROWS)
        rows, chunks = len(packed) * ROWS, packed.shape[1]
        sizes = [rows, chunks, width, step, base, grid.whole.shape[1], bits > 8]
        return Layout(sizes, packed, rows, room=2 * (grid.whole.shape[1] + 64))

    @property
    def address(self) -> int:
        """AVX-512 with VNNI."""
        return _multiply.address


@compiled.inner
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


@compiled.inner
def _block4(weights, x, chunks):
    a = b = splat(np.int32(0), 64)
    for _ in range(chunks):
        codes = load(weights, 64)
        a = bytes512(a, both(codes, 0x0F0F0F0F), spread32(x, 16))
        b = bytes512(b, both(codes, 0xF0F0F0F0), spread32(x + 4, 16))
        weights, x = weights + 256, x + 8
    return add32(a, right32(b, 4))


@compiled.inner
def _block8(weights, x, chunks):
    a = splat(np.int32(0), 64)
    for _ in range(chunks):
        a = bytes512(a, load(weights, 64), spread32(x, 16))
        weights, x = weights + 256, x + 4
    return a


@compiled.inner
def _block(width, weights, x, chunks):
    if width == 2:
        return _block2(weights, x, chunks)
    if width == 4:
        return _block4(weights, x, chunks)
    return _block8(weights, x, chunks)


@compiled.product
def _multiply(sizes, weights, x, room, y):
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
