"""The time loop of a GRU whose reset gate acts before the recurrent product of the candidate."""

from lowbit.layers.loops.native.activations import ONE, tanh
from lowbit.layers.loops.native.gru import activate_gates, mix
from lowbit.layers.loops.native.norms import add_row, advance, back_norm, back_table, copy_row, set_moments, set_scale
from lowbit.layers.loops.native.products import multiply


def reset(q, r, before):
    """q = r h."""
    for j in range(len(q)):
        q[j] = r[j] * before[j]


def activate_candidate(n, a, x, scale_h, scale_x, offset_h, offset_x):
    """n = tanh(N(x) + N(r h))."""
    for j in range(len(n)):
        n[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset_h[j] + offset_x[j])


def forward(first, nonzero, table, index, start, w, norms, workspace, out):
    """Fills `out` and as many steps of the workspace as it has.

    `workspace.a` stores the products of the gates, `workspace.c` those of the candidate, `workspace.operand` r h.
    """
    norm_x, norm_h, norm_n = norms
    a, g, c, operand = workspace.a, workspace.g, workspace.c, workspace.operand
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x, offset_x = norm_h.scale, norm_h.offset, norm_x.scale, norm_x.offset
    i, m = slice(0, 2 * n), slice(2 * n, 3 * n)
    for t in range(steps):
        k, k_c = t % len(a), t % len(c)
        h = out[t - 1] if t else start[0]
        advance(t, first, nonzero or t > 0, h, w[0], a[k], workspace.batch, table, index[t], norm_h, norm_x)
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            activate_gates(y[i], a[k, b], x[i], scale_h, scale_x[i], offset_h, offset_x[i])
            reset(operand[k_c, b], y[:n], h[b])
        multiply(operand[k_c], w[1], c[k_c], t)
        set_moments(norm_n, c[k_c], workspace.batch, t)
        set_scale(norm_n, first, t)
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            activate_candidate(y[m], c[k_c, b], x[m], norm_n.scale, scale_x[m], norm_n.offset, offset_x[m])
            mix(out[t, b], y[n : 2 * n], y[m], h[b])


def back_candidate(z, n, d, up, later, before):
    """Replaces z and n by the gradients before their activations; `d` gets that of n too."""
    for j in range(len(z)):
        dh, zz, nn = up[j] + later[j], z[j], n[j]
        dn = dh * (ONE - zz) * (ONE - nn * nn)
        n[j] = dn
        d[j] = dn
        z[j] = dh * (before[j] - nn) * zz * (ONE - zz)
        later[j] = dh * zz


def back_reset(r, d_operand, later, before):
    """Replaces r by the gradient before its sigmoid; adds the gradient to h."""
    for j in range(len(r)):
        rr, dq = r[j], d_operand[j]
        r[j] = dq * before[j] * rr * (ONE - rr)
        later[j] += dq * rr


def backward(first, nonzero, table, index, start, w, norms, workspace, out, d_out, d_state, d_table):
    """Fills the gradients in the workspace, `d_state` and `d_table`."""
    norm_x, norm_h, norm_n = norms
    a, g, c, d_h = workspace.a, workspace.g, workspace.c, d_state[0]
    steps, batch, n = d_out.shape
    rows, d_product, d, d_gates = workspace.batch, workspace.d_product, workspace.d_c, workspace.d_gates
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t else start[0]
        for b in range(batch):
            back_candidate(g[t, b, n : 2 * n], g[t, b, 2 * n :], d[b], d_out[t, b], d_h[b], before[b])
        back_norm(norm_n, c[t], d, rows, first, t, c[t])
        multiply(c[t], w[1], d_product, t)
        for b in range(batch):
            back_reset(g[t, b, :n], d_product[b], d_h[b], before[b])
            copy_row(d_gates[b], g[t, b, : 2 * n])
        back_norm(norm_h, a[t], d_gates, rows, first, t, a[t])
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w[0], d_product, t)
        for b in range(batch):
            add_row(d_h[b], d_product[b])
