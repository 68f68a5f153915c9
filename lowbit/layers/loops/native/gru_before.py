"""The time loop of a GRU whose reset gate acts before the recurrent product of the candidate."""

from lowbit.layers.loops.native.activations import ONE, tanh
from lowbit.layers.loops.native.advance import advance
from lowbit.layers.loops.native.gru import mix, squash
from lowbit.layers.loops.native.norms import add_row, affine, back_table, back_value, copy_row, prepare
from lowbit.layers.loops.native.products import multiply


def reset(q, r, before):
    """What the candidate sees of h: r h."""
    for j in range(len(q)):
        q[j] = r[j] * before[j]


def squash_candidate(n, a, x, scale_h, scale_x, offset_h, offset_x):
    """n = tanh(N(x) + N(r h))."""
    for j in range(len(n)):
        n[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset_h[j] + offset_x[j])


def forward(first, used, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has; the first state may be `used`, or zero.

    `room.a` keeps the products of the gates, `room.c` those of the candidate, `room.seen` what it sees of h.
    """
    norm_x, norm_h, norm_n = norms
    a, g, c, seen = room.a, room.g, room.c, room.seen
    steps, batch, n = out.shape
    scale_h, offset_h, scale_x, offset_x = norm_h.scale, norm_h.offset, norm_x.scale, norm_x.offset
    i, m = slice(0, 2 * n), slice(2 * n, 3 * n)
    for t in range(steps):
        k, told = t % len(a), t % len(c)
        h = out[t - 1] if t else start[0]
        advance(t, first, used or t > 0, h, w[0], a[k], room.own, table, index[t], norm_h, norm_x)
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            squash(y[i], a[k, b], x[i], scale_h, scale_x[i], offset_h, offset_x[i])
            reset(seen[told, b], y[:n], h[b])
        multiply(seen[told], w[1], c[told], t)
        prepare(norm_n, c[told], room.own, t)
        affine(norm_n, first, t)
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            squash_candidate(y[m], c[told, b], x[m], norm_n.scale, scale_x[m], norm_n.offset, offset_x[m])
            mix(out[t, b], y[n : 2 * n], y[m], h[b])


def unmix(z, n, d, up, later, before):
    """In the place of z and n the gradients before their activations; `d` gets that of n too."""
    for j in range(len(z)):
        dh, zz, nn = up[j] + later[j], z[j], n[j]
        dn = dh * (ONE - zz) * (ONE - nn * nn)
        n[j] = dn
        d[j] = dn
        z[j] = dh * (before[j] - nn) * zz * (ONE - zz)
        later[j] = dh * zz


def unreset(r, through, later, before):
    """In the place of r the gradient before its sigmoid; h gets its share."""
    for j in range(len(r)):
        rr, dq = r[j], through[j]
        r[j] = dq * before[j] * rr * (ONE - rr)
        later[j] += dq * rr


def backward(first, used, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends` hold those to the last state, and then to the first."""
    norm_x, norm_h, norm_n = norms
    a, g, c, d_h = room.a, room.g, room.c, ends[0]
    steps, batch, n = up.shape
    own, through, d, gates = room.own, room.through, room.d, room.gates
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t else start[0]
        for b in range(batch):
            unmix(g[t, b, n : 2 * n], g[t, b, 2 * n :], d[b], up[t, b], d_h[b], before[b])
        back_value(norm_n, c[t], d, own, first, t)
        multiply(c[t], w[1], through, t)
        for b in range(batch):
            unreset(g[t, b, :n], through[b], d_h[b], before[b])
            copy_row(gates[b], g[t, b, : 2 * n])
        back_value(norm_h, a[t], gates, own, first, t)
        back_table(norm_x, table, g[t], index[t], first, t, d_table)
        multiply(a[t], w[0], through, t)
        for b in range(batch):
            add_row(d_h[b], through[b])
