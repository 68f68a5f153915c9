"""The kernel for a matrix on this machine: the best that fits, after it gave the reference's sums."""

import numpy as np

from lowbit.inference import loader, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec import Member, Product
from lowbit.registry import InputError

BITS = (8, 12)  # of activations in whole numbers
ROWS = 512  # that are checked at a time: their float64 stay in the fast caches


def product(grid: Grid, bits: int, kernel: str = "") -> Product | None:
    """The matrix laid out for `kernel`, or for the best of those that equal the reference here; None without any.

    Raises `InputError` where the kernel that was asked for cannot.
    """
    usable = [member for member in members() if member.fits(grid, bits)]
    for member in usable if not kernel else [matvec.build(kernel)]:
        if member in usable:
            made = Product(member, grid, bits)
            if right(made, grid, bits):
                return made
    if not kernel:
        return None
    known = ", ".join(member.name for member in usable) or "none"
    raise InputError(f"kernel {kernel!r} cannot multiply this matrix on this machine; known: {known}")


def members() -> list[Member]:
    """The kernels whose instructions this machine has, best first."""
    found = [matvec.build(name) for name in matvec.names()]
    here = loader.features()
    return sorted((each for each in found if each.needs <= here), key=lambda each: -each.rank)


def right(made: Product, grid: Grid, bits: int) -> bool:
    """Whether a product equals the reference on activations of all sizes and on the largest sum that there can be."""
    top = 2 ** (bits - 1) - 1
    levels = np.array(grid.levels, np.float64)  # whole numbers below 2^53
    # As good as drawn here, and numpy's random numbers take longer to import than the check.
    mixed = (np.arange(grid.codes.shape[1]) * 40503 % 65521 % (2 * top + 1) - top).astype(np.int16)
    extreme = np.where(levels[grid.codes[0]] < 0, -top, top).astype(np.int16)
    both = np.stack((mixed, extreme), axis=1).astype(np.float64)
    exact = np.concatenate([levels[grid.codes[r : r + ROWS]] @ both for r in range(0, len(grid.codes), ROWS)])
    # A wide sum is rounded to float32, once.
    return all((made(q) == y.astype(made(q).dtype)).all() for q, y in ((mixed, exact[:, 0]), (extreme, exact[:, 1])))
