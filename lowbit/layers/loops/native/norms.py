"""Norms of the products of one step, forwards and backwards."""

import numpy as np

from lowbit.layers.loops.layout import BATCH, FIXED, ROWS
from lowbit.layers.loops.native.activations import ONE


def copy_row(z, source):
    """Copies one row; an assignment of slices would compile the message of its error too."""
    for j in range(len(z)):
        z[j] = source[j]


def add_row(total, z):
    """Adds one row."""
    for j in range(len(total)):
        total[j] += z[j]


def add_squares(total, z, mean):
    """Adds the squared distances of one row from the mean."""
    for j in range(len(total)):
        d = z[j] - mean[j]
        total[j] += d * d


def moments(z, rows, mean, variance):
    """Mean and variance of the chosen rows, in two passes."""
    share = ONE / np.float32(len(rows))
    mean[:] = 0
    variance[:] = 0
    for b in range(len(rows)):
        add_row(mean, z[rows[b]])
    for j in range(len(mean)):
        mean[j] *= share
    for b in range(len(rows)):
        add_squares(variance, z[rows[b]], mean)
    for j in range(len(mean)):
        variance[j] *= share


def standardize(z, centred, tiny):
    """Turns a row into its distance from its mean (0 unless centred) over its deviation; one over that."""
    share = ONE / np.float32(len(z))
    mean = np.float32(0)
    if centred:
        for j in range(len(z)):
            mean += z[j]
        mean *= share
    square = np.float32(0)
    for j in range(len(z)):
        d = z[j] - mean
        square += d * d
    inverse = ONE / np.sqrt(square * share + tiny)
    for j in range(len(z)):
        z[j] = (z[j] - mean) * inverse
    return inverse


def prepare(norm, z, rows, t):
    """What must be known of the products of a step before their scale and offset are."""
    if norm.kind == BATCH:
        moments(z, rows, norm.mean[t], norm.variance[t])
    elif norm.kind != FIXED:
        for b in range(len(rows)):
            norm.inverse[t % len(norm.inverse), b] = standardize(z[b], norm.kind == ROWS, norm.tiny)


def affine(norm, first, t):
    """The scale and offset of each row that make the norm of a step."""
    slot = min(first + t, len(norm.gain) - 1)
    gain, bias, scale, offset = norm.gain[slot], norm.bias[slot], norm.scale, norm.offset
    if norm.kind == BATCH:
        mean, variance = norm.mean[t], norm.variance[t]
        for j in range(len(scale)):
            s = gain[j] / np.sqrt(variance[j] + norm.tiny)
            scale[j] = s
            offset[j] = bias[j] - mean[j] * s
    else:
        for j in range(len(scale)):
            scale[j] = gain[j]
            offset[j] = bias[j]


def add_two_sums(first, second, d, z, mean):
    """Adds a row of gradients, and the same times the distance from the mean."""
    for j in range(len(first)):
        first[j] += d[j]
        second[j] += d[j] * (z[j] - mean[j])


def into_value(z, d, mean, k, p, q):
    """The gradient to a product, in its place."""
    for j in range(len(z)):
        z[j] = k[j] * (d[j] - p[j] - (z[j] - mean[j]) * q[j])


def into_gradient(d, z, mean, k, p, q):
    """The gradient to a product, in the place of the gradient to its norm."""
    for j in range(len(d)):
        d[j] = k[j] * (d[j] - p[j] - (z[j] - mean[j]) * q[j])


def onto(total, d, z, mean, k, p, q):
    """The gradient to a product, added to a total."""
    for j in range(len(d)):
        total[j] += k[j] * (d[j] - p[j] - (z[j] - mean[j]) * q[j])


def coefficients(norm, d, z, rows, first, t, mean, k, p, q):
    """The rows of `k (d - p - (z - mean) q)`, the gradient through a norm over the batch; adds to the norm's own."""
    p[:] = 0
    q[:] = 0
    if norm.kind == BATCH:
        copy_row(mean, norm.mean[t])
    else:
        mean[:] = 0
    for b in range(len(d)):
        add_two_sums(p, q, d[b], z[rows[b]], mean)
    gain = norm.gain[min(first + t, len(norm.gain) - 1)]
    share = ONE / np.float32(len(d))
    for j in range(len(p)):
        norm.d_bias[j] += p[j]
        if norm.kind == BATCH:
            inverse = ONE / np.sqrt(norm.variance[t, j] + norm.tiny)
            norm.d_gain[j] += q[j] * inverse
            k[j] = gain[j] * inverse
            p[j] *= share
            q[j] *= share * inverse * inverse
        else:
            norm.d_gain[j] += q[j]
            k[j] = gain[j]
            p[j] = 0
            q[j] = 0


def through_row(out, d, z, gain, inverse, centred):
    """The gradient through a norm over one row, whose standardized values are `z`."""
    share = ONE / np.float32(len(z))
    first, second = np.float32(0), np.float32(0)
    for j in range(len(z)):
        g = d[j] * gain[j]
        first += g
        second += g * z[j]
    first = first * share if centred else np.float32(0)
    second *= share
    for j in range(len(z)):
        out[j] = inverse * (d[j] * gain[j] - first - z[j] * second)


def back_value(norm, z, d, own, first, t):
    """Turns products into the gradients to them; `d` is the gradient to what the norm made of them."""
    mean, k, p, q = norm.work[0], norm.work[1], norm.work[2], norm.work[3]
    coefficients(norm, d, z, own, first, t, mean, k, p, q)
    for b in range(len(d)):
        if norm.kind == FIXED or norm.kind == BATCH:
            into_value(z[b], d[b], mean, k, p, q)
        else:
            through_row(q, d[b], z[b], k, norm.inverse[t, b], norm.kind == ROWS)
            copy_row(z[b], q)


def back_gradient(norm, z, d, own, first, t):
    """Turns the gradients to what the norm made of products into the gradients to these."""
    mean, k, p, q = norm.work[0], norm.work[1], norm.work[2], norm.work[3]
    coefficients(norm, d, z, own, first, t, mean, k, p, q)
    for b in range(len(d)):
        if norm.kind == FIXED or norm.kind == BATCH:
            into_gradient(d[b], z[own[b]], mean, k, p, q)
        else:
            through_row(q, d[b], z[b], k, norm.inverse[t, b], norm.kind == ROWS)
            copy_row(d[b], q)


def back_table(norm, table, d, rows, first, t, d_table):
    """The gradients to rows of the table: added to `d_table`, or in the place of `d` where that is empty."""
    if len(d_table) == 0:
        back_gradient(norm, table, d, rows, first, t)
    else:
        mean, k, p, q = norm.work[0], norm.work[1], norm.work[2], norm.work[3]
        coefficients(norm, d, table, rows, first, t, mean, k, p, q)
        for b in range(len(d)):
            onto(d_table[rows[b]], d[b], table[rows[b]], mean, k, p, q)
