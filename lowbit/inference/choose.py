"""The kernel for a matrix on this machine: the best that fits, after it gave the reference's sums."""

import numpy as np

from lowbit.inference import compiled, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec import Member, Product
from lowbit.registry import InputError

BITS = (8, 12)  # of activations in whole numbers


def product(grid: Grid, bits: int, kernel: str = "") -> Product:
    """The matrix laid out for `kernel`, or for the best of those that equal the reference here.

    Raises `InputError` where the kernel that was asked for cannot.
    """
    usable = [member for member in members() if member.fits(grid, bits)]
    for member in usable if not kernel else [matvec.build(kernel)]:
        if member in usable:
            made = Product(member, grid, bits)
            if right(made, grid, bits):
                return made
    known = ", ".join(_name(member) for member in usable)
    raise InputError(f"kernel {kernel!r} cannot multiply this matrix on this machine; known: {known}")


def members() -> list[Member]:
    """The kernels whose instructions this machine has, best first."""
    found = [matvec.build(name) for name in matvec.names()]
    here = compiled.features()
    return sorted((each for each in found if each.needs <= here), key=lambda each: -each.rank)


def right(made: Product, grid: Grid, bits: int) -> bool:
    """Whether a product equals the reference on drawn activations and on the largest sum that there can be."""
    top = 2 ** (bits - 1) - 1
    cols = grid.whole.shape[1]
    drawn = np.random.default_rng(0).integers(-top, top + 1, cols).astype(np.int16)
    extreme = (np.where(grid.whole[0] < 0, -top, top)).astype(np.int16)
    exact = grid.whole.astype(np.float64)  # whole numbers below 2^53
    return all((made(q) == exact @ q.astype(np.float64)).all() for q in (drawn, extreme))


def _name(member: Member) -> str:
    return type(member).__name__.lower()
