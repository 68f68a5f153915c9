"""The lanes and the sequencer of an engine, and the loop over its cycles."""

from lowbit.hardware.cycles import LEAST
from lowbit.hardware.datapath import (
    ACTIVATION,
    AT_GROUP,
    AT_PASS,
    BANK,
    BLOCKED,
    BLOCKING,
    BUSY,
    CLOSES,
    COLUMN,
    CYCLES,
    DRAIN,
    DRAIN_GROUP,
    DRAIN_PASS,
    DRAINED,
    FETCH,
    FINISH,
    FULL,
    FULL_GROUP,
    FULL_PASS,
    GROUP,
    HELD,
    HIDDEN_READS,
    INPUT_READS,
    LEFT,
    OPENS,
    PASS,
    PHASE,
    QUIET,
    RUN,
    SKIPPED,
    STARVED,
    STARVING,
    STEP,
    TRANSFER,
    USED,
    WAIT,
    WORD,
    WORD_AT,
    WORDS,
    WRITE,
    clipped,
    finish,
    scale,
)


def accumulate(weights, zeros, sums, shadow, sizes, gates, limits, r, counters):
    """The lanes: sums move to the shadow registers when those are free, and a word of weights is taken."""
    moves = r[FULL] and r[LEFT] <= 1
    takes = r[HELD] and r[WAIT] == 0 and not (r[OPENS] and r[FULL] and not moves)
    flags = TRANSFER * moves + WORD * takes + DRAIN * (r[LEFT] > 0)
    if r[HELD] and not takes:
        flags += STARVING if r[WAIT] else BLOCKING
        counters[STARVED if r[WAIT] else BLOCKED] += 1
    r[LEFT] = max(r[LEFT] - 1, 0)
    r[WAIT] = max(r[WAIT] - 1, 0)
    if moves:
        for lane in range(len(sums)):
            shadow[lane] = sums[lane]
        r[DRAIN_PASS], r[DRAIN_GROUP], r[DRAINED], r[FULL] = r[FULL_PASS], r[FULL_GROUP], 0, 0
        r[LEFT] = max(sizes[r[DRAIN_GROUP]], LEAST)
    if takes:
        at, x, high, keep = r[WORD_AT], r[ACTIVATION], limits[0], not r[OPENS]
        for lane in range(len(sums)):
            sums[lane] = keep * sums[lane] + weights[at, lane] * x
        if limits[5]:
            for lane in range(len(sums)):
                sums[lane] = clipped(sums[lane], high)
        counters[WORDS] += 1
        counters[USED] += sizes[r[AT_GROUP]] * gates
        counters[QUIET] += x == 0
        counters[SKIPPED] += zeros[at]
        r[WAIT], r[HELD] = limits[4] - 1, 0
        if r[CLOSES]:
            r[FULL], r[FULL_PASS], r[FULL_GROUP] = 1, r[AT_PASS], r[AT_GROUP]
    return flags


def issue(starts, lengths, recurrent, symbols, tokens, x, h, limits, r, counters):
    """The sequencer: the address of the next word and of the activation that it meets, where there is room."""
    if r[PHASE] == FETCH:
        r[PHASE] = RUN
        return
    if r[HELD] or r[PHASE] != RUN:
        return
    sweep, column, step = r[PASS], r[COLUMN], r[STEP]
    r[HELD], r[AT_PASS], r[AT_GROUP] = 1, sweep, r[GROUP]
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
        r[COLUMN] = 0
        r[PASS] += 1
        if r[PASS] == len(lengths):
            r[PASS] = 0
            r[GROUP] += 1
            if r[GROUP] == len(starts):
                r[GROUP], r[PHASE] = 0, FINISH


def burst(weights, zeros, sums, sizes, lengths, recurrent, x, h, gates, limits, r, counters):
    """The cycles before the last word of a pass, if nothing but additions happens in them; gives their number."""
    if r[BUSY] or r[LEFT] or r[FULL] or r[COLUMN] == 0 or not r[HELD] or limits[4] > 1:
        return 0
    sweep, at, activation, keep = r[PASS], r[WORD_AT], r[ACTIVATION], not r[OPENS]
    source = h[r[BANK]] if recurrent[sweep] else x[r[STEP]]
    for column in range(r[COLUMN], lengths[sweep] - 1):
        for lane in range(len(sums)):
            sums[lane] = keep * sums[lane] + weights[at, lane] * activation
        if limits[5]:
            for lane in range(len(sums)):
                sums[lane] = clipped(sums[lane], limits[0])
        counters[QUIET] += activation == 0
        counters[SKIPPED] += zeros[at]
        at, activation, keep = at + 1, source[column], True
    done = max(lengths[sweep] - 1 - r[COLUMN], 0)
    counters[WORDS] += done
    counters[USED] += done * sizes[r[AT_GROUP]] * gates
    counters[HIDDEN_READS if recurrent[sweep] else INPUT_READS] += done
    r[WORD_AT], r[ACTIVATION], r[OPENS] = at, activation, not keep
    r[COLUMN] += done
    return done


def run(
    weights, zeros, starts, lengths, recurrent, maps, fresh, sizes, scales, offsets, places, sigmoid, tanh, limits,
    cell, tokens, x, symbols, registers, outputs, counters, flags, all_sums, all_shadow,
):  # fmt: skip
    """All cycles of a sequence; the last five arrays are filled."""
    r, h, memory, pipe, partial, sums, shadow = registers
    steps, hidden = outputs.shape
    gates, cycle = maps.shape[1], 0
    while r[STEP] < steps:
        if cycle >= len(flags):
            cycle += burst(weights, zeros, sums, sizes, lengths, recurrent, x, h, gates, limits, r, counters)
        written = -1
        r[BUSY] = len(pipe) if r[LEFT] else max(r[BUSY] - 1, 0)
        if r[BUSY]:  # else all stages behind the lanes are empty
            written = finish(cell, pipe, sigmoid, tanh, limits, memory, h, r, counters)
            scale(pipe, shadow, partial, maps, fresh, sizes, scales, offsets, places, limits, hidden, r, counters)
        seen = accumulate(weights, zeros, sums, shadow, sizes, gates, limits, r, counters)
        issue(starts, lengths, recurrent, symbols, tokens, x, h, limits, r, counters)
        if written >= 0:
            outputs[r[STEP], written] = h[1 - r[BANK], written]
            seen += WRITE
            if written == hidden - 1:
                r[STEP] += 1
                r[BANK], r[PHASE] = 1 - r[BANK], FETCH
        if cycle < len(flags):
            flags[cycle] = seen
            for lane in range(len(sums)):
                all_sums[cycle, lane], all_shadow[cycle, lane] = sums[lane], shadow[lane]
        cycle += 1
    counters[CYCLES] = cycle
