"""Quantized matrices as sums of integer matrices, each with one factor a row, as hardware adds them."""

import math
from fractions import Fraction
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor


class Plane(NamedTuple):
    """An integer matrix and the factor of each of its rows: one term of a quantized matrix."""

    whole: Int64[Tensor, "rows cols"]
    factor: Float[Tensor, " rows"]


def whole(levels: tuple[float, ...]) -> tuple[int, ...]:
    """The smallest integers in the proportions of the levels.

    >>> whole((-1.0, -1 / 3, 1 / 3, 1.0)), whole((-0.5, 0.0, 0.5))
    ((-3, -1, 1, 3), (-1, 0, 1))
    """
    exact = [Fraction(level).limit_denominator(2**22) for level in levels]
    unit = math.lcm(*(level.denominator for level in exact))
    common = math.gcd(*(int(level * unit) for level in exact))
    return tuple(int(level * unit) // common for level in exact)


def split(
    codes: UInt8[Tensor, "rows cols"], book: Float[Tensor, "#rows levels"], levels: tuple[float, ...]
) -> tuple[Plane, ...]:
    """One plane where each row's levels are in the proportions of `levels`; else one for each level but zero."""
    numbers, book = torch.tensor(whole(levels), device=codes.device), book.expand(len(codes), -1)
    factor = book[:, -1] / numbers[-1]
    if torch.allclose(book, factor[:, None] * numbers, rtol=1e-5, atol=0):
        return (Plane(numbers[codes.long()], factor),)
    nonzero = [k for k, number in enumerate(numbers.tolist()) if number]
    return tuple(Plane((codes == k) * numbers[k].sign(), book[:, k].abs()) for k in nonzero)
