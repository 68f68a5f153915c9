"""What a kernel is: which matrices it multiplies, how it lays them out, and a compiled function."""

import abc
import dataclasses
import functools
import math
from typing import ClassVar

import numba
import numpy as np
from jaxtyping import Int16, Int32, Integer, UInt8

from lowbit.inference import compiled
from lowbit.inference.grid import Grid
from lowbit.inference.vectors import pointer


class Layout:
    """A matrix in the order a kernel reads it, and the room it works in."""

    def __init__(self, sizes: list[int], weights: np.ndarray, rows: int, room: int = 64):
        self.sizes = np.array(sizes, np.int64)
        self.weights = compiled.aligned(weights.reshape(-1).view(np.uint8))
        self.rows = rows  # that the kernel writes, padding among them
        self.room = compiled.aligned(np.zeros(room, np.uint8))


@dataclasses.dataclass(frozen=True)
class Member(abc.ABC):
    r"""A kernel for $y_r = \sum_k i_{rk} q_k$ in 32 bits, exact."""

    rank: ClassVar[int]  # the fitting kernel of the highest rank is taken
    needs: ClassVar[frozenset[str]] = frozenset()  # features of the processor, as LLVM names them

    @abc.abstractmethod
    def fits(self, grid: Grid, bits: int) -> bool:
        """Whether it multiplies such a matrix with activations of so many bits."""

    @abc.abstractmethod
    def layout(self, grid: Grid, bits: int) -> Layout:
        """The matrix as the kernel reads it."""

    @property
    @abc.abstractmethod
    def address(self) -> int:
        """Of the compiled function, with the signature `compiled.PRODUCT`."""


class Product:
    """A matrix laid out for a kernel."""

    def __init__(self, member: Member, grid: Grid, bits: int):
        self.member, self.bits = member, bits
        self.rows, self.cols = grid.whole.shape
        laid = member.layout(grid, bits)
        self.nbytes = laid.weights.nbytes
        self.x = compiled.aligned(np.zeros(self.cols + 256, np.int16))  # zeros behind the last, as kernels read on
        self.parts = (member.address, laid.sizes, laid.weights, laid.room, self.x, np.zeros(laid.rows, np.int32))

    def __call__(self, q: Int16[np.ndarray, " cols"]) -> Int32[np.ndarray, " rows"]:
        """The product with one vector; overwritten by the next call."""
        self.x[: self.cols] = q
        address, sizes, weights, room, x, y = self.parts
        compiled.call_at(address, sizes, weights, x, room, y)
        return y[: self.rows]


def affine(levels: tuple[int, ...]) -> tuple[int, int, int]:
    """Step, offset and the largest code: levels as `step * code + offset` with codes from 0.

    >>> affine((-1, 0, 1)), affine((-3, -1, 1, 3)), affine((-4, -2, -1, 0, 1, 2, 4))
    ((1, -1, 2), (2, -3, 3), (1, -4, 8))
    """
    step = functools.reduce(math.gcd, (level - levels[0] for level in levels)) or 1
    return step, levels[0], (levels[-1] - levels[0]) // step


def codes(grid: Grid) -> UInt8[np.ndarray, "rows cols"]:
    """Each weight as a multiple of the step, from 0."""
    step, base, _ = affine(grid.levels)
    of = ((np.arange(256).astype(np.uint8).view(np.int8).astype(np.int16) - base) // step).astype(np.uint8)
    return of[grid.whole.view(np.uint8)]


def padded(
    whole: Integer[np.ndarray, "rows cols"], rows: int, cols: int, fill: int
) -> Integer[np.ndarray, "more wider"]:
    """Up to multiples of `rows` and `cols`."""
    extra = ((0, -whole.shape[0] % rows), (0, -whole.shape[1] % cols))
    return np.pad(whole, extra, constant_values=fill)


def fields(codes: Integer[np.ndarray, "rows cols"], width: int, block: int) -> UInt8[np.ndarray, "blocks chunks x 4"]:
    """Bytes of fields of `width` bits: four bytes of a row beside those of the next, then the next columns."""
    count = 8 // width
    codes = padded(codes, block, 4 * count, 0)
    chunks = codes.reshape(len(codes), -1, count, 4)
    packed = np.zeros_like(chunks[:, :, 0])
    for place in range(count):
        packed |= chunks[:, :, place] << width * place
    return packed.reshape(-1, block, *packed.shape[1:]).transpose(0, 2, 1, 3)


@compiled.inner
def halves(x, cols, split, room):
    """Activations as bytes, where `split` the upper part and the six lowest bits; gives their sum."""
    q = numba.carray(pointer(x), cols, np.int16)
    high = numba.carray(pointer(room), cols, np.int8)
    low = numba.carray(pointer(room + cols + 64), cols, np.int8)
    total = np.int32(0)
    for k in range(cols):
        total += np.int32(q[k])
        high[k] = q[k] >> 6 if split else q[k]
        low[k] = q[k] & 63
    return np.int64(total)
