"""The time loop of an LSTM, forwards and backwards in one call each; gates i, f, g, o."""

from lowbit.layers.loops.layout import ROWS
from lowbit.layers.loops.native.activations import ONE, sigmoid, tanh
from lowbit.layers.loops.native.advance import advance
from lowbit.layers.loops.native.norms import affine, back_gradient, back_table, back_value, copy_row, prepare
from lowbit.layers.loops.native.products import multiply


def squash(g, a, x, scale_h, scale_x, offset):
    """Sigmoids."""
    for j in range(len(g)):
        g[j] = sigmoid(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])


def squash_candidate(g, a, x, scale_h, scale_x, offset):
    """Hyperbolic tangents."""
    for j in range(len(g)):
        g[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])


def remember(c, i, f, g, before):
    """c = f c + i g."""
    for j in range(len(c)):
        c[j] = f[j] * before[j] + i[j] * g[j]


def tell(h, o, seen, scale, offset):
    """h = o tanh(N(c))."""
    for j in range(len(h)):
        h[j] = o[j] * tanh(seen[j] * scale[j] + offset[j])


def forward(first, used, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has; the first state may be `used`, or zero."""
    norm_x, norm_h, norm_c = norms
    a, g, c, seen = room.a, room.g, room.c, room.seen
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x = norm_h.scale, norm_h.offset, norm_x.scale
    for t in range(steps):
        k, kept, told = t % len(a), t % len(c), t % len(seen)
        h, before = (out[t - 1], c[(t - 1) % len(c)]) if t else start
        advance(t, first, used or t > 0, h, w, a[k], room.own, table, index[t], norm_h, norm_x)
        for j in range(4 * n):
            offset_h[j] += norm_x.offset[j]
        for b in range(batch):
            z, x, y = a[k, b], table[index[t, b]], g[k, b]
            i, m, o = slice(0, 2 * n), slice(2 * n, 3 * n), slice(3 * n, 4 * n)
            squash(y[i], z[i], x[i], scale_h[i], scale_x[i], offset_h[i])
            squash_candidate(y[m], z[m], x[m], scale_h[m], scale_x[m], offset_h[m])
            squash(y[o], z[o], x[o], scale_h[o], scale_x[o], offset_h[o])
            remember(c[kept, b], y[:n], y[n : 2 * n], y[m], before[b])
        if norm_c.kind >= ROWS:
            for b in range(batch):
                copy_row(seen[told, b], c[kept, b])
        prepare(norm_c, seen[told], room.own, t)
        affine(norm_c, first, t)
        for b in range(batch):
            tell(out[t, b], g[k, b, 3 * n :], seen[told, b], norm_c.scale, norm_c.offset)


def untell(d, o, seen, scale, offset, up, later):
    """The gradient to N(c), and in the place of the output gate the gradient before its sigmoid."""
    for j in range(len(d)):
        dh, y = up[j] + later[j], tanh(seen[j] * scale[j] + offset[j])
        d[j] = dh * o[j] * (ONE - y * y)
        o[j] = dh * y * o[j] * (ONE - o[j])


def forget(i, f, g, d, later, before):
    """In the place of the other gates their gradients; in that of `later` what goes to the step before."""
    for j in range(len(d)):
        dc, ii, ff, gg = d[j] + later[j], i[j], f[j], g[j]
        i[j] = dc * gg * ii * (ONE - ii)
        f[j] = dc * before[j] * ff * (ONE - ff)
        g[j] = dc * ii * (ONE - gg * gg)
        later[j] = dc * ff


def backward(first, used, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends` hold those to the last state, and then to the first."""
    norm_x, norm_h, norm_c = norms
    a, g, c, seen = room.a, room.g, room.c, room.seen
    d, (d_h, d_c) = room.d, ends
    steps, batch, n = up.shape
    for t in range(steps - 1, -1, -1):
        before = c[t - 1] if t else start[1]
        affine(norm_c, first, t)
        for b in range(batch):
            untell(d[b], g[t, b, 3 * n :], seen[t, b], norm_c.scale, norm_c.offset, up[t, b], d_h[b])
        back_gradient(norm_c, seen[t], d, room.own, first, t)
        for b in range(batch):
            y = g[t, b]
            forget(y[:n], y[n : 2 * n], y[2 * n : 3 * n], d[b], d_c[b], before[b])
        back_value(norm_h, a[t], g[t], room.own, first, t)
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w, d_h, t)
