"""An engine with loaded memories as hardware: a program and its inputs in, outputs and cycles out."""

import numpy as np
from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from jaxtyping import Int64

from lowbit.hardware import image
from lowbit.hardware.program import Program
from lowbit.hardware.rtl.engine import Build, Engine

Outcome = tuple[np.ndarray, int]  # outputs (time hidden) and cycles


class System(wiring.Component):
    """Runs once after `start`; `valid`, `unit` and `value` show every output."""

    def __init__(self, program: Program, x: Int64[np.ndarray, "time *inputs"], words: Int64[np.ndarray, "words lanes"]):
        self.program, self.x, self.words = program, x, words
        self.engine = Engine(Build.of(program, len(x)))
        ports = {"start": In(1), "done": Out(1), "cycles": Out(32), "valid": Out(1)}
        ports |= {"unit": Out(range(2 * program.hidden)), "value": Out(signed(program.machine.act_bits))}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        """The engine and a memory for each of its ports."""
        m, engine, program = Module(), self.engine, self.program
        m.submodules.engine = engine
        machine, hidden = program.machine, program.hidden
        build, gates = engine.build, program.plan.gates
        bits, act, wide = machine.arithmetic.weight_bits, machine.act_bits, machine.wide.bits
        m.d.comb += [engine.start.eq(self.start), self.done.eq(engine.done), self.cycles.eq(engine.cycles)]
        m.d.comb += [self.valid.eq(engine.output_enable), self.unit.eq(engine.output_address)]
        m.d.comb += self.value.eq(engine.output)

        words = [_packed(row, bits) for row in self.words.tolist()]
        _read(m, _store(m, "words", machine.word_bits, words), engine.word_address, engine.word, engine.word_enable)
        wait = Signal(range(machine.beat))
        m.d.comb += engine.word_ready.eq(wait == 0)
        with m.If(engine.word_taken):
            m.d.sync += wait.eq(machine.beat - 1)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)

        inputs = _store(m, "inputs", len(engine.input), self.x.ravel().tolist())
        _read(m, inputs, engine.input_address, engine.input, engine.input_enable)
        outputs = _store(m, "outputs", act, program.start[0].tolist() + [0] * hidden)
        _read(m, outputs, engine.hidden_address, engine.hidden, engine.hidden_enable)
        _write(m, outputs, engine.output_address, engine.output, engine.output_enable)
        size, scales = machine.scale_bits + build.offset_bits, []
        for slot in range(build.slots):
            for sweep in program.passes:
                offsets = sweep.offset[slot].astype(object) << machine.scale_bits
                rows = sweep.scale[slot] % (1 << machine.scale_bits) + offsets
                scales += [_packed(unit, size) for unit in rows.reshape(gates, hidden).T.tolist()]
        _read(m, _store(m, "scales", gates * size, scales), engine.scale_address, engine.scale)
        partial = _store(m, "partial", len(engine.partial), [0] * engine.sizes[0])
        _read(m, partial, engine.partial_address, engine.partial)
        _write(m, partial, engine.partial_write_address, engine.partial_write, engine.partial_enable)
        if program.cell == "gru":
            _read(m, outputs, engine.before_address, engine.before)
        if program.cell == "lstm":
            cells = _store(m, "cells", wide, program.start[1].tolist())
            _read(m, cells, engine.before_address, engine.before)
            _write(m, cells, engine.cell_address, engine.cell, engine.cell_enable)
        return m


def load(
    program: Program,
    x: Int64[np.ndarray, "time *inputs"],
    words: Int64[np.ndarray, "words lanes"] | None = None,
) -> System:
    """An engine and its memories; `words` replaces the image of the weights."""
    return System(program, x, image.words(program) if words is None else words)


def run(system: System) -> Outcome:
    """Outputs and cycles in Amaranth's simulator."""
    hidden, cycles = system.program.hidden, 0
    outputs = np.zeros((len(system.x), hidden), np.int64)

    async def bench(context) -> None:
        nonlocal cycles
        context.set(system.start, 1)
        step = 0
        ticks = context.tick().sample(system.valid, system.unit, system.value, system.done, system.cycles)
        async for _, _, valid, unit, value, done, count in ticks:
            context.set(system.start, 0)
            if done:
                cycles = count
                break
            if valid:
                outputs[step, unit % hidden] = value
                step += unit % hidden == hidden - 1

    simulator = Simulator(system)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return outputs, cycles


def _packed(codes: list[int], bits: int) -> int:
    """Numbers of `bits` bits side by side, the first lowest."""
    return sum((code & ((1 << bits) - 1)) << (at * bits) for at, code in enumerate(codes))


def _store(m: Module, name: str, bits: int, values: list[int]) -> memory.Memory:
    store = memory.Memory(shape=bits, depth=len(values), init=[value & ((1 << bits) - 1) for value in values])
    m.submodules[name] = store
    return store


def _read(m: Module, store: memory.Memory, address: Value, data: Value, enable: Value | int = 1) -> None:
    port = store.read_port()
    m.d.comb += [port.addr.eq(address), data.eq(port.data), port.en.eq(enable)]


def _write(m: Module, store: memory.Memory, address: Value, data: Value, enable: Value) -> None:
    port = store.write_port()
    m.d.comb += [port.addr.eq(address), port.data.eq(data), port.en.eq(enable)]
