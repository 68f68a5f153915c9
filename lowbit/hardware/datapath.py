"""The registers of an engine, and what one clock edge does to the unit behind its lanes.

Stages are evaluated from the last to the first, so that each sees what the one before it held at the edge before.
"""

from typing import NamedTuple

import numpy as np

from lowbit.hardware.cycles import Counts

COUNTERS = (*Counts._fields, "skipped", "quiet")
(CYCLES, WORDS, USED, STARVED, BLOCKED, INPUT_READS, HIDDEN_READS, SCALE_READS, PARTIAL_READS, PARTIAL_WRITES) = range(
    10
)
(CELL_READS, CELL_WRITES, HIDDEN_WRITES, LOOKUPS, SKIPPED, QUIET) = range(10, 16)

FLAGS = {name: 1 << bit for bit, name in enumerate(("word", "starved", "blocked", "transfer", "drain", "write"))}
WORD, STARVING, BLOCKING, TRANSFER, DRAIN, WRITE = FLAGS.values()

# The sequencer, the word that lanes take next, the pass that is complete, the pass in the shadow registers.
PHASE, GROUP, PASS, COLUMN, STEP, BANK = range(6)
HELD, WORD_AT, ACTIVATION, AT_PASS, AT_GROUP, OPENS, CLOSES, WAIT = range(6, 14)
FULL, FULL_PASS, FULL_GROUP, LEFT, DRAINED, DRAIN_PASS, DRAIN_GROUP, BUSY, REGISTERS = range(14, 23)
FETCH, RUN, FINISH = range(3)

# A stage of the unit behind the lanes: whether it holds anything, of which unit and pass, and four numbers.
VALID, UNIT, PLACE, SWEEP, DATA, WIDTH = 0, 1, 2, 3, 4, 8
LSTM, GRU, RNN, RELU = range(4)
CELLS = ("lstm", "gru", "rnn", "relu_rnn")


class Registers(NamedTuple):
    """What an engine holds between two edges, all of it whole numbers."""

    r: np.ndarray  # (REGISTERS): of the sequencer
    h: np.ndarray  # (2 hidden): the outputs that are read, and those that are written
    memory: np.ndarray  # (hidden): the second value of a state
    pipe: np.ndarray  # (7 WIDTH): stages of the unit behind the lanes
    partial: np.ndarray  # (units of a group, fields): sums of passes
    sums: np.ndarray  # (lanes)
    shadow: np.ndarray  # (lanes): sums that leave


def clipped(value, high):
    """Saturates at `high` and at -`high` - 1."""
    return max(min(value, high), -high - 1)


def rounded(value, places):
    """Over 2^places, halves up."""
    return (value + ((1 << places) >> 1)) >> places


def looked_up(table, value):
    """A table at the nearest point."""
    entries, places = table
    half = len(entries) // 2
    return entries[clipped(rounded(value, places), half - 1) + half]


def advance(pipe, stage):
    """The next stage takes what this one holds."""
    for at in range(WIDTH):
        pipe[stage + 1, at] = pipe[stage, at]


def finish(cell, pipe, sigmoid, tanh, limits, memory, h, r, counters):
    """Stages 3 to 6: tables, the new cell, its tanh, the output; gives the unit written, or -1."""
    wide, places = limits[1], limits[2]
    written, out = -1, 4 if cell >= RNN else 6
    if pipe[out, VALID]:
        written, value, other = pipe[out, UNIT], pipe[out, DATA], pipe[out, DATA + 1]
        if cell == LSTM:
            value = rounded(value * other, places)
        elif cell == GRU:
            value += rounded(other * (h[r[BANK], written] - value), places)
            counters[CELL_READS] += 1
        h[1 - r[BANK], written] = value
        counters[HIDDEN_WRITES] += 1
    if cell < RNN:
        advance(pipe, 5)
        pipe[6, DATA] = looked_up(tanh, pipe[5, DATA])
        counters[LOOKUPS] += pipe[5, VALID]
        advance(pipe, 4)
        a, b, c, d = pipe[4, DATA], pipe[4, DATA + 1], pipe[4, DATA + 2], pipe[4, DATA + 3]
        if cell == GRU:
            pipe[5, DATA], pipe[5, DATA + 1] = clipped(c + rounded(a * d, places), wide), b
        elif pipe[4, VALID]:
            unit = pipe[4, UNIT]
            memory[unit] = clipped(rounded(b * memory[unit] + a * c, places), wide)
            counters[CELL_READS] += 1
            counters[CELL_WRITES] += 1
            pipe[5, DATA], pipe[5, DATA + 1] = memory[unit], d
    advance(pipe, 3)
    for at in range(4):
        z = pipe[3, DATA + at]
        if cell == RELU:
            pipe[4, DATA + at] = max(min(z, (1 << places) - 1), 0)
        elif cell == RNN or (cell == LSTM and at == 2):
            pipe[4, DATA + at] = looked_up(tanh, z)
        elif cell == LSTM or at < 2:
            pipe[4, DATA + at] = looked_up(sigmoid, z)
    counters[LOOKUPS] += pipe[3, VALID] * (4, 2, 1, 0)[cell]
    return written


def scale(pipe, shadow, partial, maps, fresh, sizes, scales, offsets, places, limits, hidden, r, counters):
    """Stages 0 to 2: a unit leaves the shadow registers, meets its scales and offsets, joins its partial sums."""
    gates, last, wide = maps.shape[1], len(places) - 1, limits[1]
    slot = min(r[STEP], scales.shape[1] - 1)
    sweep, unit, place = pipe[2, SWEEP], pipe[2, UNIT], pipe[2, PLACE]
    pipe[3, VALID] = pipe[2, VALID] and sweep == last
    if pipe[2, VALID]:
        for gate in range(gates):
            y = (pipe[2, DATA + gate] + offsets[sweep, slot, gate * hidden + unit]) >> places[sweep]
            field = maps[sweep, gate]
            before = 0 if fresh[sweep, gate] else partial[place, field]
            partial[place, field] = clipped(before + clipped(y, wide), wide)
        counters[PARTIAL_READS] += 1
        if sweep == last:
            pipe[3, UNIT] = unit
            for field in range(partial.shape[1]):
                pipe[3, DATA + field] = partial[place, field]
        else:
            counters[PARTIAL_WRITES] += 1
    advance(pipe, 1)
    if pipe[1, VALID]:
        for gate in range(gates):
            pipe[2, DATA + gate] *= scales[pipe[1, SWEEP], slot, gate * hidden + pipe[1, UNIT]]
        counters[SCALE_READS] += 1
    pipe[1, VALID] = r[LEFT] > 0 and r[DRAINED] < sizes[r[DRAIN_GROUP]]
    if pipe[1, VALID]:
        pipe[1, PLACE], pipe[1, SWEEP] = r[DRAINED], r[DRAIN_PASS]
        pipe[1, UNIT] = r[DRAIN_GROUP] * sizes[0] + r[DRAINED]
        for gate in range(gates):
            pipe[1, DATA + gate] = shadow[gate]
        for lane in range(len(shadow) - gates):
            shadow[lane] = shadow[lane + gates]
        r[DRAINED] += 1
