"""Shifts that correct rounding: on average, a model of few bits then computes what the network computes.

Where all sequences are alike, as in their first steps, a batch norm multiplies their small differences by hundreds,
and with them every error of rounding. But then the error is the same in all sequences, so that a shift for each step
removes it. Such shifts follow from running both side by side, one step after the other.
"""

import contextlib
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Integer

from lowbit.inference import choose, file
from lowbit.inference.engine import Engine, State
from lowbit.inference.fixed import Fixed
from lowbit.inference.grid import WIDEST, grid
from lowbit.inference.plain import Arithmetic
from lowbit.registry import InputError

Arrays = dict[str, np.ndarray]


class Real(Engine):
    """A packed model in float64, h and features rounded to `bits` bits, or not at all."""

    one = 1.0
    arithmetic: ClassVar = Arithmetic()

    def __init__(self, arrays: Arrays, about: dict, bits: int = 0):
        super().__init__(about, bits)
        self.top = 2 ** (bits - 1) - 1
        self.layers, self.weights, self.rounds = [], [], []
        for n in range(about["layers"]):
            layer = file.layer(n, arrays)
            matrices = [file.matrix(part, layer) for part in ("input", "recurrent")]
            self.layers.append({name: array.astype(np.float64) for name, array in layer.items()})
            self.weights.append([matrix.values.T.astype(np.float64) for matrix in matrices])
            self.rounds.append([bits > 0 and grid(matrix, WIDEST) is not None for matrix in matrices])
        self.embedding = file.matrix("embedding", arrays).values if file.has("embedding", arrays) else None

    def start(self, batch: int) -> State:
        """The state before a sequence."""
        shape = (2 if self.cell == "lstm" else 1, self.about["units"])
        first = [np.repeat(layer.get("first", np.zeros(shape))[:, None], batch, axis=1) for layer in self.layers]
        return State([rows[0] for rows in first], [rows[-1] for rows in first])

    def _enter(self, x: np.ndarray) -> np.ndarray:
        return x if self.embedding is None else self.embedding[x]

    def _products(self, n: int, below: np.ndarray, state: State) -> list[np.ndarray]:
        layer, (weights_x, weights_h), (round_x, round_h) = self.layers[n], self.weights[n], self.rounds[n]
        slot, h = min(state.t, len(layer["scale_x"]) - 1), state.h[n]
        if below.dtype.kind in "iu":
            x = weights_x[below]
        elif round_x:
            largest = np.maximum(np.abs(below).max(axis=-1, keepdims=True), 1e-30)
            x = self._rounded(below, largest / self.top if n == 0 else 1 / (self.top + 1)) @ weights_x
        else:
            x = below @ weights_x
        if round_h:
            h = self._rounded(h, 1 / (self.top + 1))
        shift = layer["shift_h"][slot] if "shift_h" in layer else 0
        return [x * layer["scale_x"][slot] + layer["shift_x"][slot], h @ weights_h * layer["scale_h"][slot] + shift]

    def _settle(self, n: int, c: np.ndarray, t: int) -> np.ndarray:
        if not self.settles:
            return c
        scale, shift = (self.layers[n][name] for name in ("scale_c", "shift_c"))
        slot = min(t, len(scale) - 1)
        return c * scale[slot] + shift[slot]

    def _rounded(self, x: np.ndarray, unit: np.ndarray | float) -> np.ndarray:
        return np.clip(np.rint(x / unit), -self.top, self.top) * unit


class Track:
    """Means of what a layer computes in one step, and what is added to move them to the goals, if any."""

    def __init__(self, one: float, goals: list[np.ndarray] | None):
        self.one, self.goals, self.means, self.added = one, goals, [], []

    def __call__(self, part: np.ndarray) -> np.ndarray:
        """The part, moved to its goal."""
        mean = part.mean(axis=0)
        move = 0 * mean if self.goals is None else self.goals[len(self.means)] * self.one - mean
        move = np.rint(move).astype(np.int64) if part.dtype.kind == "i" else move
        self.means.append(mean / self.one)
        self.added.append(move / self.one)
        return part + move


def corrections(
    arrays: Arrays, about: dict, x: Float[np.ndarray, "time batch inputs"] | Integer[np.ndarray, "time batch"]
) -> Arrays:
    """Shifts for models of 8 and 12 bits and for their C, at each step with its own statistics.

    `x` are training sequences side by side.
    """
    slots = len(arrays["layers.0.scale_h"])
    x = x[: slots if len(x) <= slots else slots - 1]
    goals = [[track.means for track in tracks] for tracks in follow(Real(arrays, about), x)]
    shifts = {}
    for bits in choose.BITS:
        real = Real(arrays, about, bits)
        engines = {str(bits): real} if any(map(any, real.rounds)) else {}
        with contextlib.suppress(InputError):  # not every model has a form in whole numbers
            engines[f"c{bits}"] = Fixed(arrays, about, bits)
        for form, engine in engines.items():
            tracks = follow(engine, x, goals)
            for n in range(about["layers"]):
                shifts |= _shifts(n, form, arrays, tracks, engine.one)
    return shifts


def follow(engine: Real | Fixed, x: np.ndarray, goals: list[list] | None = None) -> list[list[Track]]:
    """The track of each layer at each step."""
    state, steps = engine.start(x.shape[1]), []
    for t, inputs in enumerate(x):
        steps.append([Track(engine.one, goals and goals[t][n]) for n in range(engine.about["layers"])])
        state = engine.advance(inputs, state, steps[-1])[1]
    return steps


def _shifts(n: int, form: str, arrays: Arrays, tracks: list[list[Track]], one: float) -> Arrays:
    """The shifts of a layer with what was added, in the units of the form."""
    layer = file.layer(n, arrays)
    shifts = {name: layer[name].astype(np.float64) for name in file.SHIFTS if name in layer}
    if one > 1:
        shifts = {name: np.rint(shift * one) / one for name, shift in shifts.items()}
    for t, row in enumerate(tracks):
        for name, added in zip(file.SHIFTS, row[n].added, strict=False):
            shifts[name if name in shifts else "shift_x"][t] += added
    return {f"layers.{n}.{name}.{form}": shift.astype(np.float32) for name, shift in shifts.items()}
