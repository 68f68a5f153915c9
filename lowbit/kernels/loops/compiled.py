"""How the loops are compiled: cached by their sources, with fused multiply-adds, and with NaN kept NaN."""

import pickle
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import numba
from numba._dispatcher import compute_fingerprint

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


class entry:  # noqa: N801
    """A function that Python calls, compiled for what it is called with, once on a machine.

    A process of its own compiles: code that was compiled where it runs rounds otherwise than the same code read back
    from the disk, and the first run on a machine would differ from all later ones.
    """

    def __init__(self, function: Callable):
        self.function = function
        self.dispatcher = keep(numba.njit(**OPTIONS, cache=True), function, "kernels", SOURCES)
        self.known: set[tuple] = set()

    def __call__(self, *arguments):
        """What the function gives."""
        shape = tuple(map(compute_fingerprint, arguments))
        if shape not in self.known:
            kinds = tuple(map(self.dispatcher.typeof_pyval, arguments))
            if not self._kept(kinds):
                told = pickle.dumps(sys.path) + pickle.dumps((self.function.__module__, self.function.__name__, kinds))
                subprocess.run([sys.executable, "-c", ELSEWHERE], input=told, check=False)
            self.known.add(shape)
        return self.dispatcher(*arguments)

    def _kept(self, kinds: tuple) -> bool:
        try:
            index = self.dispatcher._cache._cache_file._load_index()
        except AttributeError:  # another numba; it compiles here
            return True
        return any(key[0] == kinds for key in index)


ELSEWHERE = """
import pickle, sys
data = sys.stdin.buffer
sys.path[:] = pickle.load(data)
import importlib
module, name, kinds = pickle.load(data)
getattr(importlib.import_module(module), name).dispatcher.compile(kinds)
"""
