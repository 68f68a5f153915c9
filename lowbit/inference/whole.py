"""Arithmetic of a microcontroller: products, scales and roundings of whole numbers that 32 bits hold."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64, Integer

from lowbit.hardware.fixed import shifted
from lowbit.inference.matvec.base import affine
from lowbit.registry import InputError

INT32 = 2**31 - 1  # the largest of 32 bits
LIMIT = 2**30 - 1  # of Q12, so that 32 bits hold the sum of two
FINEST = 30  # bits of a multiplier below Q12, at most
ENTRIES = 256  # of the table of tanh between 0 and 8
# tanh at 0, 1/32, ..., 8 in Q15, the last below 1.
TANH = np.minimum(np.rint(np.tanh(np.arange(ENTRIES + 1) / 32) * 2**15), 2**15 - 1).astype(np.int64)
ALTERNATIVE = "lowbit.load and ONNX run it as it is"  # the end of an error message


class Affine(NamedTuple):
    """A product in whole numbers and what brings it to Q12 at each step: $(m_{tr} y_r + 2^k b_{tr}) / 2^k$."""

    whole: Integer[np.ndarray, "rows cols"]
    levels: tuple[int, ...]
    factor: Int32[np.ndarray, "slots rows"]  # m
    shift: Int32[np.ndarray, "slots rows"]  # b, Q12
    bits: int  # k

    @classmethod
    def of(
        cls,
        part: str,
        whole: Integer[np.ndarray, "rows cols"],
        levels: tuple[int, ...],
        scale: Float[np.ndarray, "*#slots rows"],
        shift: Float[np.ndarray, "slots rows"],
    ) -> "Affine":
        """Whole numbers with scales and shifts, as many bits of a scale below the point as 32 bits hold."""
        scale = np.broadcast_to(scale, shift.shape)
        largest = np.abs(scale).max()
        bits = min(FINEST, math.floor(math.log2(LIMIT / max(largest, 1e-30))) - 12)
        if bits < 0:
            raise InputError(f"{part} products are scaled by {largest:.3g}, too much for 32 bits: {ALTERNATIVE}")
        factor = np.rint(scale * 2.0 ** (12 + bits)).astype(np.int32)
        return cls(whole, levels, factor, numbers(part, shift, 12), bits)

    def __call__(self, y: Integer[np.ndarray, "*batch rows"], t: int = 0) -> Int64[np.ndarray, "*batch rows"]:
        """Q12 from sums of whole numbers, at most `LIMIT`; a step past the last slot takes the last."""
        slot = min(t, len(self.factor) - 1)
        offset = self.shift[slot].astype(np.int64) << self.bits
        return clipped(y.astype(np.int64) * self.factor[slot] + offset, self.bits)

    def product(self, q: Int64[np.ndarray, "*batch cols"]) -> Int64[np.ndarray, "*batch rows"]:
        """Sums of whole numbers, which float64 holds and multiplies faster."""
        return (q.astype(np.float64) @ self.whole.T.astype(np.float64)).astype(np.int64)


def span(levels: tuple[int, ...]) -> int:
    """The most that a product of one weight adds in the exported C, which sums codes from 0 and adds the base apart."""
    step, base, top = affine(levels)
    return step * top + abs(base)


def numbers(part: str, values: np.ndarray, bits: int) -> Int32[np.ndarray, "..."]:
    """Values with so many bits below the point; raises `InputError` where 31 bits do not hold them."""
    whole = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if np.abs(whole).max(initial=0) > LIMIT:
        raise InputError(f"{part}: {np.abs(values).max():.3g} is too much for 32 bits of fixed point: {ALTERNATIVE}")
    return whole.astype(np.int32)


def clipped(values: Int64[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Over $2^{bits}$, halves up, and at most `LIMIT`."""
    return np.clip(shifted(values, bits), -LIMIT, LIMIT)


def tanh(z: Int64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
    """Q15 from Q12."""
    return _between(z, 7)


def sigmoid(z: Int64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
    r"""$\frac12 + \frac12\tanh(z / 2)$, Q15 from Q12."""
    return shifted(2**15 + _between(z, 8), 1)


def _between(z: np.ndarray, bits: int) -> np.ndarray:
    """The table of tanh, its entries $2^{bits}$ apart, between them on a straight line."""
    size = np.minimum(np.abs(z), (ENTRIES << bits) - 1)
    entry, rest = size >> bits, size & ((1 << bits) - 1)
    value = TANH[entry] + shifted((TANH[entry + 1] - TANH[entry]) * rest, bits)
    return np.where(z < 0, -value, value)
