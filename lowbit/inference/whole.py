"""Arithmetic of a microcontroller: products, scales and roundings of whole numbers that 32 bits hold."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16, Int32, Int64, Integer

from lowbit.inference.matvec.base import affine
from lowbit.registry import InputError

MOST = 2**30 - 1  # of Q12, so that 32 bits hold the sum of two
CELL = 2**31 - 1  # of what 32 bits hold
FINEST = 30  # bits of a multiplier below Q12, at most
ENTRIES = 256  # of the table of tanh between 0 and 8
ELSEWHERE = "lowbit.load and ONNX run it as it is"  # which is the end of a refusal


class Affine(NamedTuple):
    """A product in whole numbers and what brings it to Q12 at each step: $(m_{tr} y_r + 2^k b_{tr}) / 2^k$."""

    whole: Integer[np.ndarray, "rows cols"]
    levels: tuple[int, ...]
    factor: Int32[np.ndarray, "slots rows"]  # m
    shift: Int32[np.ndarray, "slots rows"]  # b, Q12
    bits: int  # k

    def __call__(self, y: Integer[np.ndarray, "*batch rows"], t: int = 0) -> Int64[np.ndarray, "*batch rows"]:
        """Q12 from sums of whole numbers, at most `MOST`; a step past the last slot takes the last."""
        slot = min(t, len(self.factor) - 1)
        offset = self.shift[slot].astype(np.int64) << self.bits
        return clipped(y.astype(np.int64) * self.factor[slot] + offset, self.bits)


def scaled(
    part: str,
    whole: Integer[np.ndarray, "rows cols"],
    levels: tuple[int, ...],
    scale: Float[np.ndarray, "*#slots rows"],
    shift: Float[np.ndarray, "slots rows"],
) -> Affine:
    """Whole numbers with their scales and shifts, as many bits of a scale below the point as there is room for."""
    scale = np.broadcast_to(scale, shift.shape)
    largest = np.abs(scale).max()
    bits = min(FINEST, math.floor(math.log2(MOST / max(largest, 1e-30))) - 12)
    if bits < 0:
        raise InputError(f"{part} products are scaled by {largest:.3g}, too much for 32 bits: {ELSEWHERE}")
    factor = np.rint(scale * 2.0 ** (12 + bits)).astype(np.int32)
    return Affine(whole, levels, factor, numbers(part, shift, 12), bits)


def span(levels: tuple[int, ...]) -> int:
    """The most that a product of one weight adds, as the C sums it: codes from 0, and what they leave out apart."""
    step, base, top = affine(levels)
    return step * top + abs(base)


def product(affine: Affine, q: Int64[np.ndarray, "*batch cols"]) -> Int64[np.ndarray, "*batch rows"]:
    """Sums of whole numbers, which float64 holds and multiplies faster."""
    return (q.astype(np.float64) @ affine.whole.T.astype(np.float64)).astype(np.int64)


def numbers(part: str, values: np.ndarray, bits: int) -> Int32[np.ndarray, "..."]:
    """Values with so many bits below the point; raises `InputError` where 31 bits do not hold them."""
    found = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if np.abs(found).max(initial=0) > MOST:
        raise InputError(f"{part}: {np.abs(values).max():.3g} is too much for 32 bits of fixed point: {ELSEWHERE}")
    return found.astype(np.int32)


def rounded(values: Integer[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Over $2^{bits}$, halves up.

    >>> rounded(np.array([5, 6, -6]), 2).tolist()
    [1, 2, -1]
    """
    return (np.asarray(values, np.int64) + (1 << bits >> 1)) >> bits


def clipped(values: Integer[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Rounded, and at most what the sum of two may be."""
    return np.clip(rounded(values, bits), -MOST, MOST)


def table() -> Int16[np.ndarray, " entries"]:
    r"""tanh at $0, 1/32, \ldots, 8$ in Q15, the last below 1."""
    return np.minimum(np.rint(np.tanh(np.arange(ENTRIES + 1) / 32) * 2**15), 2**15 - 1).astype(np.int16)
