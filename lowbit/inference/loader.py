"""The compiled functions that packed models call: from the cache, where they are loaded without numba."""

import functools
import importlib
from pathlib import Path

import numpy as np

from lowbit.registry import InputError

try:
    from lowbit import compiled
except ModuleNotFoundError as error:
    raise InputError("packed models need numba: pip install 'lowbit[inference]'") from error

SOURCES = tuple(
    file for folder in ("matvec", "native") for file in sorted((Path(__file__).parent / folder).glob("*.py"))
)


@functools.cache
def address(name: str) -> int:
    """The address of the function `module.function` of `native`; it takes as many int64 as it has parameters."""
    return compiled.link(f"inference/{name}", code(name))


def code(name: str) -> bytes:
    """Its object code: from the cache, else compiled and written there."""
    file = compiled.path("inference", SOURCES, name)
    content = compiled.read(file)
    if content is None:
        module, function = name.split(".")
        emit = importlib.import_module("lowbit.inference.native.emit").emit
        content = emit(getattr(importlib.import_module(f"lowbit.inference.native.{module}"), function))
        compiled.write(file, content)
    return content


def features() -> frozenset[str]:
    """Features of the processor, as LLVM names them: `avx2`, `avx512vnni`.

    `NUMBA_CPU_FEATURES` narrows them, as in `+avx2,-avx512f`.
    """
    return frozenset(entry[1:] for entry in compiled.processor()[1].split(",") if entry.startswith("+"))


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts on a cache line."""
    buffer = np.zeros(array.nbytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
