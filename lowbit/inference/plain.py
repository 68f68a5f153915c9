"""The cells over time in numpy: for matrices that are no whole numbers, and what compiled loops must agree with."""

import numpy as np
from jaxtyping import Float32, Integer


def run(
    layer,
    table: Float32[np.ndarray, "slots symbols rows"],
    rows: Integer[np.ndarray, " time"],
    t: int,
    state: Float32[np.ndarray, "memories units"],
    out: Float32[np.ndarray, "time units"],
) -> None:
    """Steps of a layer; `state` is overwritten, `out` takes h of each step."""
    for n, row in enumerate(rows):
        slot = min(t + n, len(layer.scale) - 1)
        x, z = table[min(slot, len(table) - 1), row], product(layer, state[0]) * layer.scale[slot]
        if layer.cell == "lstm":
            i, f, g, o = np.split(x + z, 4)
            state[1] = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
            slot = min(slot, len(layer.arrays["scale_c"]) - 1)
            c = state[1] * layer.arrays["scale_c"][slot] + layer.arrays["shift_c"][slot]
            state[0] = sigmoid(o) * np.tanh(c)
        elif layer.cell == "gru":
            (x_r, x_z, x_n), (r, u, inner) = np.split(x, 3), np.split(z + layer.arrays["shift_h"][slot], 3)
            candidate = np.tanh(x_n + sigmoid(x_r + r) * inner)
            state[0] = candidate + sigmoid(x_z + u) * (state[0] - candidate)
        else:
            state[0] = np.tanh(x + z)
        out[n] = state[0]


def product(layer, h: Float32[np.ndarray, " units"]) -> Float32[np.ndarray, " rows"]:
    """The recurrent product: of whole numbers, or of float32 where the weights are none."""
    return layer.values_h @ h if layer.h is None else layer.h(rounded(h, layer.bits)).astype(np.float32)


def rounded(h: Float32[np.ndarray, "..."], bits: int) -> Integer[np.ndarray, "..."]:
    """The nearest multiple of $2^{1-b}$ below 1, as a whole number of b bits.

    >>> rounded(np.array([0.5, -1.0, 0.003], np.float32), 8).tolist()
    [64, -127, 0]
    """
    top = 2 ** (bits - 1) - 1
    return np.clip(np.rint(h * np.float32(top + 1)), -top, top).astype(np.int16)


def sigmoid(x: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """$1 / (1 + e^{-x})$ without overflow."""
    return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)
