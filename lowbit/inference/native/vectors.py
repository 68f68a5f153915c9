"""Vectors of the processor inside numba: LLVM's types and intrinsics, as wide as the kernel wants them.

A vector of many lanes is split over as many registers as it takes. Addresses are integers; nothing is checked.
"""

import functools

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

I8, I16, I32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)


class Vector(types.Type):
    """Lanes of 32 bits, whatever they hold."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(f"Vector({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(I32, kind.lanes))


def _as(builder, value, element):
    lanes = value.type.count * value.type.element.width // element.width
    return builder.bitcast(value, ir.VectorType(element, lanes))


def _splat(builder, value, lanes):
    kind = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(I32, lanes), None))


def _cut(builder, value, lanes):
    """Registers of `lanes` lanes, of 32 bits each, out of a vector; a vector of one register comes for all."""
    if value.type.count == lanes:
        return [value]
    none = ir.Constant(value.type, ir.Undefined)
    parts = []
    for start in range(0, value.type.count, lanes):
        picked = ir.Constant(ir.VectorType(I32, lanes), [ir.Constant(I32, start + i) for i in range(lanes)])
        parts.append(builder.shuffle_vector(value, none, picked))
    return parts


def _joined(builder, parts):
    while len(parts) > 1:
        pairs = []
        for low, high in zip(parts[::2], parts[1::2], strict=True):
            count = 2 * low.type.count
            order = ir.Constant(ir.VectorType(I32, count), [ir.Constant(I32, i) for i in range(count)])
            pairs.append(builder.shuffle_vector(low, high, order))
        parts = pairs
    return parts[0]


def _call(builder, name, element, operands, lanes):
    """An intrinsic over registers of `lanes` lanes, once for each that the widest operand fills."""
    count = max(operand.type.count for operand in operands) // lanes
    pieces = [_cut(builder, operand, lanes) * (count if operand.type.count == lanes else 1) for operand in operands]
    results = []
    for registers in zip(*pieces, strict=True):
        given = [_as(builder, register, kind) for register, kind in zip(registers, element[1:], strict=True)]
        result = ir.VectorType(element[0], lanes * 32 // element[0].width)
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(result, [each.type for each in given]), name)
        results.append(_as(builder, builder.call(function, given), I32))
    return _joined(builder, results)


def _widest(*kinds):
    return max(kinds, key=lambda kind: kind.lanes)


@intrinsic(prefer_literal=True)
def load(context, address, lanes):
    """The vector at an address; `lanes` is a literal."""
    kind = Vector(lanes.literal_value)

    def generate(target, builder, signature, arguments):
        found = builder.load(builder.inttoptr(arguments[0], ir.VectorType(I32, kind.lanes).as_pointer()))
        found.align = 4
        return found

    return kind(types.int64, lanes), generate


@intrinsic
def pointer(context, address):
    """An address as `numba.carray` takes it."""

    def generate(target, builder, signature, arguments):
        return builder.inttoptr(arguments[0], I8.as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def read(context, address):
    """The whole number of 64 bits at an address."""

    def generate(target, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return types.int64(types.int64), generate


@intrinsic
def call(context, address, sizes, weights, x, room, y):
    """Calls the product at an address, on arrays at theirs."""

    def generate(target, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 5)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return target.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@intrinsic
def store(context, address, vector):
    """Puts a vector to an address."""

    def generate(target, builder, signature, arguments):
        told = builder.store(arguments[1], builder.inttoptr(arguments[0], arguments[1].type.as_pointer()))
        told.align = 4
        return target.get_dummy_value()

    return types.void(types.int64, vector), generate


def _spread(element, doc):
    def operation(context, address, lanes):
        kind = Vector(lanes.literal_value)

        def generate(target, builder, signature, arguments):
            word = builder.load(builder.inttoptr(arguments[0], element.as_pointer()))
            word.align = 1
            return _as(builder, _splat(builder, word, kind.lanes * 32 // element.width), I32)

        return kind(types.int64, lanes), generate

    operation.__doc__ = doc
    return intrinsic(prefer_literal=True)(operation)


spread32 = _spread(I32, "The 32 bits at an address, over and over.")
spread16 = _spread(I16, "The 16 bits at an address, over and over.")


@intrinsic(prefer_literal=True)
def splat(context, value, lanes):
    """A number of 32 bits in every lane."""
    kind = Vector(lanes.literal_value)

    def generate(target, builder, signature, arguments):
        return _splat(builder, arguments[0], kind.lanes)

    return kind(types.int32, lanes), generate


def _elementwise(name, element, doc):
    """An operation on two vectors, or on a vector and a number that all elements share."""

    def operation(context, a, b):
        def generate(target, builder, signature, arguments):
            x = _as(builder, arguments[0], element)
            if isinstance(b, Vector):
                y = _as(builder, arguments[1], element)
            else:
                y = _splat(builder, builder.trunc(arguments[1], element), x.type.count)
            return _as(builder, getattr(builder, name)(x, y), I32)

        return a(a, b if isinstance(b, Vector) else types.int64), generate

    operation.__doc__ = doc
    return intrinsic(operation)


both = _elementwise("and_", I32, "The bits that two vectors share.")
add32 = _elementwise("add", I32, "Sums of 32 bits.")
sub32 = _elementwise("sub", I32, "Differences of 32 bits.")
mul32 = _elementwise("mul", I32, "Products of 32 bits.")
add16 = _elementwise("add", I16, "Sums of 16 bits.")
mul16 = _elementwise("mul", I16, "Products of 16 bits.")
right16 = _elementwise("lshr", I16, "16 bits moved down, zeros from above.")
right32 = _elementwise("ashr", I32, "32 bits moved down, signs from above.")


def _of_registers(name, lanes, element, doc):
    """An intrinsic of the processor on as many operands as `element` has, after the result's."""

    def generate(order, target, builder, signature, arguments):
        return _call(builder, name, element, [arguments[i] for i in order], lanes)

    if len(element) == 3:

        def operation(context, a, b):
            return _widest(a, b)(a, b), functools.partial(generate, (0, 1))

    else:

        def operation(context, a, b, c):
            return _widest(a, b, c)(a, b, c), functools.partial(generate, (0, 1, 2))

    operation.__doc__ = doc
    return intrinsic(operation)


bytes512 = _of_registers(
    "llvm.x86.avx512.vpdpbusd.512", 16, (I32, I32, I32, I32), "Sums, plus products of unsigned and signed bytes."
)
pairs512 = _of_registers(
    "llvm.x86.avx512.vpdpwssd.512", 16, (I32, I32, I32, I32), "Sums, plus products of pairs of 16 bits."
)
pick512 = _of_registers(
    "llvm.x86.avx512.permvar.hi.512", 16, (I16, I16, I16), "Of a table of 32 entries, those that 5 bits name."
)
find512 = _of_registers(
    "llvm.x86.avx512.permvar.qi.512", 16, (I8, I8, I8), "Of a table of 64 bytes, those that 6 bits name."
)
bytes256 = _of_registers(
    "llvm.x86.avx2.pmadd.ub.sw", 8, (I16, I8, I8), "Sums of two products of unsigned and signed bytes, 16 bits."
)
pairs256 = _of_registers("llvm.x86.avx2.pmadd.wd", 8, (I32, I16, I16), "Sums of two products of 16 bits.")
