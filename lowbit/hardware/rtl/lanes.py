"""Lanes as hardware: one accumulator, and the arithmetic of a weight and an activation before it."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.lanes import Binary, Multiply, Odd, Shift, Ternary


def saturated(value: Value, bits: int) -> Value:
    """The value clipped to the range of `bits` bits."""
    high = (1 << (bits - 1)) - 1
    return Mux(value > high, high, Mux(value < -high - 1, -high - 1, value))


def rounded(value: Value, places: int) -> Value:
    """The value over 2^places, rounded, halves up."""
    return (value + ((1 << places) >> 1)) >> places


class LaneUnit(wiring.Component):
    """`sum` takes `open ? 0 : sum`, plus the weight times `x`, at the edges where `take` is set.

    A negative weight adds the complement and one, so that only multiplying lanes have a second adder.
    An accumulator with fewer bits than `additions` can need saturates.
    """

    def __init__(self, machine: Machine, additions: int):
        self.lane, self.act_bits = machine.arithmetic, machine.act_bits
        self.bits = machine.accumulator.bits
        self.saturates = self.bits < self.lane.sum_bits(machine.act_bits, additions)
        super().__init__(
            {
                "x": In(signed(machine.act_bits)),
                "weight": In(self.lane.weight_bits),
                "take": In(1),
                "open": In(1),
                "sum": Out(signed(self.bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The adder, and the term and carry before it."""
        m = Module()
        term, carry = PRODUCTS[type(self.lane)](self.lane, self.x, self.weight)
        total = Signal(signed(self.bits), name="held", reset_less=True)  # reset by `open`; the ledger hashes names
        following = Mux(self.open, 0, total) + term + carry
        m.d.comb += self.sum.eq(total)
        with m.If(self.take):
            m.d.sync += total.eq(saturated(following, self.bits) if self.saturates else following)
        return m


def _negated(value: Value, negative: Value) -> Value:
    """The complement where `negative`, as bits: operators would extend signed and unsigned operands first."""
    return value.as_unsigned() ^ negative.replicate(len(value))


def _binary(lane: Binary, x: Value, weight: Value) -> tuple[Value, Value]:
    return _negated(x, ~weight[0]).as_signed(), ~weight[0]


def _ternary(lane: Ternary, x: Value, weight: Value) -> tuple[Value, Value]:
    adds, negative = weight[0], weight[0] & weight[1]
    return (_negated(x, weight[1]) & adds.replicate(len(x))).as_signed(), negative


def _shift(lane: Shift, x: Value, weight: Value) -> tuple[Value, Value]:
    field, negative = weight[:-1], weight[-1]
    adds = (field != 0) & (field <= lane.span)
    shifted = x << (field - 1)[: max(1, (lane.span - 1).bit_length())]
    shifted = shifted[: len(x) + lane.span - 1]
    return (_negated(shifted, negative) & adds.replicate(len(shifted))).as_signed(), negative & adds


def _odd(lane: Odd, x: Value, weight: Value) -> tuple[Value, int]:
    return x * Cat(1, weight).as_signed(), 0


def _multiply(lane: Multiply, x: Value, weight: Value) -> tuple[Value, int]:
    return x * weight.as_signed(), 0


PRODUCTS = {Binary: _binary, Ternary: _ternary, Shift: _shift, Odd: _odd, Multiply: _multiply}
