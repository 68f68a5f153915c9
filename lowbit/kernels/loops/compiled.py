"""How the loops are compiled: cached by their sources, with fused multiply-adds, and with NaN kept NaN."""

import hashlib
import os
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path

import numba

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
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_folder())
    try:
        return numba.njit(**OPTIONS, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before


def _folder() -> Path:
    """Where this version of the loops is cached: numba itself would not see a change in a file they import."""
    sources = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
    name = f"lowbit-{hashlib.sha256(sources).hexdigest()[:12]}"
    for parent in filter(None, (numba.config.CACHE_DIR, Path.home() / ".cache", tempfile.gettempdir())):
        folder = Path(parent) / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return folder
