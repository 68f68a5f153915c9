"""The cells over time, compiled: each step rounds h, multiplies whole numbers, and applies the gates in float32."""

import numpy as np

from lowbit.inference.compiled import call_at, entry, inner

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


@entry
def inputs(product, x, steps, top, scale, shift, t, out):
    """Normalized products of all steps: (time rows) from (time inputs), each in units of `steps`."""
    address, sizes, weights, room, q, y = product
    for n in range(len(x)):
        slot = min(t + n, len(scale) - 1)
        whole(x[n], steps[n], top, q)
        call_at(address, sizes, weights, q, room, y)
        for r in range(out.shape[1]):
            out[n, r] = np.float32(y[r]) * (steps[n] * scale[slot, r]) + shift[slot, r]


# Short loops over few parts that each start at zero: of no more than that does the compiler see that it may vectorize.


@inner
def _sigmoids(y, a, x, out):
    for k in range(len(out)):
        out[k] = _sigmoid(np.float32(y[k]) * a[k] + x[k])


@inner
def _tanhs(y, a, x, out):
    for k in range(len(out)):
        out[k] = _tanh(np.float32(y[k]) * a[k] + x[k])


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
        out[k] = np.float32(y[k]) * a[k] + b[k]


@inner
def _sigmoids_of_sums(x, out):
    for k in range(len(out)):
        out[k] = _sigmoid(out[k] + x[k])


@entry
def lstm(product, table, rows, t, step, top, scale, scale_c, shift_c, state, out):
    """Gates i, f, g, o; `state` holds h and c and is overwritten, `out` takes h of each step."""
    address, sizes, weights, room, q, y = product
    units = state.shape[1]
    h, c, gates = state[0], state[1], np.empty(4 * units, np.float32)
    i, f, g, o = gates[:units], gates[units : 2 * units], gates[2 * units : 3 * units], gates[3 * units :]
    for n in range(len(rows)):
        slot = min(t + n, len(scale) - 1)
        x, a = table[min(slot, len(table) - 1), rows[n]], scale[slot]
        whole(h, step, top, q)
        call_at(address, sizes, weights, q, room, y)
        _sigmoids(y, a, x, gates[: 2 * units])
        _tanhs(y[2 * units :], a[2 * units :], x[2 * units :], g)
        _sigmoids(y[3 * units :], a[3 * units :], x[3 * units :], o)
        _keep(i, f, g, c)
        slot = min(slot, len(scale_c) - 1)
        _open(o, c, scale_c[slot], shift_c[slot], h)
        out[n] = h


@entry
def gru(product, table, rows, t, step, top, scale, shift, state, out):
    """Gates r, z, n with the reset after the recurrent product."""
    address, sizes, weights, room, q, y = product
    units = state.shape[1]
    h, gates = state[0], np.empty(3 * units, np.float32)
    r, z, candidate = gates[:units], gates[units : 2 * units], gates[2 * units :]
    for n in range(len(rows)):
        slot = min(t + n, len(scale) - 1)
        x = table[min(slot, len(table) - 1), rows[n]]
        whole(h, step, top, q)
        call_at(address, sizes, weights, q, room, y)
        _affine(y, scale[slot], shift[slot], gates)
        _sigmoids_of_sums(x, gates[: 2 * units])
        _reset(x[2 * units :], r, candidate, candidate)
        _mix(z, candidate, h)
        out[n] = h


@entry
def rnn(product, table, rows, t, step, top, scale, state, out):
    """One tanh."""
    address, sizes, weights, room, q, y = product
    h = state[0]
    for n in range(len(rows)):
        slot = min(t + n, len(scale) - 1)
        whole(h, step, top, q)
        call_at(address, sizes, weights, q, room, y)
        _tanhs(y, scale[slot], table[min(slot, len(table) - 1), rows[n]], h)
        out[n] = h
