"""A packed model in whole numbers only: what a microcontroller computes, and what exported C must equal to the bit.

Activations of the gates are $2^{15}$ times their value (Q15), what goes into them $2^{12}$ times (Q12), the cell
$2^{16}$ times (Q16), and features $2^f$ times, with the largest $f$ that keeps those of the training data in
range. A right shift rounds halves up.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64, Integer

from lowbit.inference import check, file
from lowbit.inference.grid import LARGEST, Grid, Matrix, grid
from lowbit.inference.whole import (
    CELL,
    ELSEWHERE,
    FINEST,
    Affine,
    clipped,
    numbers,
    product,
    rounded,
    scaled,
    span,
    table,
)
from lowbit.registry import InputError, parse

FEATURES = 16  # bits of an input that is no symbol, at most
SETTLE = 16  # those of the factor of a cell norm


class Layer(NamedTuple):
    """The two products of a layer, and its cell norm: a factor with 16 bits below the point and a shift, Q12."""

    x: Affine
    h: Affine
    settle: tuple[Int32[np.ndarray, "slots units"], Int32[np.ndarray, "slots units"]] | None


class State(NamedTuple):
    """Of each layer, h in Q15 and what an LSTM has besides: its cell in Q16; and the steps since the start."""

    h: list[Int64[np.ndarray, "*batch units"]]
    c: list[Int64[np.ndarray, "*batch units"]]
    t: int = 0


class Fixed:
    """A packed model in whole numbers; raises `InputError` where it has no such form."""

    one = 2.0**12  # Q12

    def __init__(self, path: str | Path, bits: int = 8):
        self._build(*check.read(path), bits)

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], about: dict, bits: int) -> "Fixed":
        """Of what a packed file holds."""
        made = cls.__new__(cls)
        made._build(arrays, about, bits)
        return made

    def _build(self, arrays: dict[str, np.ndarray], about: dict, bits: int) -> None:
        self.cell, self.bits, self.about = parse(about["cell"], "cell")[0], bits, about
        if not 2 <= bits <= 12:
            raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits}")
        if any(name.startswith("embedding") for name in arrays):
            raise InputError("symbols go into a fixed-point model one-hot, with no features and no embedding of theirs")
        if any(name.endswith(".first") for name in arrays):
            raise InputError("a fixed-point model starts at zero: this one learned its start, so train with start=zero")
        corrected = sorted(int(name.rpartition(".c")[2]) for name in arrays if name.startswith("layers.0.shift_x.c"))
        if corrected and bits not in corrected:
            raise InputError(
                f"this model is made for activations of {' or '.join(map(str, corrected))} bits in C, not {bits}"
            )
        if not about["symbols"] and "input_range" not in about:
            raise InputError("this packed model does not say how large its features get: pack it again")
        self.tanh = table().astype(np.int64)
        self.top = 2 ** (bits - 1) - 1  # of h in a product
        self.widest, self.fraction = self._features(arrays) if not about["symbols"] else (0, 0)
        self.settles = "layers.0.scale_c" in arrays
        self.layers = [self._layer(n, arrays) for n in range(about["layers"])]
        self.slots = len(self.layers[0].h.factor)
        self.readout = self._readout(file.matrix("readout.weight", arrays).values, arrays["readout.bias"])

    def start(self, batch: int | None = None) -> State:
        """Zeros, of one sequence or of `batch` side by side."""
        shape = (self.about["units"],) if batch is None else (batch, self.about["units"])
        zeros = [np.zeros(shape, np.int64) for _ in self.layers]
        return State(zeros, list(zeros))

    def step(
        self, x: int | Integer[np.ndarray, " batch"] | Float[np.ndarray, "*batch inputs"], state: State
    ) -> tuple[Int64[np.ndarray, "*batch outputs"], State]:
        """Logits in Q12, and the next state; `x` is a symbol, or a row of features as they are."""
        ends = State([], [], state.t + 1)
        below = self.enter(x)
        for n in range(len(self.layers)):
            parts = self.products(n, below, state)
            c, inner = self.remember(n, *parts, state)
            h = self.say(n, *parts, inner, state)
            ends.h.append(h)
            ends.c.append(c)
            below = self.whole(h)
        return self.readout(product(self.readout, below)), ends

    def enter(self, x):
        """What the first layer takes: a symbol that there is, or features as whole numbers."""
        if not self.about["symbols"]:
            return self.rounded(x)
        if np.min(x) < 0 or np.max(x) >= self.about["inputs"]:
            raise InputError(f"the model knows symbols from 0 to {self.about['inputs'] - 1}, not {x}")
        return x

    def rounded(self, x: Float[np.ndarray, "*time inputs"]) -> Int64[np.ndarray, "*time inputs"]:
        """Features as whole numbers of 16 bits, $2^f$ times their value."""
        top = 2 ** (self.widest - 1) - 1
        return np.clip(np.rint(np.asarray(x, np.float64) * 2.0**self.fraction), -top, top).astype(np.int64)

    def products(self, n: int, below, state: State) -> list[np.ndarray]:
        """The normalized input and recurrent products of a layer, Q12."""
        layer = self.layers[n]
        x = layer.x.whole.T[below] if n == 0 and self.about["symbols"] else product(layer.x, below)
        return [layer.x(x, state.t), layer.h(product(layer.h, self.whole(state.h[n])), state.t)]

    def remember(self, n: int, x: np.ndarray, z: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray | None]:
        """The next cell of an LSTM, Q16, and what of it the output sees, Q12; else the old one and nothing."""
        c = state.c[n]
        if self.cell != "lstm":
            return c, None
        i, f, g, _ = np.split(x + z, 4, axis=-1)
        c = np.clip(rounded(self._sigmoid(f) * c + 2 * self._sigmoid(i) * self._tanh(g), 15), -CELL, CELL)
        settle = self.layers[n].settle
        if settle is None:
            return c, rounded(c, 4)
        factor, shift = (table[min(state.t, len(table) - 1)] for table in settle)
        return c, clipped(c * factor, SETTLE + 4) + shift

    def say(self, n: int, x: np.ndarray, z: np.ndarray, inner: np.ndarray | None, state: State) -> np.ndarray:
        """The output of a layer, Q15."""
        if self.cell == "lstm":
            return rounded(self._sigmoid(np.split(x + z, 4, axis=-1)[3]) * self._tanh(inner), 15)
        if self.cell == "gru":
            (x_r, x_z, x_n), (z_r, z_z, z_n) = np.split(x, 3, axis=-1), np.split(z, 3, axis=-1)
            r, u = self._sigmoid(x_r + z_r), self._sigmoid(x_z + z_z)
            m = self._tanh(x_n + rounded(r * z_n, 15))
            return m + rounded(u * (state.h[n] - m), 15)
        return self._tanh(x + z)

    def _tanh(self, z: np.ndarray) -> np.ndarray:
        """Q15 from Q12: the table between its entries on a straight line."""
        size = np.minimum(np.abs(z), 8 * 2**12 - 1)
        entry, rest = size >> 7, size & 127
        value = self.tanh[entry] + rounded((self.tanh[entry + 1] - self.tanh[entry]) * rest, 7)
        return np.where(z < 0, -value, value)

    def _sigmoid(self, z: np.ndarray) -> np.ndarray:
        r"""$\frac12 + \frac12\tanh(z / 2)$, Q15 from Q12."""
        size = np.minimum(np.abs(z), 16 * 2**12 - 1)
        entry, rest = size >> 8, size & 255
        value = self.tanh[entry] + rounded((self.tanh[entry + 1] - self.tanh[entry]) * rest, 8)
        return rounded(2**15 + np.where(z < 0, -value, value), 1)

    def whole(self, h: np.ndarray) -> np.ndarray:
        """h as a product takes it."""
        return np.clip(rounded(h, 16 - self.bits), -self.top, self.top)

    def _features(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Bits of a feature, as many as 32 bits of a sum allow, and how many of them are below the point."""
        levels, cols = _grid(file.matrix("layers.0.input", arrays), "input").levels, self.about["inputs"]
        bits = min(FEATURES, (CELL // (span(levels) * cols) + 1).bit_length())
        if bits < self.bits:
            raise InputError(f"32 bits do not hold the sums of {cols} features: {ELSEWHERE}")
        return bits, min(FINEST, math.floor(math.log2((2 ** (bits - 1) - 1) / self.about["input_range"])))

    def _layer(self, n: int, arrays: dict[str, np.ndarray]) -> Layer:
        below = file.corrected(file.below(f"layers.{n}.", arrays), f"c{self.bits}")
        x, h = (_grid(file.matrix(part, below), part) for part in ("input", "recurrent"))
        unit = 2.0 ** (1 - self.bits)
        unit_x, top_x = (unit, self.top) if n else (2.0**-self.fraction, 2 ** (self.widest - 1) - 1)
        if n == 0 and self.about["symbols"]:
            unit_x, top_x = 1.0, 1
        settle = None
        if "scale_c" in below:
            settle = numbers("cell norm", below["scale_c"], SETTLE), numbers("cell norm", below["shift_c"], 12)
        return Layer(
            self._affine("input", x, below["scale_x"] * unit_x, below["shift_x"], top_x),
            self._affine("recurrent", h, below["scale_h"] * unit, below.get("shift_h", 0 * below["shift_x"]), self.top),
            settle,
        )

    def _affine(self, part: str, found: Grid, scale: np.ndarray | float, shift: np.ndarray, top: int) -> Affine:
        """A grid with its scales and shifts as whole numbers, for activations of at most `top`."""
        if span(found.levels) * top * found.codes.shape[1] > CELL:
            raise InputError(
                f"32 bits do not hold sums of {found.codes.shape[1]} {part} products at {self.bits} bits: take fewer"
            )
        return scaled(part, found.whole, found.levels, found.scale * np.asarray(scale, np.float64), shift)

    def _readout(self, weights: Float[np.ndarray, "rows cols"], bias: Float[np.ndarray, " rows"]) -> Affine:
        """The readout in as many of sixteen bits a weight as 32 bits of a sum allow, one scale a row."""
        most = min(2**15 - 1, CELL // (self.top * weights.shape[1]))
        if most < LARGEST:
            raise InputError(f"32 bits do not hold sums of {weights.shape[1]} readout products: {ELSEWHERE}")
        scale = np.maximum(np.abs(weights).max(axis=1), np.finfo(np.float32).tiny).astype(np.float64) / most
        whole = np.rint(weights / scale[:, None]).astype(np.int16)
        return scaled("readout", whole, (), scale * 2.0 ** (1 - self.bits), bias[None])


def _grid(matrix: Matrix, part: str) -> Grid:
    if matrix.codes is None or matrix.codes.dtype != np.uint8:
        return bytes_of(matrix.values)
    found = grid(matrix)
    if found is None:
        raise InputError(f"the {part} weights are no multiples of one step, so not whole numbers: {ELSEWHERE}")
    return found


def bytes_of(values: Float[np.ndarray, "rows cols"]) -> Grid:
    """Real weights in eight bits, one scale a row."""
    largest = np.maximum(np.abs(values).max(axis=1), np.finfo(np.float32).tiny)
    codes = (np.rint(values / largest[:, None] * LARGEST) + LARGEST).astype(np.uint8)
    return Grid(codes, tuple(range(-LARGEST, LARGEST + 1)), (largest / LARGEST).astype(np.float32))
