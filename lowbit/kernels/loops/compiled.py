"""How the loops are compiled: cached by their sources, with fused multiply-adds, and with NaN kept NaN."""

import typing
from collections.abc import Callable
from pathlib import Path

import numba

from lowbit.cached import keep

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.py")))

# Sums along a row may be reordered and products contracted; nothing may assume that a number is finite.
OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}
no_type_check = typing.no_type_check  # numba reads the source, which a run-time check of shapes would hide

inner = numba.njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # called by compiled functions alone


def entry(function: Callable) -> Callable:
    """A function that Python calls, compiled at its first call on a machine and then read from the cache."""
    return keep(numba.njit(**OPTIONS, cache=True), function, "kernels", SOURCES)
