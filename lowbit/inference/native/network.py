"""A whole step of a model that reads symbols, compiled: its layers, its readout, and the choice of the next symbol.

Arrays are passed by their addresses. A program is an array of int64 that does not change between calls, as
`inference.steps.Steps` writes it: `HEAD` entries for the model, then `ENTRY` for each layer.
"""

import numba
import numpy as np

from lowbit.inference.native import cells
from lowbit.inference.native.emit import inner
from lowbit.inference.native.vectors import pointer, read
from lowbit.inference.steps import ENTRY, HEAD

_inputs, _readout = inner(cells.inputs), inner(cells.readout)


@inner
def _multiply_inputs(entry, units, h, batch, t):
    """The input products of a layer above the first, into the table that its step reads."""
    product, rows, scale, shift = read(entry + 24), read(entry + 32), read(entry + 40), read(entry + 48)
    slots, unit, top, out = read(entry + 56), read(entry + 64), read(entry + 72), read(entry + 80)
    _inputs(product, rows, units, scale, shift, slots, h, unit, top, 1, batch, t, out)


def _with(cell):
    """The two functions of models with a cell."""
    run = inner(cell)

    @inner
    def _advance(program, symbols, batch, t, states, logits):
        layers, units, order = read(program), read(program + 8), read(program + 16)
        weights, bias, outputs = read(program + 24), read(program + 32), read(program + 40)
        entry, rows, h = program + 8 * HEAD, symbols, symbols
        for n in range(layers):
            if n > 0:
                _multiply_inputs(entry, units, h, batch, t)
                rows = order
            h = read(entry + 16)
            run(read(entry), read(entry + 8), rows, 1, batch, t, read(states + 8 * n), h)
            entry += 8 * ENTRY
        _readout(weights, bias, outputs, units, h, batch, logits)

    def advance(call):
        """One step of sequences side by side; `call` holds t, batch, then the addresses that `_advance` takes."""
        t, batch, program, symbols = read(call), read(call + 8), read(call + 16), read(call + 24)
        _advance(program, symbols, batch, t, read(call + 32), read(call + 40))

    def write(call, count, temperature, noise, chosen):
        """`count` symbols of one sequence, each of the largest sum of a logit over the temperature and its noise."""
        t, program, states, logits = read(call), read(call + 16), read(call + 32), read(call + 40)
        outputs = read(program + 40)
        y = numba.carray(pointer(logits), outputs, np.float32)
        heat = numba.carray(pointer(temperature), 1, np.float32)[0]
        draws = numba.carray(pointer(noise), (count, outputs), np.float64)
        codes = numba.carray(pointer(chosen), count, np.int64)
        for n in range(count):
            best, most = 0, -np.inf
            for k in range(outputs):
                value = np.float64(y[k] / heat) + draws[n, k]
                if value > most:
                    best, most = k, value
            codes[n] = best
            _advance(program, chosen + 8 * n, 1, t + n, states, logits)

    return advance, write


advance_lstm, write_lstm = _with(cells.lstm)
advance_gru, write_gru = _with(cells.gru)
advance_rnn, write_rnn = _with(cells.rnn)
