"""The time loops of a vanilla RNN, with tanh and with relu."""

import numpy as np

from lowbit.layers.loops.native.activations import ONE, tanh
from lowbit.layers.loops.native.advance import advance
from lowbit.layers.loops.native.norms import back_table, back_value
from lowbit.layers.loops.native.products import multiply


def squash(h, a, x, scale_h, scale_x, offset, bounded):
    """The activation: tanh, or where it is not bounded relu."""
    if bounded:
        for j in range(len(h)):
            h[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])
    else:
        for j in range(len(h)):
            z = a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j]
            h[j] = np.float32(0) if z < np.float32(0) else z


def forward(first, used, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has; the first state may be `used`, or zero."""
    norm_x, norm_h, _ = norms
    a = room.a
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x = norm_h.scale, norm_h.offset, norm_x.scale
    for t in range(steps):
        k = t % len(a)
        h = out[t - 1] if t else start[0]
        advance(t, first, used or t > 0, h, w, a[k], room.own, table, index[t], norm_h, norm_x)
        for j in range(n):
            offset_h[j] += norm_x.offset[j]
        for b in range(batch):
            squash(out[t, b], a[k, b], table[index[t, b]], scale_h, scale_x, offset_h, room.bounded)


def unsquash(d, h, up, later, bounded):
    """The gradient before the activation."""
    if bounded:
        for j in range(len(d)):
            d[j] = (up[j] + later[j]) * (ONE - h[j] * h[j])
    else:
        for j in range(len(d)):
            d[j] = np.float32(0) if h[j] <= np.float32(0) else up[j] + later[j]


def backward(first, used, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends[0]` holds that to the last state, and then to the first."""
    norm_x, norm_h, _ = norms
    steps, batch = up.shape[:2]
    a, g, d_h = room.a, room.g, ends[0]
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            unsquash(g[t, b], out[t, b], up[t, b], d_h[b], room.bounded)
        back_value(norm_h, a[t], g[t], room.own, first, t)
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, d_h, t)
