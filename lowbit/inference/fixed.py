"""A packed model in whole numbers only: what a microcontroller computes, and what exported C must equal to the bit.

Activations of the gates are $2^{15}$ times their value (Q15), what goes into them $2^{12}$ times (Q12), the cell
$2^{16}$ times (Q16), and features $2^f$ times, with the largest $f$ that keeps those of the training data in
range. A right shift rounds halves up.
"""

import math
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64, Integer

from lowbit.hardware.fixed import shifted
from lowbit.inference import check, file, whole
from lowbit.inference.engine import Engine, State
from lowbit.inference.grid import LARGEST, Grid, Matrix, grid
from lowbit.inference.plain import Arithmetic
from lowbit.inference.whole import ALTERNATIVE, FINEST, INT32, Affine, clipped, numbers, span
from lowbit.registry import InputError

FEATURES = 16  # bits of an input that is no symbol, at most
SETTLE = 16  # bits of the factor of a cell norm


class Layer(NamedTuple):
    """The two products of a layer, and its cell norm: a factor with 16 bits below the point and a shift, Q12."""

    x: Affine
    h: Affine
    settle: tuple[Int32[np.ndarray, "slots units"], Int32[np.ndarray, "slots units"]] | None


def load(path: str | Path, bits: int = 8) -> "Fixed":
    """A packed file in whole numbers; raises `InputError` where it has no such form."""
    return Fixed(*check.read(path), bits)


def _memory(f: np.ndarray, c: np.ndarray, i: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.clip(shifted(f * c + 2 * i * g, 15), -INT32, INT32)


class Fixed(Engine):
    """A packed model in whole numbers, activations of 2 to 12 bits; raises `InputError` where it has no such form."""

    one = 2.0**12
    arithmetic: ClassVar = Arithmetic(whole.sigmoid, whole.tanh, lambda a, b: shifted(a * b, 15), _memory)

    def __init__(self, arrays: dict[str, np.ndarray], about: dict, bits: int):
        super().__init__(about, bits)
        _check(arrays, about, bits)
        self.top = 2 ** (bits - 1) - 1  # of h in a product
        self.widest, self.fraction = self._features(arrays) if not about["symbols"] else (0, 0)
        self.layers = [self._layer_of(n, arrays) for n in range(about["layers"])]
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
        below, state = self.advance(x, state)
        return self.readout(self.readout.product(below)), state

    def _enter(self, x):
        """A symbol, or features as whole numbers; raises `InputError` for a symbol that the model does not have."""
        if not self.about["symbols"]:
            return self.quantize(x)
        if np.min(x) < 0 or np.max(x) >= self.about["inputs"]:
            raise InputError(f"the model knows symbols from 0 to {self.about['inputs'] - 1}, not {x}")
        return x

    def quantize(self, x: Float[np.ndarray, "*time inputs"]) -> Int64[np.ndarray, "*time inputs"]:
        """Features as whole numbers of 16 bits, $2^f$ times their value."""
        top = 2 ** (self.widest - 1) - 1
        return np.clip(np.rint(np.asarray(x, np.float64) * 2.0**self.fraction), -top, top).astype(np.int64)

    def _products(self, n: int, below, state: State) -> list[np.ndarray]:
        x, h, _ = self.layers[n]
        y = x.whole.T[below] if n == 0 and self.about["symbols"] else x.product(below)
        return [x(y, state.t), h(h.product(self._whole(state.h[n])), state.t)]

    def _settle(self, n: int, c: np.ndarray, t: int) -> np.ndarray:
        if self.layers[n].settle is None:
            return shifted(c, 4)
        factor, shift = (table[min(t, len(table) - 1)] for table in self.layers[n].settle)
        return clipped(c * factor, SETTLE + 4) + shift

    def _whole(self, h: np.ndarray) -> np.ndarray:
        return np.clip(shifted(h, 16 - self.bits), -self.top, self.top)

    def _features(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Bits of a feature, as many as 32 bits of a sum allow, and how many of them are below the point."""
        levels, cols = _grid(file.matrix("layers.0.input", arrays), "input").levels, self.about["inputs"]
        bits = min(FEATURES, (INT32 // (span(levels) * cols) + 1).bit_length())
        if bits < self.bits:
            raise InputError(f"32 bits do not hold the sums of {cols} features: {ALTERNATIVE}")
        return bits, min(FINEST, math.floor(math.log2((2 ** (bits - 1) - 1) / self.about["input_range"])))

    def _layer_of(self, n: int, arrays: dict[str, np.ndarray]) -> Layer:
        arrays = file.layer(n, arrays, f"c{self.bits}")
        unit = 2.0 ** (1 - self.bits)
        unit_x, top_x = (unit, self.top) if n else (2.0**-self.fraction, 2 ** (self.widest - 1) - 1)
        if n == 0 and self.about["symbols"]:
            unit_x, top_x = 1.0, 1
        settle = None
        if self.settles:
            settle = numbers("cell norm", arrays["scale_c"], SETTLE), numbers("cell norm", arrays["shift_c"], 12)
        shift_x, shift_h = arrays["shift_x"], arrays.get("shift_h", 0 * arrays["shift_x"])
        return Layer(
            self._affine("input", arrays, arrays["scale_x"] * unit_x, shift_x, top_x),
            self._affine("recurrent", arrays, arrays["scale_h"] * unit, shift_h, self.top),
            settle,
        )

    def _affine(
        self, part: str, arrays: dict[str, np.ndarray], scale: np.ndarray, shift: np.ndarray, top: int
    ) -> Affine:
        """A matrix with its scales and shifts as whole numbers, for activations of at most `top`."""
        weights = _grid(file.matrix(part, arrays), part)
        cols = weights.codes.shape[1]
        if span(weights.levels) * top * cols > INT32:
            raise InputError(f"32 bits do not hold sums of {cols} {part} products at {self.bits} bits: take fewer")
        return Affine.of(part, weights.whole, weights.levels, weights.scale * scale.astype(np.float64), shift)

    def _readout(self, weights: Float[np.ndarray, "rows cols"], bias: Float[np.ndarray, " rows"]) -> Affine:
        """The readout in as many of sixteen bits a weight as 32 bits of a sum allow, one scale a row."""
        top = min(2**15 - 1, INT32 // (self.top * weights.shape[1]))
        if top < LARGEST:
            raise InputError(f"32 bits do not hold sums of {weights.shape[1]} readout products: {ALTERNATIVE}")
        scale = _row_maxima(weights).astype(np.float64) / top
        codes = np.rint(weights / scale[:, None]).astype(np.int16)
        return Affine.of("readout", codes, (), scale * 2.0 ** (1 - self.bits), bias[None])


def _check(arrays: dict[str, np.ndarray], about: dict, bits: int) -> None:
    if not 2 <= bits <= 12:
        raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits}")
    if file.has("embedding", arrays):
        raise InputError("symbols go into a fixed-point model one-hot, with no features and no embedding of theirs")
    if any(name.endswith(".first") for name in arrays):
        raise InputError("a fixed-point model starts at zero: this one learned its start, so train with start=zero")
    corrected = sorted(int(name.rpartition(".c")[2]) for name in arrays if name.startswith("layers.0.shift_x.c"))
    if corrected and bits not in corrected:
        choices = " or ".join(map(str, corrected))
        raise InputError(f"this model is packed for activations of {choices} bits in C, not {bits}")
    if not about["symbols"] and "input_range" not in about:
        raise InputError("this packed model does not say how large its features get: pack it again")


def _grid(matrix: Matrix, part: str) -> Grid:
    """The matrix as whole numbers; real weights in eight bits, one scale a row."""
    if matrix.codes is None or matrix.codes.dtype != np.uint8:
        largest = _row_maxima(matrix.values)
        codes = (np.rint(matrix.values / largest[:, None] * LARGEST) + LARGEST).astype(np.uint8)
        return Grid(codes, tuple(range(-LARGEST, LARGEST + 1)), (largest / LARGEST).astype(np.float32))
    weights = grid(matrix)
    if weights is None:
        raise InputError(f"the {part} weights are no multiples of one step, so not whole numbers: {ALTERNATIVE}")
    return weights


def _row_maxima(values: Float[np.ndarray, "rows cols"]) -> Float[np.ndarray, " rows"]:
    return np.maximum(np.abs(values).max(axis=1), np.finfo(np.float32).tiny)
