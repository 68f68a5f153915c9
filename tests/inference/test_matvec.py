"""Every kernel gives the sums of numpy, exact to the last bit."""

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.inference import choose, loader, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Product, affine

POWERS = tuple(sorted(sign * 2**k for k in range(21) for sign in (-1, 1)))  # what an exponential quantizer uses
GRIDS = [(-1, 1), (-1, 0, 1), (-3, -1, 1, 3), (-4, -2, -1, 0, 1, 2, 4), tuple(range(-7, 8)), tuple(range(-128, 128))]
ODD = [(-70_000, -3, 0, 1, 129, 32_768), (-(2**33), 1, 2**33)]


def available(name):
    member = matvec.build(name)
    missing = member.needs - loader.features()
    if missing:
        pytest.skip(f"this processor has no {', '.join(sorted(missing))}")
    return member


def random_grid(levels, rows, cols, seed=0):
    codes = np.random.default_rng(seed).integers(0, len(levels), (rows, cols)).astype(np.uint8)
    return Grid(codes, levels, np.ones(rows, np.float32))


def exact(member, grid, q):
    """Returns the sums in 64 bits, as float32 where they exceed 32 bits."""
    y = grid.whole.astype(np.int64) @ q.astype(np.int64)
    return y.astype(np.float32) if member.wide else y


@pytest.mark.parametrize("name", matvec.names())
@given(data=st.data(), rows=st.integers(1, 200), cols=st.integers(1, 200), bits=st.sampled_from(choose.BITS))
@settings(deadline=None, max_examples=40)
def test_every_kernel_equals_the_reference(name, data, rows, cols, bits):
    member = available(name)
    grid = random_grid(data.draw(st.sampled_from([*GRIDS, POWERS, *ODD])), rows, cols, data.draw(st.integers(0, 99)))
    if not member.fits(grid, bits):
        return
    top = 2 ** (bits - 1) - 1
    q = np.random.default_rng(rows).integers(-top, top + 1, cols).astype(np.int16)
    np.testing.assert_array_equal(Product(member, grid, bits)(q), exact(member, grid, q))


@pytest.mark.parametrize("bits", choose.BITS)
@pytest.mark.parametrize("levels", [*GRIDS, POWERS, *ODD], ids=len)
@pytest.mark.parametrize("name", matvec.names())
def test_no_partial_sum_overflows(name, levels, bits):
    """All activations and all weights are at their bounds, with equal or opposite signs."""
    member, grid = available(name), random_grid(levels, 3, 2000)
    if not member.fits(grid, bits):
        pytest.skip("such a matrix is for other kernels")
    grid.codes[0], grid.codes[1] = 0, len(levels) - 1
    product, top = Product(member, grid, bits), 2 ** (bits - 1) - 1
    for q in (np.full(2000, top), np.full(2000, -top), np.where(grid.whole[2] < 0, -top, top)):
        np.testing.assert_array_equal(product(q.astype(np.int16)), exact(member, grid, q))


@pytest.mark.parametrize("bits", choose.BITS)
@pytest.mark.parametrize("levels", GRIDS, ids=len)
def test_a_kernel_is_found_for_every_grid(levels, bits):
    grid = random_grid(levels, 70, 90)
    best = choose.product(grid, bits)
    ranks = [member.rank for member in choose.members() if member.fits(grid, bits)]
    assert best.member.rank == max(ranks)


def test_levels_far_apart_have_a_kernel_where_the_processor_has_the_instructions():
    grid = random_grid(POWERS, 70, 90)
    for name in ("planes", "doubles"):
        assert available(name).fits(grid, 8)
        assert choose.is_exact(Product(available(name), grid, 8), grid, 8)
    assert choose.product(grid, 8).member.name == "planes"
    assert choose.product(random_grid((-(2**47), 1), 70, 90), 12) is None


def test_a_kernel_with_errors_is_not_chosen(monkeypatch):
    grid = random_grid((-1, 1), 40, 30)
    best, second, *_ = (member for member in choose.members() if member.fits(grid, 8))
    layout = type(best).layout
    wrong = Grid(1 - grid.codes, grid.levels, grid.scale)
    monkeypatch.setattr(type(best), "layout", lambda self, grid, bits: layout(self, wrong, bits))
    assert not choose.is_exact(Product(best, grid, 8), grid, 8)
    assert choose.product(grid, 8).member == second


def test_without_vector_instructions_two_kernels_remain(monkeypatch):
    monkeypatch.setattr(loader, "features", lambda: frozenset())
    assert [member.name for member in choose.members()] == ["doubles", "reference"]


def test_changed_object_code_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    code = loader.code("reference.multiply")
    (file,) = tmp_path.glob("*/reference.multiply-*.o")
    whole = file.read_bytes()
    assert loader.code("reference.multiply") == code
    assert whole.endswith(code)
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    file.write_bytes(damaged)
    assert loader.code("reference.multiply") != damaged[-len(code) :]
    assert file.read_bytes() != damaged


def test_packed_kernels_read_few_bits_per_weight():
    """Bits per weight of a matrix without padding: 16/3 bits hold five or three weights, or each weight has a field."""
    for name, levels, bits, most in [
        ("lookup", (-1, 1), 12, 16 / 15),
        ("lookup", (-1, 0, 1), 12, 16 / 9),
        ("fields512", (-1, 0, 1), 8, 2),
        ("fields512", tuple(range(-7, 8)), 8, 4),
        ("fields256", (-1, 1), 8, 1),
    ]:
        product = Product(available(name), random_grid(levels, 1280, 1440), bits)
        assert product.nbytes * 8 / product.rows / product.cols <= most * 1.01


def test_levels_are_multiples_of_a_step():
    for levels in GRIDS:
        step, base, top = affine(levels)
        assert set(levels) <= {step * code + base for code in range(top + 1)}
        assert (levels[-1], levels[0]) == (step * top + base, base)
