"""Loops over whole numbers, compiled by numba where it is installed, else run as they are."""

import importlib.util
import inspect
from collections.abc import Callable

FAST = importlib.util.find_spec("numba") is not None


def compiled(function: Callable) -> Callable:
    """The function as machine code; its own source is at `.py_func` either way."""
    plain = inspect.unwrap(function)
    if FAST:
        import numba

        return numba.njit(cache=True)(plain)
    plain.py_func = plain
    return plain
