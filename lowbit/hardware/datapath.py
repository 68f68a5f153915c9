"""The registers of an engine, what one clock edge does to them, and the loop over its cycles.

Stages are evaluated from the last to the first, so that each sees the values of the one before it at the last edge.
"""

from typing import NamedTuple

import numpy as np

from lowbit.hardware.cycles import LEAST

CYCLES, WORDS, USED, STARVED, BLOCKED, INPUT_READS, HIDDEN_READS, SCALE_READS = range(8)  # as Counts, then two
PARTIAL_READS, PARTIAL_WRITES, CELL_READS, CELL_WRITES, HIDDEN_WRITES, LOOKUPS, SKIPPED, QUIET = range(8, 16)

FLAGS = {name: 1 << bit for bit, name in enumerate(("word", "starved", "blocked", "transfer", "drain", "write"))}
WORD, STARVING, BLOCKING, TRANSFER, DRAIN, WRITE = FLAGS.values()

# The sequencer, the next word for the lanes, the complete pass, the pass in the shadow registers.
PHASE, GROUP, PASS, COLUMN, STEP, BANK = range(6)
PENDING, WORD_AT, ACTIVATION, AT_PASS, AT_GROUP, OPENS, CLOSES, WAIT = range(6, 14)
FULL, FULL_PASS, FULL_GROUP, LEFT, DRAINED, DRAIN_PASS, DRAIN_GROUP, BUSY, REGISTERS = range(14, 23)
FETCH, RUN, FINISH = range(3)

# A stage of the post-processing unit: whether it is valid, its unit and pass, and four numbers.
VALID, UNIT, PLACE, SWEEP, DATA, WIDTH = 0, 1, 2, 3, 4, 8
LSTM, GRU, RNN, RELU = range(4)  # in the order of lowbit.hardware.program.PLANS


class Registers(NamedTuple):
    """The state of an engine between two edges, all whole numbers."""

    r: np.ndarray  # (REGISTERS): of the sequencer
    h: np.ndarray  # (2 hidden): the outputs that are read, and the new ones
    memory: np.ndarray  # (hidden): the second value of a state
    pipe: np.ndarray  # (7 WIDTH): stages of the post-processing unit
    partial: np.ndarray  # (units of a group, fields): sums of passes
    sums: np.ndarray  # (lanes)
    shadow: np.ndarray  # (lanes): sums on their way to the unit


def clipped(value, high):
    """Saturates at `high` and at -`high` - 1."""
    return max(min(value, high), -high - 1)


def rounded(value, places):
    """The value over 2^places, rounded, halves up."""
    return (value + ((1 << places) >> 1)) >> places


def looked_up(table, value):
    """The value of a table at the nearest point."""
    entries, places = table
    half = len(entries) // 2
    return entries[clipped(rounded(value, places), half - 1) + half]


def advance(pipe, stage):
    """Copies a stage to the next."""
    for at in range(WIDTH):
        pipe[stage + 1, at] = pipe[stage, at]


def finish(cell, pipe, sigmoid, tanh, limits, memory, h, r, counters):
    """Stages 3 to 6: tables, the new cell, its tanh, the output; returns the unit of the output, or -1."""
    wide, places = limits[1], limits[2]
    number, out = -1, 4 if cell >= RNN else 6
    if pipe[out, VALID]:
        number, value, other = pipe[out, UNIT], pipe[out, DATA], pipe[out, DATA + 1]
        if cell == LSTM:
            value = rounded(value * other, places)
        elif cell == GRU:
            value += rounded(other * (h[r[BANK], number] - value), places)
            counters[CELL_READS] += 1
        h[1 - r[BANK], number] = value
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
    return number


def scale(pipe, shadow, partial, maps, fresh, sizes, scales, offsets, places, limits, hidden, r, counters):
    """Stages 0 to 2: a unit leaves the shadow registers, is scaled and shifted, and adds its partial sums."""
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
        counters[PARTIAL_WRITES] += sweep != last
        pipe[3, UNIT] = unit
        for field in range(partial.shape[1]):
            pipe[3, DATA + field] = partial[place, field]
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


def add(sums, weights, at, x, keep, limits):
    """Each lane adds its weight of word `at` times `x`, to zero unless `keep`."""
    for lane in range(len(sums)):
        sums[lane] = keep * sums[lane] + weights[at, lane] * x
    if limits[5]:
        for lane in range(len(sums)):
            sums[lane] = clipped(sums[lane], limits[0])


def accumulate(weights, zeros, sums, shadow, sizes, gates, limits, r, counters):
    """The lanes: sums move to the shadow registers when those are free, and a word of weights is added."""
    moves = r[FULL] and r[LEFT] <= 1
    takes = r[PENDING] and r[WAIT] == 0 and not (r[OPENS] and r[FULL] and not moves)
    flags = TRANSFER * moves + WORD * takes + DRAIN * (r[LEFT] > 0)
    if r[PENDING] and not takes:
        flags += STARVING if r[WAIT] else BLOCKING
        counters[STARVED if r[WAIT] else BLOCKED] += 1
    r[LEFT], r[WAIT] = max(r[LEFT] - 1, 0), max(r[WAIT] - 1, 0)
    if moves:
        for lane in range(len(sums)):
            shadow[lane] = sums[lane]
        r[DRAIN_PASS], r[DRAIN_GROUP], r[DRAINED], r[FULL] = r[FULL_PASS], r[FULL_GROUP], 0, 0
        r[LEFT] = max(sizes[r[DRAIN_GROUP]], LEAST)
    if takes:
        at, x, keep = r[WORD_AT], r[ACTIVATION], not r[OPENS]
        add(sums, weights, at, x, keep, limits)
        counters[WORDS] += 1
        counters[USED] += sizes[r[AT_GROUP]] * gates
        counters[QUIET] += x == 0
        counters[SKIPPED] += zeros[at]
        r[WAIT], r[PENDING] = limits[4] - 1, 0
        if r[CLOSES]:
            r[FULL], r[FULL_PASS], r[FULL_GROUP] = 1, r[AT_PASS], r[AT_GROUP]
    return flags


def issue(starts, lengths, recurrent, symbols, tokens, x, h, limits, r, counters):
    """The sequencer: the address of the next word and its activation, unless a word is pending."""
    if r[PHASE] == FETCH:
        r[PHASE] = RUN
        return
    if r[PENDING] or r[PHASE] != RUN:
        return
    sweep, column, step = r[PASS], r[COLUMN], r[STEP]
    r[PENDING], r[AT_PASS], r[AT_GROUP] = 1, sweep, r[GROUP]
    r[OPENS], r[CLOSES] = column == 0, column == lengths[sweep] - 1
    if recurrent[sweep]:
        r[ACTIVATION] = h[r[BANK], column]
        counters[HIDDEN_READS] += 1
    else:
        r[ACTIVATION] = limits[3] if symbols else x[step, column]
        column = tokens[step] if symbols else column
        counters[INPUT_READS] += 1
    r[WORD_AT] = starts[r[GROUP], sweep] + column
    r[COLUMN] += 1
    if r[CLOSES]:
        r[COLUMN], r[PASS] = 0, r[PASS] + 1
        if r[PASS] == len(lengths):
            r[PASS], r[GROUP] = 0, r[GROUP] + 1
            if r[GROUP] == len(starts):
                r[GROUP], r[PHASE] = 0, FINISH


def burst(weights, zeros, sums, sizes, lengths, recurrent, x, h, gates, limits, r, counters):
    """The cycles before the last word of a pass, if only additions happen in them; returns their number."""
    if r[BUSY] or r[LEFT] or r[FULL] or r[COLUMN] == 0 or not r[PENDING] or limits[4] > 1:
        return 0
    sweep, at, activation, keep = r[PASS], r[WORD_AT], r[ACTIVATION], not r[OPENS]
    source = h[r[BANK]] if recurrent[sweep] else x[r[STEP]]
    for column in range(r[COLUMN], lengths[sweep] - 1):
        add(sums, weights, at, activation, keep, limits)
        counters[QUIET] += activation == 0
        counters[SKIPPED] += zeros[at]
        at, activation, keep = at + 1, source[column], True
    cycles = max(lengths[sweep] - 1 - r[COLUMN], 0)
    counters[WORDS] += cycles
    counters[USED] += cycles * sizes[r[AT_GROUP]] * gates
    counters[HIDDEN_READS if recurrent[sweep] else INPUT_READS] += cycles
    r[WORD_AT], r[ACTIVATION], r[OPENS] = at, activation, not keep
    r[COLUMN] += cycles
    return cycles


def run(
    weights, zeros, starts, lengths, recurrent, maps, fresh, sizes, scales, offsets, places, sigmoid, tanh, limits,
    cell, tokens, x, symbols, registers, outputs, counters, flags, all_sums, all_shadow,
):  # fmt: skip
    """All cycles of a sequence; fills the last five arrays."""
    r, h, memory, pipe, partial, sums, shadow = registers
    steps, hidden = outputs.shape
    gates, cycle = maps.shape[1], 0
    while r[STEP] < steps:
        if cycle >= len(flags):
            cycle += burst(weights, zeros, sums, sizes, lengths, recurrent, x, h, gates, limits, r, counters)
        unit = -1
        r[BUSY] = len(pipe) if r[LEFT] else max(r[BUSY] - 1, 0)
        if r[BUSY]:  # else all stages of the unit are empty
            unit = finish(cell, pipe, sigmoid, tanh, limits, memory, h, r, counters)
            scale(pipe, shadow, partial, maps, fresh, sizes, scales, offsets, places, limits, hidden, r, counters)
        events = accumulate(weights, zeros, sums, shadow, sizes, gates, limits, r, counters)
        issue(starts, lengths, recurrent, symbols, tokens, x, h, limits, r, counters)
        if unit >= 0:
            outputs[r[STEP], unit] = h[1 - r[BANK], unit]
            events += WRITE
            if unit == hidden - 1:
                r[STEP] += 1
                r[BANK], r[PHASE] = 1 - r[BANK], FETCH
        if cycle < len(flags):
            flags[cycle] = events
            for lane in range(len(sums)):
                all_sums[cycle, lane], all_shadow[cycle, lane] = sums[lane], shadow[lane]
        cycle += 1
    counters[CYCLES] = cycle
