"""Vectors of the processor inside numba: LLVM's types and intrinsics, as wide as a kernel needs them.

A vector of many lanes takes several registers. Addresses are integers; nothing is checked.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class Vector(types.Type):
    """Lanes of 32 bits, of any content."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(f"Vector({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(I32, kind.lanes))


def _code(signature, build):
    """What an intrinsic returns: its signature, and code from `build(builder, *arguments)`."""

    def generate(target, builder, _, arguments):
        result = build(builder, *arguments)
        return target.get_dummy_value() if signature.return_type == types.void else result

    return signature, generate


def _as(builder, value, element):
    lanes = value.type.count * value.type.element.width // element.width
    return builder.bitcast(value, ir.VectorType(element, lanes))


def _order(numbers):
    return ir.Constant(ir.VectorType(I32, len(numbers)), [ir.Constant(I32, number) for number in numbers])


def _splat(builder, value, lanes):
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(empty, value, ir.Constant(I32, 0)), empty, _order([0] * lanes))


def _cut(builder, value, lanes):
    """Registers of `lanes` lanes, of 32 bits each, out of a vector; a vector of one register serves all."""
    if value.type.count == lanes:
        return [value]
    empty = ir.Constant(value.type, ir.Undefined)
    starts = range(0, value.type.count, lanes)
    return [builder.shuffle_vector(value, empty, _order(range(start, start + lanes))) for start in starts]


def _joined(builder, parts):
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        order = _order(range(2 * parts[0].type.count))
        parts = [builder.shuffle_vector(low, high, order) for low, high in pairs]
    return parts[0]


def _call(builder, name, elements, operands, lanes):
    """An intrinsic over registers of `lanes` lanes, once for each that the widest operand fills."""
    count = max(operand.type.count for operand in operands) // lanes
    pieces = [_cut(builder, operand, lanes) * (count if operand.type.count == lanes else 1) for operand in operands]
    results = []
    for registers in zip(*pieces, strict=True):
        arguments = [_as(builder, register, kind) for register, kind in zip(registers, elements[1:], strict=True)]
        result = ir.VectorType(elements[0], lanes * 32 // elements[0].width)
        function = builder.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(builder.module, kind, name)
        results.append(_as(builder, builder.call(function, arguments), I32))
    return _joined(builder, results)


def _widest(*kinds):
    return max(kinds, key=lambda kind: kind.lanes)


def _load(builder, address, kind, align):
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


@intrinsic
def pointer(context, address):
    """An address as `numba.carray` takes it."""
    return _code(types.voidptr(types.int64), lambda builder, address: builder.inttoptr(address, I8.as_pointer()))


@intrinsic
def read(context, address):
    """The whole number of 64 bits at an address."""
    return _code(types.int64(types.int64), lambda builder, address: _load(builder, address, I64, 8))


@intrinsic
def call(context, address, sizes, weights, x, buffer, y):
    """Calls the product at an address, on arrays at theirs."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 5).as_pointer()
    signature = types.void(*[types.int64] * 6)
    return _code(signature, lambda builder, address, *rest: builder.call(builder.inttoptr(address, kind), rest))


@intrinsic(prefer_literal=True)
def load(context, address, lanes):
    """The vector at an address; `lanes` is a literal."""
    kind = Vector(lanes.literal_value)
    register = ir.VectorType(I32, kind.lanes)
    return _code(kind(types.int64, lanes), lambda builder, address, _: _load(builder, address, register, 4))


@intrinsic
def store(context, address, vector):
    """Writes a vector to an address."""

    def build(builder, address, value):
        builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 4

    return _code(types.void(types.int64, vector), build)


def _spread(element, doc):
    def operation(context, address, lanes):
        kind, count = Vector(lanes.literal_value), lanes.literal_value * 32 // element.width

        def build(builder, address, _):
            return _as(builder, _splat(builder, _load(builder, address, element, 1), count), I32)

        return _code(kind(types.int64, lanes), build)

    operation.__doc__ = doc
    return intrinsic(prefer_literal=True)(operation)


spread32 = _spread(I32, "The 32 bits at an address, over and over.")
spread16 = _spread(I16, "The 16 bits at an address, over and over.")


@intrinsic(prefer_literal=True)
def spread128(context, address, lanes):
    """The 128 bits at an address, over and over."""
    kind = Vector(lanes.literal_value)

    def build(builder, address, _):
        value = _load(builder, address, ir.VectorType(I32, 4), 1)
        return builder.shuffle_vector(value, value, _order(list(range(4)) * (kind.lanes // 4)))

    return _code(kind(types.int64, lanes), build)


@intrinsic
def evens(context, a):
    """The even bytes of a vector, then the odd ones."""

    def build(builder, value):
        value = _as(builder, value, I8)
        count = value.type.count
        return _as(
            builder, builder.shuffle_vector(value, value, _order([*range(0, count, 2), *range(1, count, 2)])), I32
        )

    return _code(a(a), build)


@intrinsic(prefer_literal=True)
def splat(context, value, lanes):
    """A number of 32 bits in every lane."""
    kind = Vector(lanes.literal_value)
    return _code(kind(types.int32, lanes), lambda builder, value, _: _splat(builder, value, kind.lanes))


def _elementwise(name, element, doc):
    """An operation on two vectors, or on a vector and a number that all elements share."""

    def operation(context, a, b):
        def build(builder, x, y):
            x = _as(builder, x, element)
            if isinstance(b, Vector):
                y = _as(builder, y, element)
            else:
                y = _splat(builder, builder.trunc(y, element), x.type.count)
            return _as(builder, getattr(builder, name)(x, y), I32)

        return _code(a(a, b if isinstance(b, Vector) else types.int64), build)

    operation.__doc__ = doc
    return intrinsic(operation)


both = _elementwise("and_", I32, "The bits that two vectors share.")
add8 = _elementwise("add", I8, "Sums of bytes.")
add32 = _elementwise("add", I32, "Sums of 32 bits.")
sub32 = _elementwise("sub", I32, "Differences of 32 bits.")
mul32 = _elementwise("mul", I32, "Products of 32 bits.")
add16 = _elementwise("add", I16, "Sums of 16 bits.")
mul16 = _elementwise("mul", I16, "Products of 16 bits.")
down16 = _elementwise("ashr", I16, "16 bits moved down, signs from above.")
right16 = _elementwise("lshr", I16, "16 bits moved down, zeros from above.")
right32 = _elementwise("ashr", I32, "32 bits moved down, signs from above.")


def _of_registers(name, lanes, elements, doc):
    """An intrinsic of the processor; `elements` are those of the result, then of two or three operands."""

    def build(builder, *operands):
        return _call(builder, name, elements, operands, lanes)

    def of_two(context, a, b):
        return _code(_widest(a, b)(a, b), build)

    def of_three(context, a, b, c):
        return _code(_widest(a, b, c)(a, b, c), build)

    operation = of_two if len(elements) == 3 else of_three
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
find256 = _of_registers(
    "llvm.x86.avx2.pshuf.b",
    8,
    (I8, I8, I8),
    "Of a table of 16 bytes in each half of a register, those that 4 bits name.",
)
bytes256 = _of_registers(
    "llvm.x86.avx2.pmadd.ub.sw", 8, (I16, I8, I8), "Sums of two products of unsigned and signed bytes, 16 bits."
)
pairs256 = _of_registers("llvm.x86.avx2.pmadd.wd", 8, (I32, I16, I16), "Sums of two products of 16 bits.")
