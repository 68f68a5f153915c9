"""The matrix product of one step: a library's, at the address that comes with the matrix."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lowbit.layers.loops.layout import AS_IS, HALF, PACK, PACKED, ROW_MAJOR

ONE, ZERO, LETTER = np.float32(1), np.float32(0), np.uint8(ord("n"))


@intrinsic
def call(context, address, given):
    """Calls the function of C at an address with a tuple of numbers."""

    def generate(target, builder, signature, arguments):
        _call(builder, arguments[0], cgutils.unpack_tuple(builder, arguments[1]))
        return target.get_dummy_value()

    return types.void(address, given), generate


@intrinsic
def refer(context, address, given):
    """Calls the function of Fortran at an address, which takes the places of numbers; words are places already."""

    def generate(target, builder, signature, arguments):
        values = cgutils.unpack_tuple(builder, arguments[1])
        word = ir.IntType(64)
        places = [v if v.type == word else cgutils.alloca_once_value(builder, v) for v in values]
        _call(builder, arguments[0], places)
        return target.get_dummy_value()

    return types.void(address, given), generate


def _call(builder, address, values):
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)


@intrinsic
def bits(context, number):
    """Those of a float32."""

    def generate(target, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def multiply(x, w, out, t):
    """`out` = `x` @ `w`, (batch outputs), in step `t`."""
    m, n, k = np.int32(len(x)), np.int32(w.outputs), np.int32(w.inputs)
    source, target = x.ctypes.data, out.ctypes.data
    if w.kind == PACKED:
        packed = w.packed.ctypes.data
        call(w.function, (ROW_MAJOR, AS_IS, PACK, m, n, k, source, k, packed, n, ZERO, target, n))
    elif w.kind == HALF:
        to_half(x, w.rounded[t % len(w.rounded)])
        rounded, half = w.rounded[t % len(w.rounded)].ctypes.data, w.half.ctypes.data
        stride = np.int32(w.half.shape[1])
        call(w.function, (ROW_MAJOR, AS_IS, w.turn, m, n, k, w.scale, rounded, k, half, stride, ZERO, target, n))
    else:  # Fortran reads the rows of C as columns
        plain = w.plain.ctypes.data
        refer(w.function, (LETTER, LETTER, n, m, k, ONE, plain, n, source, k, ZERO, target, n))


def to_half(x, rounded):
    """bfloat16 of `x`, to the nearest, ties to even."""
    for i in range(len(x)):
        source, row = x[i], rounded[i]
        for j in range(len(row)):
            u = bits(source[j])
            row[j] = np.uint16((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
