"""Loops over whole numbers, compiled by numba where it is installed, else run as they are."""

import functools
import hashlib
import importlib.util
import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

FAST = importlib.util.find_spec("numba") is not None


def compiled(function: Callable) -> Callable:
    """The function as machine code, cached by its sources; its own source is at `.py_func` either way."""
    plain = inspect.unwrap(function)
    if not FAST:
        plain.py_func = plain
        return plain
    import numba

    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _folder(numba.config.CACHE_DIR)
    try:
        return numba.njit(cache=True)(plain)
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def _folder(asked: str) -> str:
    """Where this version of the loops is cached: numba itself would not see a change in a file they import."""
    sources = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    name = f"lowbit-hardware-{hashlib.sha256(sources).hexdigest()[:12]}"
    for parent in filter(None, (asked, Path.home() / ".cache", tempfile.gettempdir())):
        folder = Path(parent) / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            break
    return str(folder)
