"""Codes packed into bytes: as many digits a byte as fit, so that a trit costs 1.6 bits and a bit one."""

import numpy as np
from jaxtyping import UInt8, UInt16

WIDE = 256  # levels: with more, the low digit of a code takes a byte and the high digits are packed after it


def per_byte(levels: int) -> int:
    """How many codes of `levels` values one byte holds.

    >>> [per_byte(levels) for levels in (2, 3, 4, 15, 66)]
    [8, 5, 4, 2, 1]
    """
    digits = 1
    while levels ** (digits + 1) <= 256:
        digits += 1
    return digits


def pack(codes: UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"], levels: int) -> UInt8[np.ndarray, " bytes"]:
    """Codes below `levels` as the digits of bytes, the first code the lowest digit."""
    if levels > WIDE:
        low, high = (codes % WIDE).ravel().astype(np.uint8), (codes // WIDE).astype(np.uint8)
        return np.concatenate((low, pack(high, -(-levels // WIDE))))
    digits = per_byte(levels)
    padded = np.zeros(-(-codes.size // digits) * digits, np.uint8)
    padded[: codes.size] = codes.ravel()
    powers = levels ** np.arange(digits, dtype=np.uint16)
    return (padded.reshape(-1, digits) @ powers).astype(np.uint8)


def unpack(
    packed: UInt8[np.ndarray, " bytes"], levels: int, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"]:
    """The inverse of `pack`: the codes, of the shape given."""
    if levels > WIDE:
        size = int(np.prod(shape))
        high = unpack(packed[size:], -(-levels // WIDE), shape).astype(np.uint16)
        return high * np.uint16(WIDE) + packed[:size].reshape(shape)
    powers = levels ** np.arange(per_byte(levels), dtype=np.uint16)
    digits = (np.arange(256)[:, None] // powers % levels).astype(np.uint8)  # of every byte there is
    return digits[packed].ravel()[: int(np.prod(shape))].reshape(shape)
