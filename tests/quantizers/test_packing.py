import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lowbit.quantizers import packing


@given(st.integers(2, 256), st.integers(0, 60), st.integers(0, 10**6))
def test_unpacking_gives_back_what_was_packed(levels, count, seed):
    codes = np.random.default_rng(seed).integers(0, levels, count).astype(np.uint8)
    packed = packing.pack(codes, levels)
    assert np.array_equal(packing.unpack(packed, levels, codes.shape), codes)
    assert len(packed) == -(-count // packing.per_byte(levels))


@given(st.integers(2, 256))
def test_a_byte_holds_as_many_codes_as_fit(levels):
    digits = packing.per_byte(levels)
    assert levels**digits <= 256 < levels ** (digits + 1)


@given(st.integers(257, 2**16), st.integers(0, 60), st.integers(0, 10**6))
def test_codes_wider_than_a_byte_are_unpacked(levels, count, seed):
    codes = np.random.default_rng(seed).integers(0, levels, count).astype(np.uint16)
    assert np.array_equal(packing.unpack(packing.pack(codes, levels), levels, codes.shape), codes)


def test_twelve_bits_take_a_byte_and_a_half():
    assert len(packing.pack(np.zeros(100, np.uint16), 2**12 - 1)) == 150
