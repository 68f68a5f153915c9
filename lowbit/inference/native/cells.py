"""The cells over time, compiled: each step rounds h, multiplies whole numbers, and applies the gates in float32.

What does not change between calls is an array of int64 whose address is given: `product` as `matvec.Product` has
it, `layer` as `inference.layer.Layer`. So is every array, by its address.
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
def whole(x, step, top, q):
    """Rounds x / step to the nearest whole number, at most `top` without sign."""
    each = ONE / step
    for k in range(len(x)):
        q[k] = np.int16(np.rint(min(max(x[k] * each, -top), top)))


@inner
def _floats(y, z):
    for r in range(len(z)):
        z[r] = np.float32(y[r])


@inner
def _copied(h, out):
    for j in range(len(h)):
        out[j] = h[j]


@inner
def _product(product, x, step, top, rows):
    """Sums of a matrix with x in units of `step`, in float32."""
    kernel, sizes, weights, q = read(product), read(product + 8), read(product + 16), read(product + 24)
    room, y, z, wide = read(product + 32), read(product + 40), read(product + 48), read(product + 56)
    sums = numba.carray(pointer(z), rows, np.float32)
    whole(x, step, top, numba.carray(pointer(q), len(x), np.int16))
    call(kernel, sizes, weights, q, room, z if wide else y)
    if not wide:
        _floats(numba.carray(pointer(y), rows, np.int32), sums)
    return sums


@reordered
def _dot(a, b):
    total = np.float32(0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


def readout(weights, bias, outputs, units, h, count, out):
    """Weights (outputs units) times each of `count` vectors, plus the bias, in float32."""
    rows = numba.carray(pointer(weights), (outputs, units), np.float32)
    b = numba.carray(pointer(bias), outputs, np.float32)
    given = numba.carray(pointer(h), (count, units), np.float32)
    y = numba.carray(pointer(out), (count, outputs), np.float32)
    for r in range(outputs):
        for n in range(count):
            y[n, r] = _dot(rows[r], given[n]) + b[r]


def inputs(product, rows, cols, scale, shift, slots, x, units, top, steps, batch, t, out):
    """Normalized products of all steps: (time batch rows) from (time batch cols), each in units of `units`."""
    a = numba.carray(pointer(scale), (slots, rows), np.float32)
    b = numba.carray(pointer(shift), (slots, rows), np.float32)
    given = numba.carray(pointer(x), (steps, batch, cols), np.float32)
    each = numba.carray(pointer(units), (steps, batch), np.float32)
    z = numba.carray(pointer(out), (steps, batch, rows), np.float32)
    for n in range(steps):
        slot = min(t + n, slots - 1)
        for s in range(batch):
            y = _product(product, given[n, s], each[n, s], np.float32(top), rows)
            for r in range(rows):
                z[n, s, r] = y[r] * (each[n, s] * a[slot, r]) + b[slot, r]


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
def _keep(i, f, g, c):
    for j in range(len(c)):
        c[j] = f[j] * c[j] + i[j] * g[j]


@inner
def _open(o, c, settle, offset, h):
    for j in range(len(h)):
        h[j] = o[j] * _tanh(c[j] * settle[j] + offset[j])


@inner
def _reset(x, r, inner, out):
    for j in range(len(out)):
        out[j] = _tanh(x[j] + r[j] * inner[j])


@inner
def _mix(z, n, h):
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
    """Of a call: the arrays of the layer and those that are given."""
    units, symbols, slots, kept = read(layer), read(layer + 16), read(layer + 32), read(layer + 48)
    return (
        numba.carray(pointer(read(layer + 24)), (slots, symbols, gates * units), np.float32),
        numba.carray(pointer(read(layer + 40)), (kept, gates * units), np.float32),
        numba.carray(pointer(read(layer + 56)), gates * units, np.float32),
        numba.carray(pointer(rows), (steps, batch), np.int64),
        numba.carray(pointer(state), (batch, memories, units), np.float32),
        numba.carray(pointer(out), (steps, batch, units), np.float32),
    )


@inner
def _recurrent(product, layer, h, rows):
    bits = read(layer + 8)
    return _product(product, h, ONE / np.float32(1 << (bits - 1)), np.float32((1 << (bits - 1)) - 1), rows)


def lstm(product, layer, rows, steps, batch, t, state, out):
    """Gates i, f, g, o; `state` holds h and c and is overwritten, `out` takes h of each step."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 4, 2, rows, steps, batch, state, out)
    units, kept = read(layer), read(layer + 64)
    scale_c = numba.carray(pointer(read(layer + 72)), (kept, units), np.float32)
    shift_c = numba.carray(pointer(read(layer + 80)), (kept, units), np.float32)
    i, f, g, o = gates[:units], gates[units : 2 * units], gates[2 * units : 3 * units], gates[3 * units :]
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        settled = min(slot, kept - 1)
        a = scale[slot]
        for s in range(batch):
            x, h, c = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0], states[s, 1]
            y = _recurrent(product, layer, h, 4 * units)
            _sigmoids(y, a, x, gates[: 2 * units])
            _tanhs(y[2 * units :], a[2 * units :], x[2 * units :], g)
            _sigmoids(y[3 * units :], a[3 * units :], x[3 * units :], o)
            _keep(i, f, g, c)
            _open(o, c, scale_c[settled], shift_c[settled], h)
            _copied(h, outputs[n, s])


def gru(product, layer, rows, steps, batch, t, state, out):
    """Gates r, z, n with the reset after the recurrent product."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 3, 1, rows, steps, batch, state, out)
    units = read(layer)
    shift = numba.carray(pointer(read(layer + 72)), scale.shape, np.float32)
    r, z, candidate = gates[:units], gates[units : 2 * units], gates[2 * units :]
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        for s in range(batch):
            x, h = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0]
            _affine(_recurrent(product, layer, h, 3 * units), scale[slot], shift[slot], gates)
            _sigmoids_of_sums(x, gates[: 2 * units])
            _reset(x[2 * units :], r, candidate, candidate)
            _mix(z, candidate, h)
            _copied(h, outputs[n, s])


def rnn(product, layer, rows, steps, batch, t, state, out):
    """One tanh."""
    table, scale, gates, symbols, states, outputs = _layer(layer, 1, 1, rows, steps, batch, state, out)
    for n in range(steps):
        slot = min(t + n, len(scale) - 1)
        for s in range(batch):
            x, h = table[min(slot, len(table) - 1), symbols[n, s]], states[s, 0]
            _tanhs(_recurrent(product, layer, h, len(gates)), scale[slot], x, h)
            _copied(h, outputs[n, s])
