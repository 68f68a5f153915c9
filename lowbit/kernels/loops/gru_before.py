"""The time loop of a GRU whose reset gate acts before the recurrent product of the candidate."""

import numpy as np

from lowbit.kernels.loops.activations import ONE, tanh
from lowbit.kernels.loops.advance import advance
from lowbit.kernels.loops.compiled import entry, inner, no_type_check
from lowbit.kernels.loops.gru import mix, squash
from lowbit.kernels.loops.norms import add_row, affine, back_table, back_value, copy_row, prepare
from lowbit.kernels.loops.products import multiply


@inner
@no_type_check
def reset(q, r, before):
    """What the candidate sees of h: r h."""
    for j in range(len(q)):
        q[j] = r[j] * before[j]


@inner
@no_type_check
def squash_candidate(n, a, x, scale_h, scale_x, offset_h, offset_x):
    """n = tanh(N(x) + N(r h))."""
    for j in range(len(n)):
        n[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset_h[j] + offset_x[j])


@entry
@no_type_check
def forward(first, table, index, start, w, norms, room, out):
    """Fills `out` (time batch hidden) and as many steps of `room` as it has.

    `room.a` keeps the products of the gates, `room.c` those of the candidate, `room.seen` what it sees of h.
    """
    norm_x, norm_h, norm_n = norms
    a, g, c, seen = room.a, room.g, room.c, room.seen
    steps, batch, n = out.shape
    own, used = np.arange(batch), start[0].any()  # the product with zero is known
    scale_h, offset_h = np.empty(2 * n, np.float32), np.empty(2 * n, np.float32)
    scale_n, offset_n = np.empty(n, np.float32), np.empty(n, np.float32)
    scale_x, offset_x = np.empty(3 * n, np.float32), np.empty(3 * n, np.float32)
    i, m = slice(0, 2 * n), slice(2 * n, 3 * n)
    for t in range(steps):
        k, told = t % len(a), t % len(c)
        h = out[t - 1] if t else start[0]
        moved = t or used
        advance(
            t, first, moved, h, w[0], a[k], own, table, index[t], norm_h, norm_x, scale_h, offset_h, scale_x, offset_x
        )
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            squash(y[i], a[k, b], x[i], scale_h, scale_x[i], offset_h, offset_x[i])
            reset(seen[told, b], y[:n], h[b])
        multiply(seen[told], w[1], c[told])
        prepare(norm_n, c[told], own, t)
        affine(norm_n, first, t, scale_n, offset_n)
        for b in range(batch):
            x, y = table[index[t, b]], g[k, b]
            squash_candidate(y[m], c[told, b], x[m], scale_n, scale_x[m], offset_n, offset_x[m])
            mix(out[t, b], y[n : 2 * n], y[m], h[b])


@inner
@no_type_check
def unmix(z, n, d, up, later, before):
    """In the place of z and n the gradients before their activations; `d` gets that of n too."""
    for j in range(len(z)):
        dh, zz, nn = up[j] + later[j], z[j], n[j]
        dn = dh * (ONE - zz) * (ONE - nn * nn)
        n[j] = dn
        d[j] = dn
        z[j] = dh * (before[j] - nn) * zz * (ONE - zz)
        later[j] = dh * zz


@inner
@no_type_check
def unreset(r, through, later, before):
    """In the place of r the gradient before its sigmoid; h gets its share."""
    for j in range(len(r)):
        rr, dq = r[j], through[j]
        r[j] = dq * before[j] * rr * (ONE - rr)
        later[j] += dq * rr


@entry
@no_type_check
def backward(first, table, index, start, w, norms, room, out, up, ends, d_table):
    """Turns products into gradients to them; `ends` hold those to the last state, and then to the first."""
    norm_x, norm_h, norm_n = norms
    a, g, c, d_h = room.a, room.g, room.c, ends[0]
    steps, batch, n = up.shape
    own = np.arange(batch)
    through, d = np.empty((batch, n), np.float32), np.empty((batch, n), np.float32)
    gates = np.empty((batch, 2 * n), np.float32)
    work_x, work_h = np.empty((4, 3 * n), np.float32), np.empty((4, 2 * n), np.float32)
    work_n = np.empty((4, n), np.float32)
    for t in range(steps - 1, -1, -1):
        before = out[t - 1] if t else start[0]
        for b in range(batch):
            unmix(g[t, b, n : 2 * n], g[t, b, 2 * n :], d[b], up[t, b], d_h[b], before[b])
        back_value(norm_n, c[t], d, own, first, t, work_n)
        multiply(c[t], w[1], through)
        for b in range(batch):
            unreset(g[t, b, :n], through[b], d_h[b], before[b])
            copy_row(gates[b], g[t, b, : 2 * n])
        back_value(norm_h, a[t], gates, own, first, t, work_h)
        back_table(norm_x, table, g[t], index[t], first, t, d_table, work_x)
        multiply(a[t], w[0], through)
        for b in range(batch):
            add_row(d_h[b], through[b])
