"""The engine as hardware: sequencer, lanes, shadow registers, and the post-processing unit.

Memories are ports: an address and an enable go out, data come back after the next edge. Stages and registers have
the names of lowbit.hardware.datapath.
"""

from typing import NamedTuple

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import LEAST, Workload, groups
from lowbit.hardware.program import PLANS, Program
from lowbit.hardware.rtl import unit
from lowbit.hardware.rtl.lanes import LaneUnit

IDLE, FETCH, RUN, FINISH = range(4)


class Build(NamedTuple):
    """The sizes of the hardware; a program must have the same."""

    machine: Machine
    work: Workload
    places: tuple[int, ...]  # of each pass
    slots: int = 1
    steps: int = 1  # of the longest sequence

    @classmethod
    def of(cls, program: Program, steps: int) -> "Build":
        """The build of a program and its sequence."""
        places = tuple(sweep.places for sweep in program.passes)
        return cls(program.machine, Workload.of(program), places, len(program.passes[0].scale), steps)

    @property
    def columns(self) -> tuple[int, ...]:
        """Words of each pass over a group in memory, whether read or not."""
        x, h = self.work.planes
        return (self.work.inputs,) * x + (self.work.hidden,) * h

    @property
    def offset_bits(self) -> int:
        """Bits of an offset: a bias at the scale of the sum, and the half that rounds."""
        return self.machine.wide.bits + max(self.places) + 1


class Engine(wiring.Component):
    """An engine for one build; every port that ends in `_address` has data of the same name beside it."""

    def __init__(self, build: Build):
        self.build = build
        machine, work = build.machine, build.work
        self.plan, self.sizes = PLANS[work.cell], groups(machine, work.cell, work.hidden)
        wide, act = machine.wide.bits, machine.act_bits
        words = len(self.sizes) * sum(build.columns)
        units, passes = range(work.hidden), len(build.places)
        ports = {
            "start": In(1),
            "done": Out(1),
            "cycles": Out(32),
            "word_address": Out(range(words)),
            "word_enable": Out(1),
            "word_ready": In(1),  # the word at the address has arrived
            "word_taken": Out(1),
            "word": In(machine.word_bits),
            "input_address": Out(range(build.steps * (1 if work.symbols else work.inputs))),
            "input_enable": Out(1),
            "input": In(range(work.inputs) if work.symbols else signed(act)),
            "hidden_address": Out(range(2 * work.hidden)),
            "hidden_enable": Out(1),
            "hidden": In(signed(act)),
            "output_enable": Out(1),
            "output_address": Out(range(2 * work.hidden)),
            "output": Out(signed(act)),
            "scale_address": Out(range(build.slots * passes * work.hidden)),
            "scale": In(self.plan.gates * (machine.scale_bits + build.offset_bits)),
            "partial_address": Out(range(self.sizes[0])),
            "partial": In(self.plan.fields * wide),
            "partial_enable": Out(1),
            "partial_write_address": Out(range(self.sizes[0])),
            "partial_write": Out(self.plan.fields * wide),
        }
        if self.plan.before:
            ports |= {"before_address": Out(units if self.plan.before == "c" else range(2 * work.hidden))}
            ports |= {"before": In(signed(wide if self.plan.before == "c" else act))}
        if self.plan.before == "c":
            ports |= {"cell_enable": Out(1), "cell_address": Out(units), "cell": Out(signed(wide))}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        """The sequencer, the lanes and the post-processing unit."""
        m = Module()
        self.step, self.bank = Signal(range(self.build.steps + 1)), Signal()
        self.slot = Signal(range(self.build.slots))
        self.phase = Signal(2)
        full, moves = Signal(), Signal()
        remaining = Signal(range(max(self.sizes[0], LEAST) + 1), name="left")  # the ledger hashes names
        m.d.comb += moves.eq(full & (remaining <= 1))
        pending = self._sequence(m, full, moves)
        sums, completed = self._accumulate(m, pending), self._completed(m, pending, full, moves)
        finished = unit.finish(self, m, unit.scale(self, m, sums, moves, remaining, completed))
        with m.If(self.phase != IDLE):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If((self.phase == IDLE) & self.start):
            m.d.sync += [self.phase.eq(FETCH), self.done.eq(0)]
        with m.If(finished):
            m.d.sync += [self.step.eq(self.step + 1), self.bank.eq(~self.bank), self.phase.eq(FETCH)]
            with m.If(self.slot != self.build.slots - 1):
                m.d.sync += self.slot.eq(self.slot + 1)
            with m.If(self.step == self.build.steps - 1):
                m.d.sync += [self.phase.eq(IDLE), self.done.eq(1)]
        return m

    def _sequence(self, m: Module, full: Value, moves: Value) -> dict[str, Value]:
        """Drives the address of the next word; returns the state of the word that waits for the lanes."""
        work, build = self.build.work, self.build
        passes, hidden = len(build.places), work.hidden
        sweep, column, base = Signal(range(passes)), Signal(range(max(work.lengths))), Signal(len(self.word_address))
        first = Signal(range(hidden))  # the first unit of the group
        pending = {"valid": Signal(), "opens": Signal(), "closes": Signal(), "recurrent": Signal()}
        pending |= {"sweep": Signal(range(passes)), "first": Signal(range(hidden))}
        issues, recurrent, closes = Signal(), Signal(), Signal()
        m.d.comb += [
            self.word_taken.eq(pending["valid"] & self.word_ready & ~(pending["opens"] & full & ~moves)),
            issues.eq((self.phase == RUN) & (~pending["valid"] | self.word_taken)),
            recurrent.eq(sweep >= work.planes[0]),
            closes.eq(column == _selected(work.lengths, sweep) - 1),
            self.word_enable.eq(issues),
            self.hidden_enable.eq(issues & recurrent),
            self.hidden_address.eq(Mux(self.bank, hidden, 0) + column),
        ]
        if work.symbols:
            m.d.comb += [self.input_enable.eq(self.phase == FETCH), self.input_address.eq(self.step)]
            m.d.comb += self.word_address.eq(base + Mux(recurrent, column, self.input))
        else:
            at = Signal(len(self.input_address))  # of this step
            m.d.comb += [self.input_enable.eq(issues & ~recurrent), self.input_address.eq(at + column)]
            m.d.comb += self.word_address.eq(base + column)
            with m.If((self.phase == FETCH) & (self.step != 0)):
                m.d.sync += at.eq(at + work.inputs)
        with m.If(self.phase == FETCH):
            m.d.sync += self.phase.eq(RUN)
        with m.If(self.word_taken):
            m.d.sync += pending["valid"].eq(0)
        with m.If(issues):
            m.d.sync += [pending["valid"].eq(1), pending["opens"].eq(column == 0), pending["closes"].eq(closes)]
            m.d.sync += [pending["recurrent"].eq(recurrent), pending["sweep"].eq(sweep), pending["first"].eq(first)]
            m.d.sync += column.eq(column + 1)
            with m.If(closes):
                m.d.sync += [column.eq(0), sweep.eq(sweep + 1), base.eq(base + _selected(build.columns, sweep))]
                with m.If(sweep == passes - 1):
                    m.d.sync += [sweep.eq(0), first.eq(first + self.sizes[0])]
                    with m.If(first == self.sizes[0] * (len(self.sizes) - 1)):
                        m.d.sync += [first.eq(0), base.eq(0), self.phase.eq(FINISH)]
        return pending

    def _accumulate(self, m: Module, pending: dict[str, Value]) -> list[Value]:
        """The lanes, each with its own weight and all with one activation; returns their sums."""
        machine, work = self.build.machine, self.build.work
        x, bits, sums = Signal(signed(machine.act_bits)), machine.arithmetic.weight_bits, []
        inputs = Const(machine.symbol.one, signed(machine.act_bits)) if work.symbols else self.input
        m.d.comb += x.eq(Mux(pending["recurrent"], self.hidden, inputs))
        for number in range(machine.lanes):
            lane = LaneUnit(machine, max(self.build.columns))
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [lane.x.eq(x), lane.weight.eq(self.word[number * bits : (number + 1) * bits])]
            m.d.comb += [lane.take.eq(self.word_taken), lane.open.eq(pending["opens"])]
            sums.append(lane.sum)
        return sums

    def _completed(self, m: Module, pending: dict[str, Value], full: Value, moves: Value) -> dict[str, Value]:
        """The pass whose complete sums wait for the shadow registers."""
        completed = {name: Signal.like(pending[name]) for name in ("sweep", "first")}
        with m.If(moves):
            m.d.sync += full.eq(0)
        with m.If(self.word_taken & pending["closes"]):
            m.d.sync += [full.eq(1), *(completed[name].eq(pending[name]) for name in completed)]
        return completed


def _selected(choices: tuple[int, ...], index: Value) -> Value:
    return Value.cast(Array(Const(choice, range(max(choices) + 1)) for choice in choices)[index])
