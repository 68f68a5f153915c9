"""Loops over whole numbers, compiled by numba where it is installed, else run as they are."""

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

from lowbit.cached import keep

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.py")))
FAST = importlib.util.find_spec("numba") is not None


def compiled(function: Callable) -> Callable:
    """The function as machine code, cached by its sources; its own source is at `.py_func` either way."""
    plain = inspect.unwrap(function)
    if not FAST:
        plain.py_func = plain
        return plain
    import numba

    return keep(numba.njit(cache=True), plain, "hardware", SOURCES)
