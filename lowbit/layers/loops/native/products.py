"""The matrix product of one step, by the function of a library at the address in `Product`."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lowbit.layers.loops.layout import AS_IS, HALF, PACK, PACKED, ROW_MAJOR

ONE, ZERO, LETTER = np.float32(1), np.float32(0), np.uint8(ord("n"))


@intrinsic
def call(context, address, arguments):
    """Calls the function of C at an address with a tuple of numbers."""

    def generate(target, builder, signature, values):
        _call(builder, values[0], cgutils.unpack_tuple(builder, values[1]))
        return target.get_dummy_value()

    return types.void(address, arguments), generate


@intrinsic
def call_fortran(context, address, arguments):
    """Calls the function of Fortran at an address, which takes numbers by reference; 64-bit words are addresses."""

    def generate(target, builder, signature, values):
        word, numbers = ir.IntType(64), cgutils.unpack_tuple(builder, values[1])
        _call(builder, values[0], [v if v.type == word else cgutils.alloca_once_value(builder, v) for v in numbers])
        return target.get_dummy_value()

    return types.void(address, arguments), generate


def _call(builder, address, values):
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)


@intrinsic
def bits(context, number):
    """The 32 bits of a float32, as a whole number."""

    def generate(target, builder, signature, values):
        return builder.bitcast(values[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def multiply(x, w, out, t):
    """`out` = `x` @ `w`, (batch outputs), in step `t`."""
    m, n, k = np.int32(len(x)), np.int32(w.outputs), np.int32(w.inputs)
    source, target, matrix = x.ctypes.data, out.ctypes.data, w.matrix.ctypes.data
    if w.kind == PACKED:
        call(w.function, (ROW_MAJOR, AS_IS, PACK, m, n, k, source, k, matrix, n, ZERO, target, n))
    elif w.kind == HALF:
        to_half(x, w.rounded[t % len(w.rounded)])
        rounded, half = w.rounded[t % len(w.rounded)].ctypes.data, w.half.ctypes.data
        stride = np.int32(w.half.shape[1])
        call(w.function, (ROW_MAJOR, AS_IS, w.turn, m, n, k, w.scale, rounded, k, half, stride, ZERO, target, n))
    else:  # Fortran reads the rows of C as columns
        call_fortran(w.function, (LETTER, LETTER, n, m, k, ONE, matrix, n, source, k, ZERO, target, n))


def to_half(x, rounded):
    """bfloat16 of `x`, to the nearest, ties to even."""
    for i in range(len(x)):
        source, row = x[i], rounded[i]
        for j in range(len(row)):
            u = bits(source[j])
            row[j] = np.uint16((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
