r"""Fixed point: a number of $b$ bits with $f$ of them after the point is an integer over $2^f$.

Rounding is to the nearest, halves up, and values out of range saturate. All arithmetic is on integers, except inside
a matrix product whose partial sums a float holds exactly.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int64

from lowbit.registry import InputError

EXACT = {np.float32: 2**24, np.float64: 2**53}  # whole numbers up to here are exact (IEEE 754)


@dataclasses.dataclass(frozen=True)
class Format:
    """Signed integers of `bits` bits, `fraction` of them after the point.

    >>> q = Format(4, 3)
    >>> q.low, q.high, q.quantize(np.array([0.3125, -2.0])).tolist()
    (-8, 7, [3, -8])
    """

    bits: int
    fraction: int

    @property
    def low(self) -> int:
        """The least integer."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def one(self) -> int:
        """The integer of 1, whether or not it is in range."""
        return 1 << self.fraction

    def quantize(self, real: Float[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """The nearest integers, halves up, saturated."""
        whole = np.floor(np.asarray(real, np.float64) * 2.0**self.fraction + 0.5)
        return np.clip(whole, self.low, self.high).astype(np.int64)

    def real(self, whole: Int64[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The real numbers of integers."""
        return whole / 2.0**self.fraction

    def saturate(self, whole: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """Integers clipped to the range of the format."""
        return np.clip(whole, self.low, self.high)


def shifted(whole: Int64[np.ndarray, "*shape"], places: int) -> Int64[np.ndarray, "*shape"]:
    """Integers over 2^places, rounded to the nearest, halves up.

    >>> shifted(np.array([5, 6, -6, -7]), 2).tolist()
    [1, 2, -1, -2]
    """
    return whole if places == 0 else (whole + (1 << (places - 1))) >> places


def product(
    vectors: Int64[np.ndarray, "batch cols"], matrix: Int64[np.ndarray, "rows cols"], largest: int
) -> Int64[np.ndarray, "batch rows"]:
    """Exact products with every row, by the fastest float that holds all partial sums.

    `largest` bounds the magnitude of `vectors`. Raises `InputError` where no float is wide enough.
    """
    bound = int(np.abs(matrix).sum(axis=1).max()) * largest
    for kind, exact in EXACT.items():
        if bound < exact:
            return (vectors.astype(kind) @ matrix.T.astype(kind)).astype(np.int64)
    raise InputError(f"sums up to {bound:.1e} are past 2^53, where floats skip whole numbers")


def saturating(
    vectors: Int64[np.ndarray, "batch cols"], matrix: Int64[np.ndarray, "rows cols"], bits: int
) -> Int64[np.ndarray, "batch rows"]:
    """Products added column by column in an accumulator of `bits` bits that saturates at every addition."""
    accumulator = Format(bits, 0)
    total = np.zeros((len(vectors), len(matrix)), np.int64)
    for x, w in zip(vectors.T, matrix.T, strict=True):
        total = accumulator.saturate(total + x[:, None] * w)
    return total


@dataclasses.dataclass(frozen=True)
class Table:
    """A function as values at evenly spaced points; an argument takes the nearest point, or the last one."""

    entries: Int64[np.ndarray, " points"]  # from the least argument to the largest
    places: int  # bits of the argument below the spacing of the points

    @classmethod
    def of(
        cls, function: Callable[[np.ndarray], np.ndarray], reach: int, bits: int, argument: Format, out: Format
    ) -> "Table":
        """`function` from $-2^{reach}$ to $2^{reach}$ at $2^{bits}$ points, or fewer where `argument` is coarser."""
        bits = min(bits, argument.fraction + reach + 1)
        places = argument.fraction + reach + 1 - bits
        grid = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
        return cls(out.quantize(function(grid * 2.0 ** (places - argument.fraction))), places)

    def __call__(self, whole: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """The values at the nearest points."""
        half = len(self.entries) // 2
        return self.entries[np.clip(shifted(whole, self.places), -half, half - 1) + half]
