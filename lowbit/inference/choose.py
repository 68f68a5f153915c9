"""The kernel for a matrix on this machine: the best that fits and gives the reference's sums."""

import numpy as np

from lowbit.inference import loader, matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec import Member, Product

BITS = (8, 12)  # of activations in whole numbers
ROWS = 512  # that are checked at a time: their float64 stay in the fast caches


def product(grid: Grid, bits: int) -> Product | None:
    """The matrix laid out for the best of the kernels that equal the reference here; None without any."""
    for member in members():
        if member.fits(grid, bits):
            candidate = Product(member, grid, bits)
            if is_exact(candidate, grid, bits):
                return candidate
    return None


def members() -> list[Member]:
    """The kernels whose instructions this machine has, best first."""
    features = loader.features()
    kernels = [matvec.build(name) for name in matvec.names()]
    return sorted((kernel for kernel in kernels if kernel.needs <= features), key=lambda kernel: -kernel.rank)


def is_exact(product: Product, grid: Grid, bits: int) -> bool:
    """Whether a product equals the reference on activations of all sizes and on the largest sum that there can be."""
    top = 2 ** (bits - 1) - 1
    levels = np.array(grid.levels, np.float64)  # whole numbers below 2^53
    # As good as random here, and numpy's random numbers take longer to import than the check.
    mixed = (np.arange(grid.codes.shape[1]) * 40503 % 65521 % (2 * top + 1) - top).astype(np.int16)
    extreme = np.where(levels[grid.codes[0]] < 0, -top, top).astype(np.int16)
    both = np.stack((mixed, extreme), axis=1).astype(np.float64)
    exact = np.concatenate([levels[grid.codes[r : r + ROWS]] @ both for r in range(0, len(grid.codes), ROWS)])
    # A wide sum is rounded to float32, once.
    for q, y in zip((mixed, extreme), exact.T, strict=True):
        sums = product(q)
        if (sums != y.astype(sums.dtype)).any():
            return False
    return True
