"""Compilation by numba: one decorator, one C signature for products, and what the processor can do."""

import functools
import inspect
from pathlib import Path

import numpy as np

from lowbit.cached import keep
from lowbit.registry import InputError

try:
    import numba
    from numba import types
    from numba.core import registry
    from numba.extending import intrinsic
except ModuleNotFoundError as error:
    raise InputError("packed models need numba: pip install 'lowbit[inference]'") from error

# Addresses of: sizes (int64), weights, activations (int16), room for intermediate values, sums (int32).
PRODUCT = types.void(types.int64, types.int64, types.int64, types.int64, types.int64)
HERE = Path(__file__).parent
SOURCES = (*(HERE / name for name in ("compiled.py", "loops.py", "vectors.py")), *sorted(HERE.glob("matvec/*.py")))
OPTIONS = {"nogil": True, "error_model": "numpy"}
INNER = OPTIONS | {"fastmath": {"contract"}, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function):
    """A function that only compiled ones call."""
    return numba.njit(**INNER)(inspect.unwrap(function))


def entry(function):
    """A function that Python calls, compiled at its first call and kept on disk between processes."""
    decorate = numba.njit(**OPTIONS, fastmath={"contract"}, cache=True)
    return keep(decorate, inspect.unwrap(function), "inference", SOURCES)


class product:  # noqa: N801
    """A product with the C signature `PRODUCT`, compiled when its address is first asked for."""

    def __init__(self, function):
        self.function = inspect.unwrap(function)

    @functools.cached_property
    def address(self) -> int:
        """Where the compiled function is."""
        self.compiled = keep(numba.cfunc(PRODUCT, **OPTIONS, cache=True), self.function, "inference", SOURCES)
        return self.compiled.address


def features() -> frozenset[str]:
    """What the processor that numba compiles for can do, as LLVM names it: `avx2`, `avx512vnni`.

    `NUMBA_CPU_FEATURES` narrows it, as in `+avx2,-avx512f`.
    """
    told = registry.cpu_target.target_context.codegen().magic_tuple()[2]
    return frozenset(each[1:] for each in told.split(",") if each.startswith("+"))


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts on a cache line."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@intrinsic
def _call(context, address, sizes, weights, x, room, y):
    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * 5)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return target.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@entry
def call_at(address, sizes, weights, x, room, y):
    """Calls the product at an address, on arrays."""
    _call(address, sizes.ctypes.data, weights.ctypes.data, x.ctypes.data, room.ctypes.data, y.ctypes.data)
