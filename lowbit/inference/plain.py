"""The cells in numpy: what compiled cells must agree with, in real numbers and in fixed point."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Integer


def sigmoid(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """$1 / (1 + e^{-x})$ without overflow."""
    return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)


class Arithmetic(NamedTuple):
    """The functions of a cell, by default of real numbers."""

    sigmoid: Callable[[np.ndarray], np.ndarray] = sigmoid
    tanh: Callable[[np.ndarray], np.ndarray] = np.tanh
    product: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.multiply  # of a gate and a value
    memory: Callable[..., np.ndarray] = lambda f, c, i, g: f * c + i * g  # the next cell of an LSTM


def step(
    cell: str,
    x: np.ndarray,
    z: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    settle: Callable[[np.ndarray], np.ndarray],
    arithmetic: Arithmetic,
) -> tuple[np.ndarray, np.ndarray]:
    """The next h and c (..., units) from normalized input and recurrent products (..., gates x units).

    `settle` is the norm of an LSTM's cell; other cells return c as it is.
    """
    gate, tanh, product, memory = arithmetic
    if cell == "lstm":
        i, f, g, o = np.split(x + z, 4, axis=-1)
        c = memory(gate(f), c, gate(i), tanh(g))
        return product(gate(o), tanh(settle(c))), c
    if cell == "gru":
        (x_r, x_u, x_m), (z_r, z_u, z_m) = (np.split(part, 3, axis=-1) for part in (x, z))
        m = tanh(x_m + product(gate(x_r + z_r), z_m))
        return m + product(gate(x_u + z_u), h - m), c
    return tanh(x + z), c


def run(
    layer,
    product: Callable[[Float32[np.ndarray, "*batch units"]], Float32[np.ndarray, "*batch rows"]],
    table: Float32[np.ndarray, "slots symbols rows"],
    rows: Integer[np.ndarray, "time *batch"],
    t: int,
    state: Float32[np.ndarray, "*batch memories units"],
    out: Float32[np.ndarray, "time *batch units"],
) -> None:
    """Steps of a `layer.Layer` after `t` steps; overwrites `state` and writes h of each step to `out`.

    `product` is that of the recurrent weights with h.
    """
    h, c = state[..., 0, :], state[..., -1, :]

    def settle(c):
        slot = min(t + n, len(layer.arrays["scale_c"]) - 1)
        return c * layer.arrays["scale_c"][slot] + layer.arrays["shift_c"][slot]

    for n, row in enumerate(rows):
        slot = min(t + n, len(layer.scale) - 1)
        x, z = table[min(slot, len(table) - 1), row], product(h) * layer.scale[slot]
        if layer.cell == "gru":
            z = z + layer.arrays["shift_h"][slot]
        h[...], c[...] = step(layer.cell, x, z, h, c, settle, Arithmetic())
        out[n] = h
