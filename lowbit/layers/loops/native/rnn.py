"""The time loops of a vanilla RNN, with tanh and with relu."""

import numpy as np

from lowbit.layers.loops.native.activations import ONE, tanh_row
from lowbit.layers.loops.native.norms import add_row, advance, back_norm, back_table
from lowbit.layers.loops.native.products import multiply


def relu_row(h, a, x, scale_h, scale_x, offset):
    """The positive part of the normalized products of a row."""
    for j in range(len(h)):
        z = a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j]
        h[j] = np.float32(0) if z < np.float32(0) else z


def forward(first, nonzero, table, index, start, w, norms, workspace, out):
    """Fills `out` and as many steps of the workspace as it has."""
    norm_x, norm_h, _ = norms
    a = workspace.a
    steps, batch = out.shape[:2]
    scale_h, offset_h, scale_x = norm_h.scale, norm_h.offset, norm_x.scale
    for t in range(steps):
        k = t % len(a)
        h = out[t - 1] if t else start[0]
        advance(t, first, nonzero or t > 0, h, w, a[k], workspace.batch, table, index[t], norm_h, norm_x)
        add_row(offset_h, norm_x.offset)
        for b in range(batch):
            if workspace.use_tanh:
                tanh_row(out[t, b], a[k, b], table[index[t, b]], scale_h, scale_x, offset_h)
            else:
                relu_row(out[t, b], a[k, b], table[index[t, b]], scale_h, scale_x, offset_h)


def back_activation(d, h, up, later, use_tanh):
    """The gradient before the activation, from those of the output and of the next step."""
    if use_tanh:
        for j in range(len(d)):
            d[j] = (up[j] + later[j]) * (ONE - h[j] * h[j])
    else:
        for j in range(len(d)):
            d[j] = np.float32(0) if h[j] <= np.float32(0) else up[j] + later[j]


def backward(first, nonzero, table, index, start, w, norms, workspace, out, d_out, d_state, d_table):
    """Fills the gradients in the workspace, `d_state` and `d_table`."""
    norm_x, norm_h, _ = norms
    steps, batch = d_out.shape[:2]
    a, g, d_h = workspace.a, workspace.g, d_state[0]
    for t in range(steps - 1, -1, -1):
        for b in range(batch):
            back_activation(g[t, b], out[t, b], d_out[t, b], d_h[b], workspace.use_tanh)
        back_norm(norm_h, a[t], g[t], workspace.batch, first, t, a[t])
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, d_h, t)
