"""How loops are compiled: with fused multiply-adds, and with NaN kept NaN."""

import inspect
from collections.abc import Callable

import numba

# Sums along a row may be reordered and products contracted; nothing may assume that a number is finite.
OPTIONS = {
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inner(function: Callable) -> Callable:
    """A function that compiled ones call."""
    return numba.njit(**OPTIONS)(inspect.unwrap(function))
