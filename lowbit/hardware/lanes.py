"""Lanes: what one weight does to one activation, how a weight is coded in memory, and how wide the sum gets."""

import abc
import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from lowbit.quantizers import Quantizer, planes
from lowbit.registry import InputError, Registry, bounded

registry = Registry("lane")
register, names, build = registry.register, registry.names, registry.build


@dataclasses.dataclass(frozen=True)
class Lane(abc.ABC):
    """One accumulator and the arithmetic before it; weights are whole numbers."""

    title: ClassVar[str]

    @property
    @abc.abstractmethod
    def values(self) -> Int64[np.ndarray, " codes"]:
        """The weight of each code."""

    @functools.cached_property
    def weight_bits(self) -> int:
        """Bits of a code in memory."""
        return len(self.values).bit_length() - 1

    @property
    def largest(self) -> int:
        """The largest magnitude of a weight."""
        return int(np.abs(self.values).max())

    def sum_bits(self, act_bits: int, additions: int = 1) -> int:
        """Bits that hold any sum of `additions` products.

        >>> build("binary").sum_bits(12, 1024), build("multiply").sum_bits(12, 1024)
        (23, 34)
        """
        return ((additions << (act_bits - 1)) * self.largest).bit_length() + 1

    def encode(self, weights: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """The codes of weights; raises `InputError` for a weight without a code."""
        values, codes = np.unique(self.values, return_index=True)
        places = np.searchsorted(values, weights).clip(max=len(values) - 1)
        if not np.array_equal(values[places], weights):
            missing = np.unique(weights[values[places] != weights])[:4].tolist()
            raise InputError(f"a {self.title} lane has no weights {missing}")
        return codes[places]

    def decode(self, codes: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """The weights of codes."""
        return self.values[codes]


@register
@dataclasses.dataclass(frozen=True)
class Binary(Lane):
    """Adds or subtracts: code 1 is +1, code 0 is -1."""

    title: ClassVar[str] = "binary"
    values: ClassVar[np.ndarray] = np.array([-1, 1])


@register
@dataclasses.dataclass(frozen=True)
class Ternary(Lane):
    """Adds, subtracts or skips: the low bit says whether, the high bit says subtract."""

    title: ClassVar[str] = "ternary"
    values: ClassVar[np.ndarray] = np.array([0, 1, 0, -1])


@register
@dataclasses.dataclass(frozen=True)
class Shift(Lane):
    """Adds or subtracts the activation shifted: exponent field 0 is a zero weight, k is $2^{k-1}$; then the sign.

    Exponents past the span are zero weights too.
    """

    title: ClassVar[str] = "shift"
    span: int = 8  # powers of two

    def __post_init__(self):
        bounded(self, "lane 'shift'", span=(1, 40))

    @property
    def values(self) -> Int64[np.ndarray, " codes"]:
        """Zero and the powers, then their negatives."""
        powers = np.zeros(1 << self.span.bit_length(), np.int64)
        powers[1 : self.span + 1] = 1 << np.arange(self.span)
        return np.concatenate((powers, -powers))


@register
@dataclasses.dataclass(frozen=True)
class Odd(Lane):
    """Multiplies by an odd number: the code is all of it but its last bit, which is 1."""

    title: ClassVar[str] = "odd"
    bits: int = 3  # of the code

    def __post_init__(self):
        bounded(self, "lane 'odd'", bits=(1, 12))

    @property
    def values(self) -> Int64[np.ndarray, " codes"]:
        """The odd numbers."""
        return 2 * _signed(self.bits) + 1


@register
@dataclasses.dataclass(frozen=True)
class Multiply(Lane):
    """Multiplies by a two's complement number."""

    title: ClassVar[str] = "multiply"
    bits: int = 12
    multiplier: str = "booth"  # or "array": how synthesis builds it; the values are the same

    def __post_init__(self):
        bounded(self, "lane 'multiply'", bits=(2, 16))
        if self.multiplier not in ("array", "booth"):
            raise InputError(f"lane 'multiply' has no multiplier {self.multiplier!r}; known: array, booth")

    @property
    def values(self) -> Int64[np.ndarray, " codes"]:
        """The signed numbers."""
        return _signed(self.bits)


def _signed(bits: int) -> Int64[np.ndarray, " codes"]:
    codes = np.arange(1 << bits)
    return codes - ((codes >> (bits - 1)) << bits)


def lane_for(quantizer: Quantizer) -> Lane:
    """The smallest lane that holds every weight of a quantizer exactly; full precision gets 12 bits, as in A.

    >>> from lowbit import quantizers
    >>> [lane_for(quantizers.build(name)) for name in ("ternary", "exponential", "dorefa")]
    [Ternary(), Shift(span=33), Odd(bits=3)]
    """
    operation = quantizer.lane(act_bits=1).operation
    if not quantizer.levels:
        return Multiply()
    if operation in ("add", "add per bit"):
        return Binary()
    if operation == "add or skip":
        return Ternary()
    if operation == "shift":
        powers = [math.log2(abs(level)) for level in quantizer.levels if level]
        return Shift(int(max(powers) - min(powers)) + 1)
    numbers = planes.whole(quantizer.levels)
    if all(number % 2 for number in numbers):
        return Odd(max(map(abs, numbers)).bit_length())
    return Multiply(max(-min(numbers) - 1, max(numbers)).bit_length() + 1)
