"""Shifts that make up for rounding: what a model of few bits says is, on average, what the network says.

Where all sequences are alike, as in their first steps, a batch norm multiplies their small differences by hundreds,
and with them every error that rounding makes. But then the error is the same in all sequences, so that a shift of its
own for each step takes it away. Such shifts follow from running both side by side, one step after the other.
"""

import contextlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from lowbit.inference import file
from lowbit.inference.fixed import Fixed
from lowbit.inference.grid import WIDEST, grid
from lowbit.inference.plain import sigmoid
from lowbit.registry import InputError, parse

Arrays = dict[str, np.ndarray]
BITS = (8, 12)  # of activations


class State(NamedTuple):
    """Of each layer, h and the cell of an LSTM, and the steps since the start."""

    h: list[Float[np.ndarray, "batch units"]]
    c: list[Float[np.ndarray, "batch units"]]
    t: int = 0


class Real:
    """A packed model in float64, h and features rounded as with so many bits, or not at all."""

    one = 1.0  # in its own units

    def __init__(self, arrays: Arrays, about: dict, bits: int = 0):
        self.cell, self.about, self.bits = parse(about["cell"], "cell")[0], about, bits
        self.settles = "normalize_cell" in about["cell"]
        self.layers, self.weights, self.rounds = [], [], []
        for n in range(about["layers"]):
            layer = file.below(f"layers.{n}.", arrays)
            matrices = [file.matrix(part, layer) for part in ("input", "recurrent")]
            self.layers.append({name: array.astype(np.float64) for name, array in layer.items()})
            self.weights.append([matrix.values.T.astype(np.float64) for matrix in matrices])
            self.rounds.append([bits > 0 and grid(matrix, WIDEST) is not None for matrix in matrices])
        embedded = "embedding" in arrays or "embedding.codes" in arrays
        self.embedding = file.matrix("embedding", arrays).values if embedded else None

    def start(self, batch: int) -> State:
        """The state before a sequence."""
        shape = (2 if self.cell == "lstm" else 1, self.about["units"])
        first = [np.repeat(layer.get("first", np.zeros(shape))[:, None], batch, axis=1) for layer in self.layers]
        return State([rows[0] for rows in first], [rows[-1] for rows in first])

    def enter(self, x: np.ndarray) -> np.ndarray:
        """Symbols, their vectors, or features."""
        return x if self.embedding is None else self.embedding[x]

    def products(self, n: int, below: np.ndarray, state: State) -> list[np.ndarray]:
        """The normalized input and recurrent products of a layer."""
        layer, (weights_x, weights_h), (round_x, round_h) = self.layers[n], self.weights[n], self.rounds[n]
        slot, top = min(state.t, len(layer["scale_x"]) - 1), 2 ** (self.bits - 1) - 1
        if below.dtype.kind in "iu":
            x = weights_x[below]
        elif round_x:
            largest = np.maximum(np.abs(below).max(axis=-1, keepdims=True), 1e-30)
            x = _rounded(below, largest / top if n == 0 else 1 / (top + 1), top) @ weights_x
        else:
            x = below @ weights_x
        h = _rounded(state.h[n], 1 / (top + 1), top) if round_h else state.h[n]
        shift = layer["shift_h"][slot] if "shift_h" in layer else 0
        return [x * layer["scale_x"][slot] + layer["shift_x"][slot], h @ weights_h * layer["scale_h"][slot] + shift]

    def remember(self, n: int, x: np.ndarray, z: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray | None]:
        """The next cell of an LSTM, and what of it the output sees; else the old one and nothing."""
        if self.cell != "lstm":
            return state.c[n], None
        i, f, g, _ = np.split(x + z, 4, axis=-1)
        c = sigmoid(f) * state.c[n] + sigmoid(i) * np.tanh(g)
        layer = self.layers[n]
        if "scale_c" not in layer:
            return c, c
        slot = min(state.t, len(layer["scale_c"]) - 1)
        return c, c * layer["scale_c"][slot] + layer["shift_c"][slot]

    def say(self, n: int, x: np.ndarray, z: np.ndarray, inner: np.ndarray | None, state: State) -> np.ndarray:
        """The output of a layer."""
        if self.cell == "lstm":
            return sigmoid(np.split(x + z, 4, axis=-1)[3]) * np.tanh(inner)
        if self.cell == "gru":
            (x_r, x_z, x_n), (z_r, z_z, z_n) = np.split(x, 3, axis=-1), np.split(z, 3, axis=-1)
            m = np.tanh(x_n + sigmoid(x_r + z_r) * z_n)
            return m + sigmoid(x_z + z_z) * (state.h[n] - m)
        return np.tanh(x + z)

    def whole(self, h: np.ndarray) -> np.ndarray:
        """What the next layer takes, which rounds it by itself."""
        return h


class Track:
    """Means of what a layer computes in one step, and what was added to bring them to others."""

    def __init__(self, one: float, goals: list[np.ndarray] | None):
        self.one, self.goals, self.means, self.added = one, goals, [], []

    def __call__(self, part: np.ndarray) -> np.ndarray:
        """The part, moved to its goal where there is one."""
        mean = part.mean(axis=0)
        move = 0 * mean if self.goals is None else self.goals[len(self.means)] * self.one - mean
        move = np.rint(move).astype(np.int64) if part.dtype.kind == "i" else move
        self.means.append(mean / self.one)
        self.added.append(move / self.one)
        return part + move


def corrections(
    arrays: Arrays, about: dict, x: Float[np.ndarray, "time batch inputs"] | Integer[np.ndarray, "time batch"]
) -> Arrays:
    """Shifts for models of 8 and 12 bits and for their C, at each step that has its own, from training sequences."""
    slots = len(arrays["layers.0.scale_h"])
    own = slots if len(x) <= slots else slots - 1
    goals = [[track.means for track in tracks] for tracks in follow(Real(arrays, about), x[:own])]
    found = {}
    for bits in BITS:
        real = Real(arrays, about, bits)
        engines = {str(bits): real} if any(map(any, real.rounds)) else {}
        with contextlib.suppress(InputError):  # not every model has a form in whole numbers
            engines[f"c{bits}"] = Fixed.of(arrays, about, bits)
        for form, engine in engines.items():
            tracks = follow(engine, x[:own], goals)
            for n in range(about["layers"]):
                found |= _shifts(n, form, arrays, tracks, engine.one)
    return found


def follow(engine: Real | Fixed, x: np.ndarray, goals: list[list] | None = None) -> list[list[Track]]:
    """What each layer computes at each step, on average, and what brings it to the goals."""
    state, found = engine.start(x.shape[1]), []
    for t, now in enumerate(x):
        below, ends = engine.enter(now), ([], [])
        found.append([])
        for n in range(engine.about["layers"]):
            track = Track(engine.one, None if goals is None else goals[t][n])
            parts = [track(part) for part in engine.products(n, below, state)]
            c, inner = engine.remember(n, *parts, state)
            inner = track(inner) if engine.settles else inner
            h = engine.say(n, *parts, inner, state)
            ends[0].append(h)
            ends[1].append(c)
            found[-1].append(track)
            below = engine.whole(h)
        state = type(state)(*ends, t + 1)
    return found


def _shifts(n: int, form: str, arrays: Arrays, tracks: list[list[Track]], one: float) -> Arrays:
    """The shifts of a layer with what was added, in units that its form has."""
    layer = file.below(f"layers.{n}.", arrays)
    shifts = {name: layer[name].astype(np.float64) for name in file.SHIFTS if name in layer}
    if one > 1:
        shifts = {name: np.rint(shift * one) / one for name, shift in shifts.items()}
    for t, row in enumerate(tracks):
        for name, added in zip(file.SHIFTS, row[n].added, strict=False):
            shifts[name if name in shifts else "shift_x"][t] += added
    return {f"layers.{n}.{name}.{form}": shift.astype(np.float32) for name, shift in shifts.items()}


def _rounded(x: np.ndarray, unit: np.ndarray | float, top: int) -> np.ndarray:
    return np.clip(np.rint(x / unit), -top, top) * unit
