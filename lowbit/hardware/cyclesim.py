"""The engine cycle by cycle, one sequence at a time: every lane, register and stall of the RTL."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lowbit.hardware import golden, image, loader
from lowbit.hardware.cycles import Counts, groups
from lowbit.hardware.datapath import FLAGS, QUIET, REGISTERS, WIDTH, Registers
from lowbit.hardware.program import PLANS, Program


class Trace(NamedTuple):
    """Registers after each cycle."""

    flags: Int64[np.ndarray, " cycles"]  # bits of FLAGS in lowbit.hardware.datapath
    sums: Int64[np.ndarray, "cycles lanes"]
    shadow: Int64[np.ndarray, "cycles lanes"]

    def when(self, flag: str) -> np.ndarray:
        """The cycles with an event: word, starved, blocked, transfer, drain or write."""
        return (self.flags & FLAGS[flag]) != 0


class Run(NamedTuple):
    """The result of a simulation."""

    outputs: Int64[np.ndarray, "time hidden"]
    counts: Counts
    skipped: int  # additions of lanes in use whose weight is zero
    quiet: int  # words of weights with a zero activation
    trace: Trace


def simulate(
    program: Program,
    x: Int64[np.ndarray, "time *inputs"],
    words: Int64[np.ndarray, "words lanes"] | None = None,
    watched: int = 0,
) -> Run:
    """Runs a sequence; `words` replaces the image of the weights, `watched` is the number of cycles in the trace."""
    machine, plan, passes = program.machine, program.plan, program.passes
    accumulator, symbols = machine.accumulator, program.inputs is None
    codes = image.words(program) if words is None else words
    weights, zeros = machine.arithmetic.decode(codes), image.zeros(program, codes)
    narrow = machine.arithmetic.largest < 2**7 and accumulator.bits < 32
    longest = max(sweep.weights.shape[1] for sweep in passes)
    saturates = accumulator.bits < machine.arithmetic.sum_bits(machine.act_bits, longest)
    limits = [accumulator.high, machine.wide.high, machine.activation.fraction]
    limits += [machine.symbol.one, machine.beat, saturates]
    maps = [plan.h if sweep.recurrent else plan.x for sweep in passes]
    fresh = [[field not in sum(maps[:at], ()) for field in fields] for at, fields in enumerate(maps)]
    sigmoid, tanh = golden.tables(machine)
    unused = np.zeros((len(x), 1), np.int64)
    outputs = np.zeros((len(x), program.hidden), np.int64)
    counters = np.zeros(QUIET + 1, np.int64)
    trace = Trace(*(np.zeros((watched, *n), np.int64) for n in ((), (machine.lanes,), (machine.lanes,))))
    loader.run(
        "datapath.run",
        np.ascontiguousarray(weights, np.int8 if narrow else np.int64),
        zeros,
        image.starts(program),
        np.array([1 if symbols and not sweep.recurrent else sweep.weights.shape[1] for sweep in passes]),
        np.array([sweep.recurrent for sweep in passes]),
        np.array(maps),
        np.array(fresh),
        np.array(groups(machine, program.cell, program.hidden)),
        np.stack([sweep.scale for sweep in passes]),
        np.stack([sweep.offset for sweep in passes]),
        np.array([sweep.places for sweep in passes]),
        (sigmoid.entries, sigmoid.places),
        (tanh.entries, tanh.places),
        np.array(limits),
        list(PLANS).index(program.cell),
        np.array(x if symbols else unused[:, 0], np.int64),
        np.array(unused if symbols else x, np.int64),
        symbols,
        _reset(program, np.int32 if narrow else np.int64),
        outputs,
        counters,
        *trace,
    )
    *counts, skipped, quiet = counters.tolist()
    return Run(outputs, Counts(*counts), skipped, quiet, trace)


def _reset(program: Program, kind: type) -> Registers:
    """The registers before the first edge; sums are of type `kind`."""
    lanes, units = program.machine.lanes, image.units(program)
    h = np.stack([program.start[0], np.zeros_like(program.start[0])])
    r, pipe, partial = (np.zeros(shape, np.int64) for shape in (REGISTERS, (7, WIDTH), (units, program.plan.fields)))
    return Registers(r, h, program.start[-1].copy(), pipe, partial, np.zeros(lanes, kind), np.zeros(lanes, kind))
