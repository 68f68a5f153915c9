"""The compiler of the functions of packed models."""

import inspect
from collections.abc import Callable

import numba
from llvmlite import ir
from numba import types

from lowbit.compiled import emit as standalone

OPTIONS = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: Callable) -> Callable:
    """A function that only compiled ones call."""
    return numba.njit(**OPTIONS, fastmath={"contract"})(inspect.unwrap(function))


def reordered(function: Callable) -> Callable:
    """As `inner`, where sums of floats may be added up in any order."""
    return numba.njit(**OPTIONS, fastmath={"contract", "reassoc", "nsz"})(inspect.unwrap(function))


def emit(function: Callable) -> bytes:
    """The object code of a function whose parameters are int64, for this processor."""
    count = len(inspect.signature(function).parameters)
    outer = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * count)
    return standalone.emit(inner(function), (types.int64,) * count, outer, lambda builder, _: builder.function.args)
