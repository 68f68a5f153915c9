"""Compiled functions as machine code on disk: numba makes it once, from then on llvmlite alone loads it.

Importing numba and waking its compiler takes longer than loading a model.
"""

import contextlib
import functools
import hashlib
import importlib
import os
from pathlib import Path

import numpy as np

from lowbit.cached import folder
from lowbit.registry import InputError

try:
    import llvmlite
    import llvmlite.binding as llvm
except ModuleNotFoundError as error:
    raise InputError("packed models need numba: pip install 'lowbit[inference]'") from error

SOURCES = tuple(file for room in ("matvec", "native") for file in sorted((Path(__file__).parent / room).glob("*.py")))
SYMBOL = "lowbit"  # the name of the function in its object code


@functools.cache
def address(name: str) -> int:
    """Where the function `module.function` of `native` is, with as many int64 as it has parameters."""
    return _linked(name)[SYMBOL]


def features() -> frozenset[str]:
    """What the processor can do, as LLVM names it: `avx2`, `avx512vnni`.

    `NUMBA_CPU_FEATURES` narrows it, as in `+avx2,-avx512f`.
    """
    return frozenset(each[1:] for each in processor()[1].split(",") if each.startswith("+"))


def processor() -> tuple[str, str]:
    """Name and features of the processor that code is made for, as numba finds them."""
    name = os.environ.get("NUMBA_CPU_NAME", "") or llvm.get_host_cpu_name()
    told = os.environ.get("NUMBA_CPU_FEATURES")
    if told is None:
        try:
            told = "" if name == "generic" else llvm.get_host_cpu_features().flatten()
        except RuntimeError:  # where LLVM cannot tell
            told = ""
    return name, told


def machine() -> llvm.TargetMachine:
    """Of LLVM, for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, told = processor()
    return llvm.Target.from_default_triple().create_target_machine(name, told, opt=3, reloc="pic")


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts on a cache line."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def at(array: np.ndarray) -> int:
    """The address of an array, for functions that read it in its order."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} with gaps has no order that compiled code knows")
    return array.ctypes.data


def code(name: str) -> bytes:
    """The object code: from disk where it is whole, else compiled and kept there."""
    told = " ".join((llvmlite.__version__, *processor()))
    below = folder(os.environ.get("NUMBA_CACHE_DIR", ""), "inference", SOURCES)
    file = Path(below) / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.o"
    with contextlib.suppress(OSError):
        content = file.read_bytes()
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    module, function = name.split(".")
    native = importlib.import_module("lowbit.inference.native.emit")
    made = native.emit(getattr(importlib.import_module(f"lowbit.inference.native.{module}"), function), SYMBOL)
    with contextlib.suppress(OSError):  # where nothing can be kept, each process compiles
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(hashlib.sha256(made).digest() + made)
        os.replace(part, file)
    return made


@functools.cache
def _linked(name: str) -> llvm.ResourceTracker:
    """The loaded code, which is there for as long as this object is."""
    library = llvm.JITLibraryBuilder().add_object_img(code(name)).export_symbol(SYMBOL)
    return library.add_current_process().link(_jit(), name)


@functools.cache
def _jit() -> llvm.LLJIT:
    return llvm.create_lljit_compiler(machine())
