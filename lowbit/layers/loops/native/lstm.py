"""The time loop of an LSTM, forwards and backwards in one call each; gates i, f, g, o."""

from lowbit.layers.loops.layout import ROWS
from lowbit.layers.loops.native.activations import ONE, sigmoid_row, tanh, tanh_row
from lowbit.layers.loops.native.norms import add_row, advance, back_norm, back_table, copy_row, set_moments, set_scale
from lowbit.layers.loops.native.products import multiply


def update_cell(c, i, f, g, before):
    """c = f c + i g."""
    for j in range(len(c)):
        c[j] = f[j] * before[j] + i[j] * g[j]


def output(h, o, operand, scale, offset):
    """h = o tanh(N(c))."""
    for j in range(len(h)):
        h[j] = o[j] * tanh(operand[j] * scale[j] + offset[j])


def forward(first, nonzero, table, index, start, w, norms, workspace, out):
    """Fills `out` and as many steps of the workspace as it has."""
    norm_x, norm_h, norm_c = norms
    a, g, c, operand = workspace.a, workspace.g, workspace.c, workspace.operand
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x = norm_h.scale, norm_h.offset, norm_x.scale
    for t in range(steps):
        k, k_c, k_n = t % len(a), t % len(c), t % len(operand)
        h, before = (out[t - 1], c[(t - 1) % len(c)]) if t else start
        advance(t, first, nonzero or t > 0, h, w, a[k], workspace.batch, table, index[t], norm_h, norm_x)
        add_row(offset_h, norm_x.offset)
        for b in range(batch):
            z, x, y = a[k, b], table[index[t, b]], g[k, b]
            i, m, o = slice(0, 2 * n), slice(2 * n, 3 * n), slice(3 * n, 4 * n)
            sigmoid_row(y[i], z[i], x[i], scale_h[i], scale_x[i], offset_h[i])
            tanh_row(y[m], z[m], x[m], scale_h[m], scale_x[m], offset_h[m])
            sigmoid_row(y[o], z[o], x[o], scale_h[o], scale_x[o], offset_h[o])
            update_cell(c[k_c, b], y[:n], y[n : 2 * n], y[m], before[b])
        if norm_c.kind >= ROWS:
            for b in range(batch):
                copy_row(operand[k_n, b], c[k_c, b])
        set_moments(norm_c, operand[k_n], workspace.batch, t)
        set_scale(norm_c, first, t)
        for b in range(batch):
            output(out[t, b], g[k, b, 3 * n :], operand[k_n, b], norm_c.scale, norm_c.offset)


def back_output(d, o, operand, scale, offset, up, later):
    """The gradient to N(c); replaces the output gate by the gradient before its sigmoid."""
    for j in range(len(d)):
        dh, y = up[j] + later[j], tanh(operand[j] * scale[j] + offset[j])
        d[j] = dh * o[j] * (ONE - y * y)
        o[j] = dh * y * o[j] * (ONE - o[j])


def back_gates(i, f, g, d, later, before):
    """Replaces the other gates by their gradients, and `later` by the gradient to the previous c."""
    for j in range(len(d)):
        dc, ii, ff, gg = d[j] + later[j], i[j], f[j], g[j]
        i[j] = dc * gg * ii * (ONE - ii)
        f[j] = dc * before[j] * ff * (ONE - ff)
        g[j] = dc * ii * (ONE - gg * gg)
        later[j] = dc * ff


def backward(first, nonzero, table, index, start, w, norms, workspace, out, d_out, d_state, d_table):
    """Fills the gradients in the workspace, `d_state` and `d_table`."""
    norm_x, norm_h, norm_c = norms
    a, g, c, operand = workspace.a, workspace.g, workspace.c, workspace.operand
    d, (d_h, d_c) = workspace.d_c, d_state
    steps, batch, n = d_out.shape
    for t in range(steps - 1, -1, -1):
        before = c[t - 1] if t else start[1]
        set_scale(norm_c, first, t)
        for b in range(batch):
            back_output(d[b], g[t, b, 3 * n :], operand[t, b], norm_c.scale, norm_c.offset, d_out[t, b], d_h[b])
        back_norm(norm_c, operand[t], d, workspace.batch, first, t, d)
        for b in range(batch):
            y = g[t, b]
            back_gates(y[:n], y[n : 2 * n], y[2 * n : 3 * n], d[b], d_c[b], before[b])
        back_norm(norm_h, a[t], g[t], workspace.batch, first, t, a[t])
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, d_h, t)
