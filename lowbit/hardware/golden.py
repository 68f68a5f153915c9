"""The golden model: the values that an engine computes, in whole numbers only, for many sequences at once."""

import functools

import numpy as np
from jaxtyping import Int64

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Table, product, saturating, shifted
from lowbit.hardware.program import Pass, Program

Values = tuple[Int64[np.ndarray, "batch hidden"], ...]  # h, and c of an LSTM


@functools.lru_cache
def tables(machine: Machine) -> tuple[Table, Table]:
    """The tables of sigmoid from -8 to 8 and of tanh from -4 to 4."""
    wide, bits, out = machine.wide, machine.table_bits, machine.activation
    return (
        Table.of(lambda v: 1 / (1 + np.exp(-v)), 3, bits, wide, out),
        Table.of(np.tanh, 2, bits, wide, out),
    )


def step(program: Program, x: Int64[np.ndarray, "batch *inputs"], values: Values, t: int) -> Values:
    """The state after step `t`, which selects the slot of the norms; `x` are symbols or rows of inputs."""
    return FINISH[program.cell](program.machine, preactivations(program, x, values, t), values)


def preactivations(
    program: Program, x: Int64[np.ndarray, "batch *inputs"], values: Values, t: int
) -> Int64[np.ndarray, "batch fields hidden"]:
    """The sums of all passes of a step, scaled and shifted: the arguments of the tables."""
    plan, wide = program.plan, program.machine.wide
    sums = np.zeros((len(x), plan.fields, program.hidden), np.int64)
    for sweep in program.passes:
        slot = min(t, len(sweep.scale) - 1)
        scaled = accumulate(program, sweep, x, values[0]) * sweep.scale[slot] + sweep.offset[slot]
        parts = np.split(wide.saturate(scaled >> sweep.places), plan.gates, axis=1)
        for part, field in zip(parts, plan.h if sweep.recurrent else plan.x, strict=True):
            sums[:, field] = wide.saturate(sums[:, field] + part)
    return sums


def accumulate(
    program: Program, sweep: Pass, x: Int64[np.ndarray, "batch *inputs"], h: Int64[np.ndarray, "batch hidden"]
) -> Int64[np.ndarray, "batch rows"]:
    """The sum of each row in its accumulator."""
    machine, weights = program.machine, sweep.weights
    if not sweep.recurrent and program.inputs is None:
        return machine.accumulator.saturate(weights.T[x] * machine.symbol.one)
    vectors, form = (h, machine.activation) if sweep.recurrent else (x, program.inputs)
    if int(np.abs(weights).sum(axis=1).max()) * -form.low < 1 << (machine.accumulator.bits - 1):
        return product(vectors, weights, -form.low)
    return saturating(vectors, weights, machine.accumulator.bits)


def run(
    program: Program, x: Int64[np.ndarray, "time batch *inputs"], values: Values | None = None, t: int = 0
) -> tuple[Int64[np.ndarray, "time batch hidden"], Values]:
    """The outputs of all steps and the last state; the first step has number `t`."""
    if values is None:
        values = tuple(np.repeat(row[None], x.shape[1], axis=0) for row in program.start)
    outputs = []
    for number, row in enumerate(x, start=t):
        values = step(program, row, values, number)
        outputs.append(values[0])
    return np.stack(outputs), values


def lstm(machine: Machine, sums: Int64[np.ndarray, "batch 4 hidden"], values: Values) -> Values:
    """$c' = f c + i g$ and $h' = o \\tanh c'$, each rounded and saturated once."""
    sigmoid, tanh = tables(machine)
    places, c = machine.activation.fraction, values[1]
    i, f, g, o = sigmoid(sums[:, 0]), sigmoid(sums[:, 1]), tanh(sums[:, 2]), sigmoid(sums[:, 3])
    c = machine.wide.saturate(shifted(f * c + i * g, places))
    return shifted(o * tanh(c), places), c


def gru(machine: Machine, sums: Int64[np.ndarray, "batch 4 hidden"], values: Values) -> Values:
    """$n = \\tanh(a + r b)$ and $h' = n + z (h - n)$, each product rounded once."""
    sigmoid, tanh = tables(machine)
    places, (h,) = machine.activation.fraction, values
    r, z = sigmoid(sums[:, 0]), sigmoid(sums[:, 1])
    n = tanh(machine.wide.saturate(sums[:, 2] + shifted(r * sums[:, 3], places)))
    return (n + shifted(z * (h - n), places),)


def rnn(machine: Machine, sums: Int64[np.ndarray, "batch 1 hidden"], values: Values) -> Values:
    """$h' = \\tanh a$."""
    return (tables(machine)[1](sums[:, 0]),)


def relu_rnn(machine: Machine, sums: Int64[np.ndarray, "batch 1 hidden"], values: Values) -> Values:
    """$h' = \\max(a, 0)$, saturated."""
    return (np.clip(sums[:, 0], 0, machine.activation.high),)


FINISH = {"lstm": lstm, "gru": gru, "rnn": rnn, "relu_rnn": relu_rnn}
