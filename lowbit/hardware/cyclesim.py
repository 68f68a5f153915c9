"""The engine cycle by cycle: every lane, register and stall, as the RTL has them.

One sequence at a time. `simulate` gives outputs and counts; `watch` also keeps what the registers held.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lowbit.hardware import golden, image, loader
from lowbit.hardware.cycles import Counts, groups
from lowbit.hardware.datapath import CELLS, COUNTERS, FLAGS, REGISTERS, RNN, WIDTH, Registers
from lowbit.hardware.program import Program


class Trace(NamedTuple):
    """Registers after each cycle."""

    flags: Int64[np.ndarray, " cycles"]  # bits of FLAGS in lowbit.hardware.datapath
    sums: Int64[np.ndarray, "cycles lanes"]
    shadow: Int64[np.ndarray, "cycles lanes"]

    def when(self, flag: str) -> np.ndarray:
        """In which cycles something happened: word, starved, blocked, transfer, drain or write."""
        return (self.flags & FLAGS[flag]) != 0


class Run(NamedTuple):
    """What a simulation gives."""

    outputs: Int64[np.ndarray, "time hidden"]
    counts: Counts
    skipped: int  # additions of used lanes whose weight is zero
    quiet: int  # words of weights that met a zero activation
    trace: Trace


def simulate(
    program: Program,
    x: Int64[np.ndarray, "time *inputs"],
    words: Int64[np.ndarray, "words lanes"] | None = None,
    watched: int = 0,
) -> Run:
    """Runs a sequence; `words` replaces the image of the weights, `watched` is how many cycles are kept."""
    machine, plan, passes = program.machine, program.plan, program.passes
    held, symbols = machine.accumulator, program.inputs is None
    codes = image.words(program) if words is None else words
    weights, zeros = machine.arithmetic.decode(codes), image.zeros(program, codes)
    narrow = machine.arithmetic.largest < 2**7 and held.bits < 32
    saturates = held.bits < machine.arithmetic.sum_bits(machine.act_bits, max(each.weights.shape[1] for each in passes))
    maps = [plan.h if each.recurrent else plan.x for each in passes]
    fresh = [[field not in sum(maps[:at], ()) for field in each] for at, each in enumerate(maps)]
    sigmoid, tanh = golden.tables(machine)
    none = np.zeros((len(x), 1), np.int64)
    outputs = np.zeros((len(x), program.hidden), np.int64)
    counters = np.zeros(len(COUNTERS), np.int64)
    trace = Trace(*(np.zeros((watched, *n), np.int64) for n in ((), (machine.lanes,), (machine.lanes,))))
    loader.run(
        "sequencer.run",
        np.ascontiguousarray(weights, np.int8 if narrow else np.int64),
        zeros,
        image.starts(program),
        np.array([1 if symbols and not each.recurrent else each.weights.shape[1] for each in passes]),
        np.array([each.recurrent for each in passes]),
        np.array(maps),
        np.array(fresh),
        np.array(groups(machine, program.cell, program.hidden)),
        np.stack([each.scale for each in passes]),
        np.stack([each.offset for each in passes]),
        np.array([each.places for each in passes]),
        (sigmoid.entries, sigmoid.places),
        (tanh.entries, tanh.places),
        np.array(
            [held.high, machine.wide.high, machine.activation.fraction, machine.symbol.one, machine.beat, saturates]
        ),
        CELLS.index(program.cell),
        np.array(x if symbols else none[:, 0], np.int64),
        np.array(none if symbols else x, np.int64),
        symbols,
        _reset(program, np.int32 if narrow else np.int64),
        outputs,
        counters,
        *trace,
    )
    told = dict(zip(COUNTERS, counters.tolist(), strict=True))
    skipped, quiet = told.pop("skipped"), told.pop("quiet")
    return Run(outputs, Counts(**told), skipped, quiet, trace)


def _reset(program: Program, kind: type) -> Registers:
    """As before the first edge; sums are whole numbers of that kind."""
    lanes, units = program.machine.lanes, image.units(program)
    h = np.stack([program.start[0], np.zeros_like(program.start[0])])
    partial = np.zeros((units, 1 if CELLS.index(program.cell) >= RNN else 4), np.int64)
    whole = [np.zeros(shape, np.int64) for shape in (REGISTERS, (7, WIDTH))]
    sums, shadow = np.zeros(lanes, kind), np.zeros(lanes, kind)
    return Registers(whole[0], h, program.start[-1].copy(), whole[1], partial, sums, shadow)
