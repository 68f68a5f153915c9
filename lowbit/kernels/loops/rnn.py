"""The time loops of a vanilla RNN, with tanh and with relu."""

import numpy as np

from lowbit.kernels.loops.activations import ONE, tanh
from lowbit.kernels.loops.advance import advance
from lowbit.kernels.loops.compiled import entry, inner, no_type_check
from lowbit.kernels.loops.norms import back_table, back_value
from lowbit.kernels.loops.products import multiply


@inner
@no_type_check
def squash(h, a, x, scale_h, scale_x, offset, bounded):
    """The activation: tanh, or where it is not bounded relu."""
    if bounded:
        for j in range(len(h)):
            h[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])
    else:
        for j in range(len(h)):
            z = a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j]
            h[j] = np.float32(0) if z < np.float32(0) else z


@entry
@no_type_check
def forward(first, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has."""
    norm_x, norm_h, _ = norms
    a = room.a
    steps, batch, n = out.shape
    own, used = np.arange(batch), start[0].any()  # the product with zero is known
    scale_h, offset_h = np.empty(n, np.float32), np.empty(n, np.float32)
    scale_x, offset_x = np.empty(n, np.float32), np.empty(n, np.float32)
    for t in range(steps):
        k = t % len(a)
        h = out[t - 1] if t else start[0]
        moved = t or used
        advance(t, first, moved, h, w, a[k], own, table, index[t], norm_h, norm_x, scale_h, offset_h, scale_x, offset_x)
        for j in range(n):
            offset_h[j] += offset_x[j]
        for b in range(batch):
            squash(out[t, b], a[k, b], table[index[t, b]], scale_h, scale_x, offset_h, room.bounded)


@inner
@no_type_check
def unsquash(d, h, up, later, bounded):
    """The gradient before the activation."""
    if bounded:
        for j in range(len(d)):
            d[j] = (up[j] + later[j]) * (ONE - h[j] * h[j])
    else:
        for j in range(len(d)):
            d[j] = np.float32(0) if h[j] <= np.float32(0) else up[j] + later[j]


@entry
@no_type_check
def backward(first, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends[0]` holds that to the last state, and then to the first."""
    norm_x, norm_h, _ = norms
    steps, batch, n = up.shape
    a, g, d_h = room.a, room.g, ends[0]
    own = np.arange(batch)
    work = np.empty((4, n), np.float32)
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            unsquash(g[t, b], out[t, b], up[t, b], d_h[b], room.bounded)
        back_value(norm_h, a[t], g[t], own, first, t, work)
        back_table(norm_x, table, g[t], index[t], first, t, d_table, work)
        multiply(a[t], w, d_h)
