"""The memory of an engine: words of weight codes, a code for each lane, in the order of their use."""

import numpy as np
from jaxtyping import Int64

from lowbit.hardware.program import Program


def units(program: Program) -> int:
    """Hidden units of a full group of rows."""
    return program.machine.lanes // program.plan.gates


def words(program: Program) -> Int64[np.ndarray, "words lanes"]:
    """Codes by group, pass and column; lane $l$ of a group has gate $l \\bmod G$ of its unit $l / G$.

    A lane without a row has code 0, and its sum is not used.
    """
    gates, hidden, size = program.plan.gates, program.hidden, units(program)
    parts = []
    for first in range(0, hidden, size):
        members = np.arange(first, min(first + size, hidden))
        rows = (members[:, None] + hidden * np.arange(gates)).ravel()
        for sweep in program.passes:
            part = np.zeros((sweep.weights.shape[1], program.machine.lanes), np.int64)
            part[:, : len(rows)] = program.machine.arithmetic.encode(sweep.weights[rows]).T
            parts.append(part)
    return np.concatenate(parts)


def starts(program: Program) -> Int64[np.ndarray, "groups passes"]:
    """The address of the first word of each pass."""
    cols = np.array([sweep.weights.shape[1] for sweep in program.passes])
    groups = -(-program.hidden // units(program))
    return np.arange(groups)[:, None] * cols.sum() + np.cumsum(cols) - cols


def zeros(program: Program, codes: Int64[np.ndarray, "words lanes"]) -> Int64[np.ndarray, " words"]:
    """Zero weights in each word, of lanes that have a row."""
    gates, hidden, size = program.plan.gates, program.hidden, units(program)
    length = sum(sweep.weights.shape[1] for sweep in program.passes)
    used = np.repeat([gates * min(size, hidden - first) for first in range(0, hidden, size)], length)
    idle = np.arange(program.machine.lanes) >= used[:, None]
    return ((program.machine.arithmetic.decode(codes) == 0) & ~idle).sum(axis=1)
