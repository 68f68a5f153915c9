"""The post-processing unit as hardware: scales, partial sums, tables and products, one hidden unit a cycle.

Functions add their part to the module of an engine (lowbit.hardware.rtl.engine) and drive its ports. Only the
registers `valid` are reset.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import memory
from amaranth.lib.wiring import Component

from lowbit.hardware import golden
from lowbit.hardware.cycles import LEAST
from lowbit.hardware.fixed import Table
from lowbit.hardware.rtl.lanes import rounded, saturated

Stage = dict[str, Value]


def scale(engine: Component, m: Module, sums: list[Value], moves: Value, remaining: Value, completed: Stage) -> Stage:
    """Stages 0 to 2: out of the shadow registers, times scale, plus offset and partial sums."""
    build, plan, machine = engine.build, engine.plan, engine.build.machine
    gates, wide, hidden = plan.gates, machine.wide.bits, build.work.hidden
    shadow = [Signal.like(total, name=f"shadow{number}", reset_less=True) for number, total in enumerate(sums)]
    drained, sweep = Signal(range(engine.sizes[0] + 2)), Signal.like(completed["sweep"])
    unit, size = Signal(range(hidden + 2)), Signal(range(engine.sizes[0] + 1))
    valid = Signal()
    m.d.comb += valid.eq((remaining != 0) & (drained < size))
    with m.If(remaining != 0):
        m.d.sync += [remaining.eq(remaining - 1), drained.eq(drained + 1), unit.eq(unit + 1)]
        m.d.sync += [to.eq(by) for to, by in zip(shadow, shadow[gates:], strict=False)]
    with m.If(moves):
        rest = engine.sizes[-1]
        group = Mux(completed["first"] == engine.sizes[0] * (len(engine.sizes) - 1), rest, engine.sizes[0])
        m.d.sync += [to.eq(by) for to, by in zip(shadow, sums, strict=True)]
        m.d.sync += [sweep.eq(completed["sweep"]), unit.eq(completed["first"]), drained.eq(0), size.eq(group)]
        m.d.sync += remaining.eq(Mux(group < LEAST, LEAST, group))
    passes = len(build.places)
    m.d.comb += engine.scale_address.eq((engine.slot * passes + sweep) * hidden + unit)

    one = _stage(m, 1, {"valid": valid, "unit": unit, "place": drained, "sweep": sweep})
    heads = [Signal.like(sums[0], name=f"head{gate}", reset_less=True) for gate in range(gates)]
    m.d.sync += [to.eq(by) for to, by in zip(heads, shadow, strict=False)]
    m.d.comb += engine.partial_address.eq(one["place"])

    two = _stage(m, 2, one)
    fields = [Signal(signed(wide), name=f"z{field}", reset_less=True) for field in range(plan.fields)]
    after = [Signal(signed(wide), name=f"after{field}") for field in range(plan.fields)]
    old = [engine.partial.word_select(field, wide).as_signed() for field in range(plan.fields)]
    m.d.comb += [to.eq(by) for to, by in zip(after, old, strict=True)]
    bits = machine.scale_bits + build.offset_bits
    maps = [plan.x] * build.work.planes[0] + [plan.h] * build.work.planes[1]
    scaled = []
    for gate in range(gates):
        factor, offset = engine.scale[gate * bits :][: machine.scale_bits], engine.scale[gate * bits :][:bits]
        product = Signal(signed(len(heads[0]) + machine.scale_bits), name=f"product{gate}", reset_less=True)
        added = Signal(signed(build.offset_bits), name=f"offset{gate}", reset_less=True)
        m.d.sync += product.eq(heads[gate] * factor.as_signed())
        m.d.sync += added.eq(offset[machine.scale_bits :].as_signed())
        total = Signal(signed(max(len(product), len(added)) + 1), name=f"total{gate}")
        m.d.comb += total.eq(product + added)
        scaled.append(total)
    with m.Switch(two["sweep"]):
        for number, (places, fields_of) in enumerate(zip(build.places, maps, strict=True)):
            with m.Case(number):
                for gate, field in enumerate(fields_of):
                    fresh = all(field not in earlier for earlier in maps[:number])
                    y = saturated(scaled[gate] >> places, wide)
                    m.d.comb += after[field].eq(y if fresh else saturated(old[field] + y, wide))
    last = two["sweep"] == passes - 1
    m.d.comb += [engine.partial_enable.eq(two["valid"] & ~last), engine.partial_write_address.eq(two["place"])]
    m.d.comb += engine.partial_write.eq(Cat(*after))
    m.d.sync += [to.eq(by) for to, by in zip(fields, after, strict=True)]
    return _stage(m, 3, {"valid": two["valid"] & last, "unit": two["unit"]}) | {"sums": fields}


def finish(engine: Component, m: Module, three: Stage) -> Value:
    """Stages 3 to 6: tables, the new cell, its tanh, the output; returns the signal of the end of a step."""
    machine, cell = engine.build.machine, engine.build.work.cell
    f, wide, sums = machine.activation.fraction, machine.wide.bits, three["sums"]
    sigmoid, tanh = golden.tables(machine)
    four = _stage(m, 4, three)
    out = Signal(signed(machine.act_bits))
    if cell == "rnn":
        m.d.comb += out.eq(_looked_up(m, "tanh", tanh, sums[0]))
        return _write(engine, m, four, out)
    if cell == "relu_rnn":
        positive = Signal(signed(machine.act_bits), reset_less=True)
        m.d.sync += positive.eq(Mux(sums[0] < 0, 0, saturated(sums[0], machine.act_bits)))
        return _write(engine, m, four, positive)
    argument = Signal(signed(wide), name="kept")  # the ledger hashes names
    if cell == "lstm":
        i, forget, o = (_looked_up(m, f"sigmoid{at}", sigmoid, sums[at]) for at in (0, 1, 3))
        g, new = _looked_up(m, "tanh_g", tanh, sums[2]), Signal(signed(wide), name="$signal")
        m.d.comb += engine.before_address.eq(three["unit"])
        m.d.comb += new.eq(saturated(rounded(forget * engine.before + i * g, f), wide))
        m.d.comb += [engine.cell_enable.eq(four["valid"]), engine.cell_address.eq(four["unit"]), engine.cell.eq(new)]
        m.d.sync += argument.eq(new)
    else:
        r, o = (_looked_up(m, f"sigmoid{at}", sigmoid, sums[at]) for at in (0, 1))
        a, b = (Signal(signed(wide), reset_less=True) for _ in range(2))
        m.d.sync += [a.eq(sums[2]), b.eq(sums[3])]
        m.d.sync += argument.eq(saturated(a + rounded(r * b, f), wide))
    five = _stage(m, 5, four)
    six = _stage(m, 6, five)
    gate5, gate6 = (Signal(signed(machine.act_bits), reset_less=True) for _ in range(2))
    m.d.sync += [gate5.eq(o), gate6.eq(gate5)]
    n = _looked_up(m, "tanh_c", tanh, argument)
    if cell == "lstm":
        m.d.comb += out.eq(rounded(gate6 * n, f))
    else:
        m.d.comb += engine.before_address.eq(Mux(engine.bank, engine.build.work.hidden, 0) + five["unit"])
        m.d.comb += out.eq(n + rounded(gate6 * (engine.before - n), f))
    return _write(engine, m, six, out)


def _write(engine: Component, m: Module, stage: Stage, out: Value) -> Value:
    hidden = engine.build.work.hidden
    m.d.comb += [engine.output_enable.eq(stage["valid"]), engine.output.eq(out)]
    m.d.comb += engine.output_address.eq(Mux(engine.bank, 0, hidden) + stage["unit"])
    return stage["valid"] & (stage["unit"] == hidden - 1)


def _stage(m: Module, number: int, before: dict[str, Value]) -> dict[str, Value]:
    """Registers with the values of the stage before, one edge later."""
    names = [name for name in before if name in ("valid", "unit", "place", "sweep")]
    after = {name: Signal(before[name].shape(), name=f"{name}{number}", reset_less=name != "valid") for name in names}
    m.d.sync += [after[name].eq(before[name]) for name in names]
    return after


def _looked_up(m: Module, name: str, table: Table, value: Value) -> Value:
    """A table at the nearest point, one edge later."""
    bits = (len(table.entries) - 1).bit_length()
    width = int(np.abs(table.entries).max()).bit_length() + 1
    half = len(table.entries) // 2
    init = [entry & ((1 << width) - 1) for entry in np.roll(table.entries, half).tolist()]
    store = memory.Memory(shape=width, depth=len(init), init=init)
    m.submodules[name] = store
    port = store.read_port()
    m.d.comb += port.addr.eq(saturated(rounded(value, table.places), bits))
    return port.data.as_signed()
