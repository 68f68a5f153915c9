"""The time loop of a GRU whose reset gate acts after the recurrent product; gates r, z and candidate n."""

from lowbit.layers.loops.native.activations import ONE, sigmoid, tanh
from lowbit.layers.loops.native.advance import advance
from lowbit.layers.loops.native.norms import add_row, affine, back_table, back_value, copy_row
from lowbit.layers.loops.native.products import multiply


def squash(g, a, x, scale_h, scale_x, offset_h, offset_x):
    """The two gates."""
    for j in range(len(g)):
        g[j] = sigmoid(a[j] * scale_h[j] + x[j] * scale_x[j] + offset_h[j] + offset_x[j])


def squash_candidate(n, r, a, x, scale_h, scale_x, offset_h, offset_x):
    """n = tanh(N(x) + r N(h))."""
    for j in range(len(n)):
        n[j] = tanh(x[j] * scale_x[j] + offset_x[j] + r[j] * (a[j] * scale_h[j] + offset_h[j]))


def mix(h, z, n, before):
    """h = (1 - z) n + z h."""
    for j in range(len(h)):
        h[j] = n[j] + z[j] * (before[j] - n[j])


def forward(first, used, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has; the first state may be `used`, or zero."""
    norm_x, norm_h, _ = norms
    a, g = room.a, room.g
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x, offset_x = norm_h.scale, norm_h.offset, norm_x.scale, norm_x.offset
    for t in range(steps):
        k = t % len(a)
        h = out[t - 1] if t else start[0]
        advance(t, first, used or t > 0, h, w, a[k], room.own, table, index[t], norm_h, norm_x)
        gates, candidate = slice(0, 2 * n), slice(2 * n, 3 * n)
        for b in range(batch):
            z, x, y, i, m = a[k, b], table[index[t, b]], g[k, b], gates, candidate
            squash(y[i], z[i], x[i], scale_h[i], scale_x[i], offset_h[i], offset_x[i])
            squash_candidate(y[m], y[:n], z[m], x[m], scale_h[m], scale_x[m], offset_h[m], offset_x[m])
            mix(out[t, b], y[n : 2 * n], y[m], h[b])


def unmix(r, z, n, reset, a, scale, offset, up, later, before):
    """In the place of the gates their gradients; `reset` gets that to N(h) of the candidate."""
    for j in range(len(r)):
        dh, rr, zz, nn = up[j] + later[j], r[j], z[j], n[j]
        dn = dh * (ONE - zz) * (ONE - nn * nn)
        n[j] = dn
        reset[j] = dn * rr
        r[j] = dn * (a[j] * scale[j] + offset[j]) * rr * (ONE - rr)
        z[j] = dh * (before[j] - nn) * zz * (ONE - zz)
        later[j] = dh * zz


def backward(first, used, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends` hold those to the last state, and then to the first."""
    norm_x, norm_h, _ = norms
    a, g, d_h = room.a, room.g, ends[0]
    steps, batch, n = up.shape
    through, d, scale, offset = room.through, room.gates, norm_h.scale, norm_h.offset
    m = slice(2 * n, 3 * n)
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t else start[0]
        affine(norm_h, first, t)
        for b in range(batch):
            y = g[t, b]
            unmix(y[:n], y[n : 2 * n], y[m], d[b, m], a[t, b, m], scale[m], offset[m], up[t, b], d_h[b], before[b])
            copy_row(d[b, : 2 * n], y[: 2 * n])
        back_value(norm_h, a[t], d, room.own, first, t)
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, through, t)
        for b in range(batch):
            add_row(d_h[b], through[b])
