"""What packed models call as machine code: kept on disk, loaded without numba."""

import functools
import importlib
from pathlib import Path

import numpy as np

from lowbit.registry import InputError

try:
    from lowbit import compiled
except ModuleNotFoundError as error:
    raise InputError("packed models need numba: pip install 'lowbit[inference]'") from error

SOURCES = tuple(file for room in ("matvec", "native") for file in sorted((Path(__file__).parent / room).glob("*.py")))


@functools.cache
def address(name: str) -> int:
    """Where the function `module.function` of `native` is, with as many int64 as it has parameters."""
    return compiled.link(place(name), code(name))


def features() -> frozenset[str]:
    """What the processor can do, as LLVM names it: `avx2`, `avx512vnni`.

    `NUMBA_CPU_FEATURES` narrows it, as in `+avx2,-avx512f`.
    """
    return frozenset(each[1:] for each in compiled.processor()[1].split(",") if each.startswith("+"))


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts on a cache line."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def place(name: str) -> Path:
    """The file of a function's object code."""
    return compiled.place("inference", SOURCES, name)


def code(name: str) -> bytes:
    """The object code: from disk where it is whole, else compiled and kept there."""
    file = place(name)
    found = compiled.kept(file)
    if found is None:
        module, function = name.split(".")
        native = importlib.import_module("lowbit.inference.native.emit")
        found = native.emit(getattr(importlib.import_module(f"lowbit.inference.native.{module}"), function))
        compiled.keep(file, found)
    return found
