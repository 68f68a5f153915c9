"""The cells over time in numpy: for matrices that are no whole numbers, and what compiled loops must agree with."""

import numpy as np
from jaxtyping import Float, Float32, Integer


def run(
    layer,
    table: Float32[np.ndarray, "slots symbols rows"],
    rows: Integer[np.ndarray, "time *batch"],
    t: int,
    state: Float32[np.ndarray, "*batch memories units"],
    out: Float32[np.ndarray, "time *batch units"],
) -> None:
    """Steps of a layer; `state` is overwritten, `out` takes h of each step."""
    h, c = state[..., 0, :], state[..., -1, :]
    for n, row in enumerate(rows):
        slot = min(t + n, len(layer.scale) - 1)
        x, z = table[min(slot, len(table) - 1), row], product(layer, h) * layer.scale[slot]
        if layer.cell == "lstm":
            i, f, g, o = np.split(x + z, 4, axis=-1)
            c[...] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            slot = min(slot, len(layer.arrays["scale_c"]) - 1)
            h[...] = sigmoid(o) * np.tanh(c * layer.arrays["scale_c"][slot] + layer.arrays["shift_c"][slot])
        elif layer.cell == "gru":
            parts = np.split(x, 3, axis=-1), np.split(z + layer.arrays["shift_h"][slot], 3, axis=-1)
            (x_r, x_z, x_n), (r, u, inner) = parts
            candidate = np.tanh(x_n + sigmoid(x_r + r) * inner)
            h[...] = candidate + sigmoid(x_z + u) * (h - candidate)
        else:
            h[...] = np.tanh(x + z)
        out[n] = h


def product(layer, h: Float32[np.ndarray, "*batch units"]) -> Float32[np.ndarray, "*batch rows"]:
    """The recurrent product: of whole numbers, or of float32 where the weights are none."""
    if layer.h is None:
        return h @ layer.values_h.T
    return np.apply_along_axis(lambda q: layer.h(q).astype(np.float32), -1, rounded(h, layer.bits))


def rounded(h: Float32[np.ndarray, "..."], bits: int) -> Integer[np.ndarray, "..."]:
    """The nearest multiple of $2^{1-b}$ below 1, as a whole number of b bits.

    >>> rounded(np.array([0.5, -1.0, 0.003], np.float32), 8).tolist()
    [64, -127, 0]
    """
    top = 2 ** (bits - 1) - 1
    return np.clip(np.rint(h * np.float32(top + 1)), -top, top).astype(np.int16)


def sigmoid(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """$1 / (1 + e^{-x})$ without overflow."""
    return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)
