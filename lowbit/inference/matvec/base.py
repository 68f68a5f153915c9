"""The base class of kernels: which matrices they multiply, how these are laid out, and a compiled function."""

import abc
import ctypes
import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Int16, Int32, Integer, UInt8

from lowbit.compiled import address
from lowbit.inference import loader
from lowbit.inference.grid import Grid

# Addresses of: sizes (int64), weights, activations (int16), a buffer of intermediate values, sums.
PRODUCT = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)


class Layout:
    """A matrix in the order a kernel reads it, and the buffer it works in."""

    def __init__(self, sizes: list[int], weights: np.ndarray, rows: int, buffer: int = 64):
        self.sizes = np.array(sizes, np.int64)
        self.weights = loader.aligned(weights.reshape(-1).view(np.uint8))
        self.rows = rows  # that the kernel writes, padding among them
        self.buffer = loader.aligned(np.zeros(buffer, np.uint8))


@dataclasses.dataclass(frozen=True)
class Member(abc.ABC):
    r"""A kernel for $y_r = \sum_k i_{rk} q_k$, exact; `multiply` in the file of its name in `native` is its code."""

    rank: ClassVar[int]  # the fitting kernel of the highest rank is taken
    needs: ClassVar[frozenset[str]] = frozenset()  # features of the processor, as LLVM names them
    wide: ClassVar[bool] = False  # whether sums leave 32 bits: they come as float32, rounded once, else as int32

    @abc.abstractmethod
    def fits(self, grid: Grid, bits: int) -> bool:
        """Whether it multiplies such a matrix with activations of so many bits."""

    @abc.abstractmethod
    def layout(self, grid: Grid, bits: int) -> Layout:
        """The matrix as the kernel reads it."""

    @property
    def name(self) -> str:
        """As it is registered."""
        return type(self).__name__.lower()

    @property
    def address(self) -> int:
        """Of the compiled function, with the signature `PRODUCT`."""
        return loader.address(f"{self.name}.multiply")


class Product:
    """A matrix laid out for a kernel."""

    def __init__(self, member: Member, grid: Grid, bits: int):
        self.member = member
        self.rows, self.cols = grid.codes.shape
        self.layout = member.layout(grid, bits)
        self.x = loader.aligned(np.zeros(self.cols + 256, np.int16))  # zeros behind the last, as kernels read on
        self.y = loader.aligned(np.zeros(self.layout.rows, np.int32))
        self.z = loader.aligned(np.zeros(self.layout.rows, np.float32))
        arrays = (self.layout.sizes, self.layout.weights, self.x, self.layout.buffer, self.y, self.z)
        # As the cells read it: the kernel, its five arrays, the sums in float32.
        self.parts = np.array([member.address, *map(address, arrays), member.wide], np.int64)

    @property
    def nbytes(self) -> int:
        """Of the weights as the kernel reads them."""
        return self.layout.weights.nbytes

    def __call__(self, q: Int16[np.ndarray, " cols"]) -> Int32[np.ndarray, " rows"] | Float32[np.ndarray, " rows"]:
        """The product with one vector; overwritten by the next call."""
        self.x[: self.cols] = q
        kernel, sizes, weights, x, buffer, y, z, wide = self.parts.tolist()
        PRODUCT(kernel)(sizes, weights, x, buffer, z if wide else y)
        return (self.z if wide else self.y)[: self.rows]


def narrow(grid: Grid, bits: int) -> bool:
    """Whether 32 bits hold every sum."""
    return (grid.codes.shape[1] * max(map(abs, grid.levels))) << (bits - 1) < 2**31


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
    multiples = [(level - base) // step for level in grid.levels]
    return grid.codes if multiples == list(range(len(multiples))) else np.array(multiples, np.uint8)[grid.codes]


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
