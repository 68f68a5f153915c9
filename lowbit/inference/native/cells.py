"""The cells over time, compiled: each step rounds h, multiplies whole numbers, and applies the gates in float32.

Arrays are passed by their addresses. `product` and `layer` are arrays of int64 that do not change between calls: the
`parts` of a `matvec.Product` and the `plan` of an `inference.layer.Layer`.
"""

import numba
import numpy as np

from lowbit.inference.native.emit import inner, reordered
from lowbit.inference.native.vectors import call, pointer, read

ONE, HALF, QUARTER, BOUND = np.float32(1), np.float32(0.5), np.float32(0.25), np.float32(4.5)
P0, P1, P2 = np.float32(135135), np.float32(17325), np.float32(378)
Q1, Q2, Q3 = np.float32(62370), np.float32(3150), np.float32(28)


@inner
def _doubled(x):
    """tanh(2 x) / 2 = N D / (N^2 + D^2), where tanh x = N / D is Lambert's continued fraction after seven terms.

    Within 1e-8 up to its bound.
    """
    s = x * x
    above = x * (P0 + s * (P1 + s * (P2 + s)))
    below = P0 + s * (Q1 + s * (Q2 + s * Q3))
    return above * below / (above * above + below * below)


@inner
def _tanh(x):
    t = _doubled(min(max(HALF * x, -BOUND), BOUND))
    return t + t


@inner
def _sigmoid(x):
    return HALF + _doubled(min(max(QUARTER * x, -BOUND), BOUND))


@inner
def _array(address, shape):
    return numba.carray(pointer(address), shape, np.float32)


@inner
def _round(x, step, top, q):
    """Rounds x / step to the nearest whole number, at most `top` without sign."""
    scale = ONE / step
    for k in range(len(x)):
        q[k] = np.int16(np.rint(min(max(x[k] * scale, -top), top)))


@inner
def _copy(values, out):
    """Copies values to float32."""
    for j in range(len(out)):
        out[j] = np.float32(values[j])


@inner
def _product(product, x, step, top, rows):
    """Sums of a matrix with x in units of `step`, in float32."""
    kernel, sizes, weights, q = read(product), read(product + 8), read(product + 16), read(product + 24)
    buffer, y, z, wide = read(product + 32), read(product + 40), read(product + 48), read(product + 56)
    sums = _array(z, rows)
    _round(x, step, top, numba.carray(pointer(q), len(x), np.int16))
    call(kernel, sizes, weights, q, buffer, z if wide else y)
    if not wide:
        _copy(numba.carray(pointer(y), rows, np.int32), sums)
    return sums


@reordered
def _dot(a, b):
    total = np.float32(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


def readout(weights, bias, outputs, units, h, count, out):
    """Weights (outputs units) times each of `count` vectors, plus the bias, in float32."""
    w, b = _array(weights, (outputs, units)), _array(bias, outputs)
    x, y = _array(h, (count, units)), _array(out, (count, outputs))
    for r in range(outputs):
        for n in range(count):
            y[n, r] = _dot(w[r], x[n]) + b[r]


def inputs(product, rows, cols, scale, shift, slots, x, units, top, steps, batch, t, out):
    """Normalized products of all steps: (time batch rows) from (time batch cols), each in units of `units`."""
    a, b = _array(scale, (slots, rows)), _array(shift, (slots, rows))
    vectors, unit, z = _array(x, (steps, batch, cols)), _array(units, (steps, batch)), _array(out, (steps, batch, rows))
    for n in range(steps):
        slot = min(t + n, slots - 1)
        for s in range(batch):
            y = _product(product, vectors[n, s], unit[n, s], np.float32(top), rows)
            for r in range(rows):
                z[n, s, r] = y[r] * (unit[n, s] * a[slot, r]) + b[slot, r]


# Short loops over few parts that each start at zero: of no more than that does the compiler see that it may vectorize.


@inner
def _sigmoids(y, a, x, out):
    for k in range(len(out)):
        out[k] = _sigmoid(y[k] * a[k] + x[k])


@inner
def _tanhs(y, a, x, out):
    for k in range(len(out)):
        out[k] = _tanh(y[k] * a[k] + x[k])


@inner
def _remember(i, f, g, c):
    for j in range(len(c)):
        c[j] = f[j] * c[j] + i[j] * g[j]


@inner
def _output(o, c, settle, offset, h):
    for j in range(len(h)):
        h[j] = o[j] * _tanh(c[j] * settle[j] + offset[j])


@inner
def _reset(x, r, inner, out):
    for j in range(len(out)):
        out[j] = _tanh(x[j] + r[j] * inner[j])


@inner
def _interpolate(z, n, h):
    for j in range(len(h)):
        h[j] = n[j] + z[j] * (h[j] - n[j])


@inner
def _affine(y, a, b, out):
    for k in range(len(out)):
        out[k] = y[k] * a[k] + b[k]


@inner
def _sigmoids_of_sums(x, out):
    for k in range(len(out)):
        out[k] = _sigmoid(out[k] + x[k])


@inner
def _layer(layer, gates, memories, rows, steps, batch, state, out):
    """The arrays of a layer and of a call."""
    units, symbols, slots, scales = read(layer), read(layer + 16), read(layer + 32), read(layer + 48)
    return (
        _array(read(layer + 24), (slots, symbols, gates * units)),
        _array(read(layer + 40), (scales, gates * units)),
        _array(read(layer + 56), gates * units),
        numba.carray(pointer(rows), (steps, batch), np.int64),
        _array(state, (batch, memories, units)),
        _array(out, (steps, batch, units)),
    )


@inner
def _recurrent(product, layer, h, rows):
    bits = read(layer + 8)
    return _product(product, h, ONE / np.float32(1 << (bits - 1)), np.float32((1 << (bits - 1)) - 1), rows)


def lstm(product, layer, rows, steps, batch, t, state, out):
    """Gates i, f, g, o; `state` holds h and c and is overwritten, `out` takes h of each step."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 4, 2, rows, steps, batch, state, out)
    units, slots = read(layer), read(layer + 64)
    scale_c, shift_c = _array(read(layer + 72), (slots, units)), _array(read(layer + 80), (slots, units))
    i, f, g, o = gates[:units], gates[units : 2 * units], gates[2 * units : 3 * units], gates[3 * units :]
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        settled = min(slot, slots - 1)
        a = scale[slot]
        for s in range(batch):
            x, h, c = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0], states[s, 1]
            y = _recurrent(product, layer, h, 4 * units)
            _sigmoids(y, a, x, gates[: 2 * units])
            _tanhs(y[2 * units :], a[2 * units :], x[2 * units :], g)
            _sigmoids(y[3 * units :], a[3 * units :], x[3 * units :], o)
            _remember(i, f, g, c)
            _output(o, c, scale_c[settled], shift_c[settled], h)
            _copy(h, outputs[n, s])


def gru(product, layer, rows, steps, batch, t, state, out):
    """Gates r, z, n with the reset after the recurrent product."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 3, 1, rows, steps, batch, state, out)
    units = read(layer)
    shift = _array(read(layer + 72), scale.shape)
    r, z, candidate = gates[:units], gates[units : 2 * units], gates[2 * units :]
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        for s in range(batch):
            x, h = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0]
            _affine(_recurrent(product, layer, h, 3 * units), scale[slot], shift[slot], gates)
            _sigmoids_of_sums(x, gates[: 2 * units])
            _reset(x[2 * units :], r, candidate, candidate)
            _interpolate(z, candidate, h)
            _copy(h, outputs[n, s])


def rnn(product, layer, rows, steps, batch, t, state, out):
    """One tanh."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 1, 1, rows, steps, batch, state, out)
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        for s in range(batch):
            x, h = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0]
            _tanhs(_recurrent(product, layer, h, len(gates)), scale[slot], x, h)
            _copy(h, outputs[n, s])
