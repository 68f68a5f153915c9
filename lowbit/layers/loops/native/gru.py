"""The time loop of a GRU whose reset gate acts after the recurrent product; gates r, z and candidate n."""

from lowbit.layers.loops.native.activations import ONE, sigmoid, tanh
from lowbit.layers.loops.native.norms import add_row, advance, back_norm, back_table, copy_row, set_scale
from lowbit.layers.loops.native.products import multiply


def activate_gates(g, a, x, scale_h, scale_x, offset_h, offset_x):
    """The two gates."""
    for j in range(len(g)):
        g[j] = sigmoid(a[j] * scale_h[j] + x[j] * scale_x[j] + offset_h[j] + offset_x[j])


def activate_candidate(n, r, a, x, scale_h, scale_x, offset_h, offset_x):
    """n = tanh(N(x) + r N(h))."""
    for j in range(len(n)):
        n[j] = tanh(x[j] * scale_x[j] + offset_x[j] + r[j] * (a[j] * scale_h[j] + offset_h[j]))


def mix(h, z, n, before):
    """h = (1 - z) n + z h."""
    for j in range(len(h)):
        h[j] = n[j] + z[j] * (before[j] - n[j])


def forward(first, nonzero, table, index, start, w, norms, workspace, out):
    """Fills `out` and as many steps of the workspace as it has."""
    norm_x, norm_h, _ = norms
    a, g = workspace.a, workspace.g
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x, offset_x = norm_h.scale, norm_h.offset, norm_x.scale, norm_x.offset
    for t in range(steps):
        k = t % len(a)
        h = out[t - 1] if t else start[0]
        advance(t, first, nonzero or t > 0, h, w, a[k], workspace.batch, table, index[t], norm_h, norm_x)
        gates, candidate = slice(0, 2 * n), slice(2 * n, 3 * n)
        for b in range(batch):
            z, x, y, i, m = a[k, b], table[index[t, b]], g[k, b], gates, candidate
            activate_gates(y[i], z[i], x[i], scale_h[i], scale_x[i], offset_h[i], offset_x[i])
            activate_candidate(y[m], y[:n], z[m], x[m], scale_h[m], scale_x[m], offset_h[m], offset_x[m])
            mix(out[t, b], y[n : 2 * n], y[m], h[b])


def back_gates(r, z, n, d_n, a, scale, offset, up, later, before):
    """Replaces the gates by their gradients; `d_n` gets the gradient to N(h) of the candidate."""
    for j in range(len(r)):
        dh, rr, zz, nn = up[j] + later[j], r[j], z[j], n[j]
        dn = dh * (ONE - zz) * (ONE - nn * nn)
        n[j] = dn
        d_n[j] = dn * rr
        r[j] = dn * (a[j] * scale[j] + offset[j]) * rr * (ONE - rr)
        z[j] = dh * (before[j] - nn) * zz * (ONE - zz)
        later[j] = dh * zz


def backward(first, nonzero, table, index, start, w, norms, workspace, out, d_out, d_state, d_table):
    """Fills the gradients in the workspace, `d_state` and `d_table`."""
    norm_x, norm_h, _ = norms
    a, g, d_h = workspace.a, workspace.g, d_state[0]
    steps, batch, n = d_out.shape
    d_product, d, scale, offset = workspace.d_product, workspace.d_gates, norm_h.scale, norm_h.offset
    m = slice(2 * n, 3 * n)
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t else start[0]
        set_scale(norm_h, first, t)
        for b in range(batch):
            y, z = g[t, b], a[t, b]
            back_gates(y[:n], y[n : 2 * n], y[m], d[b, m], z[m], scale[m], offset[m], d_out[t, b], d_h[b], before[b])
            copy_row(d[b, : 2 * n], y[: 2 * n])
        back_norm(norm_h, a[t], d, workspace.batch, first, t, a[t])
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, d_product, t)
        for b in range(batch):
            add_row(d_h[b], d_product[b])
