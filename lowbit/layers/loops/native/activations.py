"""Activations of one number and of a row of gates; loops over rows become vector instructions."""

import numpy as np

ONE, TWO, HALF = np.float32(1), np.float32(2), np.float32(0.5)
LIMIT = np.float32(9.0)  # tanh is 1 beyond, to float32
N0, N1, N2, N3 = np.float32(135135), np.float32(17325), np.float32(378), np.float32(1)
D0, D1, D2, D3 = np.float32(135135), np.float32(62370), np.float32(3150), np.float32(28)


def tanh(x):
    """Lambert's continued fraction for half the argument, n / d, and tanh 2u = 2 n d / (n² + d²)."""
    u = HALF * (LIMIT if x > LIMIT else (-LIMIT if x < -LIMIT else x))
    v = u * u
    n = u * (N0 + v * (N1 + v * (N2 + v * N3)))
    d = D0 + v * (D1 + v * (D2 + v * D3))
    return TWO * n * d / (n * n + d * d)


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return HALF + HALF * tanh(HALF * x)


def sigmoid_row(g, a, x, scale_h, scale_x, offset):
    """The sigmoid of the normalized products of a row."""
    for j in range(len(g)):
        g[j] = sigmoid(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])


def tanh_row(g, a, x, scale_h, scale_x, offset):
    """The hyperbolic tangent of the normalized products of a row."""
    for j in range(len(g)):
        g[j] = tanh(a[j] * scale_h[j] + x[j] * scale_x[j] + offset[j])
