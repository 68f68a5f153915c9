"""The recurrent product of one step and its norms, forwards and backwards."""

import numpy as np

from lowbit.layers.loops.layout import BATCH, FIXED, ROWS
from lowbit.layers.loops.native.activations import ONE
from lowbit.layers.loops.native.products import multiply


def copy_row(z, source):
    """Copies one row; an assignment of slices would also compile the text of its error."""
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
    """Mean and variance of the rows `rows`, in two passes."""
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


def standardize(z, centred, epsilon):
    """Divides the distance of a row from its mean (0 unless centred) by its deviation; returns one over that."""
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
    inverse = ONE / np.sqrt(square * share + epsilon)
    for j in range(len(z)):
        z[j] = (z[j] - mean) * inverse
    return inverse


def set_moments(norm, z, rows, t):
    """Computes the moments of the products of a step, on which their scale and offset depend."""
    if norm.kind == BATCH:
        moments(z, rows, norm.mean[t], norm.variance[t])
    elif norm.kind != FIXED:
        for b in range(len(rows)):
            norm.inverse[t % len(norm.inverse), b] = standardize(z[b], norm.kind == ROWS, norm.epsilon)


def set_scale(norm, first, t):
    """Computes the scale and offset of each row that are the norm of a step."""
    slot = min(first + t, len(norm.gain) - 1)
    gain, bias, scale, offset = norm.gain[slot], norm.bias[slot], norm.scale, norm.offset
    if norm.kind == BATCH:
        mean, variance = norm.mean[t], norm.variance[t]
        for j in range(len(scale)):
            s = gain[j] / np.sqrt(variance[j] + norm.epsilon)
            scale[j] = s
            offset[j] = bias[j] - mean[j] * s
    else:
        copy_row(scale, gain)
        copy_row(offset, bias)


def advance(t, first, nonzero, h, w, a, batch, table, rows, norm_h, norm_x):
    """Computes the recurrent product of a step, and the scales and offsets of both norms."""
    if nonzero:
        multiply(h, w, a, t)
    else:
        a[:] = 0
    set_moments(norm_h, a, batch, t)
    set_moments(norm_x, table, rows, t)
    set_scale(norm_h, first, t)
    set_scale(norm_x, first, t)


def add_two_sums(first, second, d, z, mean):
    """Adds a row of gradients, and the same times the distance from the mean."""
    for j in range(len(first)):
        first[j] += d[j]
        second[j] += d[j] * (z[j] - mean[j])


def through_batch(out, d, z, mean, k, p, q):
    """The gradient to a product; `out` may be `d` or `z`."""
    for j in range(len(d)):
        out[j] = k[j] * (d[j] - p[j] - (z[j] - mean[j]) * q[j])


def add_through_batch(total, d, z, mean, k, p, q):
    """Adds the gradient to a product to a total."""
    for j in range(len(d)):
        total[j] += k[j] * (d[j] - p[j] - (z[j] - mean[j]) * q[j])


def coefficients(norm, d, z, rows, first, t, mean, k, p, q):
    """Computes `mean`, `k`, `p`, `q` of `k (d - p - (z - mean) q)`, the gradient through a norm; adds to its own."""
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
            inverse = ONE / np.sqrt(norm.variance[t, j] + norm.epsilon)
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


def back_norm(norm, z, d, rows, first, t, out):
    """The gradients to products `z[rows]`, from those to their norm; `out` may be `d`, or `z` where `rows` are all."""
    mean, k, p, q = norm.work[0], norm.work[1], norm.work[2], norm.work[3]
    coefficients(norm, d, z, rows, first, t, mean, k, p, q)
    for b in range(len(d)):
        if norm.kind == FIXED or norm.kind == BATCH:
            through_batch(out[b], d[b], z[rows[b]], mean, k, p, q)
        else:
            through_row(q, d[b], z[rows[b]], k, norm.inverse[t, b], norm.kind == ROWS)
            copy_row(out[b], q)


def back_table(norm, table, d, rows, first, t, d_table):
    """The gradients to rows of the table: added to `d_table`, or in the place of `d` where that is empty."""
    if len(d_table) == 0:
        back_norm(norm, table, d, rows, first, t, d)
    else:
        mean, k, p, q = norm.work[0], norm.work[1], norm.work[2], norm.work[3]
        coefficients(norm, d, table, rows, first, t, mean, k, p, q)
        for b in range(len(d)):
            add_through_batch(d_table[rows[b]], d[b], table[rows[b]], mean, k, p, q)
