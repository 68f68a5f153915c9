"""A packed model in whole numbers only: what a microcontroller computes, and what exported C must equal to the bit.

Activations of the gates are $2^{15}$ times their value (Q15), what goes into them $2^{12}$ times (Q12), the cell
$2^{16}$ times (Q16), and features $2^f$ times, with the largest $f$ that keeps those of the training data in
range. A right shift rounds halves up.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16, Int32, Int64, Integer

from lowbit.inference import check, file
from lowbit.inference.grid import LARGEST, Grid, Matrix, grid
from lowbit.inference.matvec.base import affine
from lowbit.registry import InputError, parse

MOST = 2**30 - 1  # of Q12, so that 32 bits hold the sum of two
CELL = 2**31 - 1  # of what 32 bits hold
FEATURES = 16  # bits of an input that is no symbol, at most
FINEST = 30  # bits of a multiplier below Q12, at most
SETTLE = 16  # those of the factor of a cell norm
ENTRIES = 256  # of the table of tanh between 0 and 8
ELSEWHERE = "lowbit.load and ONNX run it as it is"  # which is the end of a refusal


class Affine(NamedTuple):
    """A product in whole numbers and what brings it to Q12 at each step: $(m_{tr} y_r + 2^k b_{tr}) / 2^k$."""

    whole: Integer[np.ndarray, "rows cols"]
    levels: tuple[int, ...]
    factor: Int32[np.ndarray, "slots rows"]  # m
    shift: Int32[np.ndarray, "slots rows"]  # b, Q12
    bits: int  # k

    def __call__(self, y: Integer[np.ndarray, " rows"], t: int = 0) -> Int64[np.ndarray, " rows"]:
        """Q12 from sums of whole numbers, at most `MOST`; a step past the last slot takes the last."""
        slot = min(t, len(self.factor) - 1)
        offset = self.shift[slot].astype(np.int64) << self.bits
        return clipped(y.astype(np.int64) * self.factor[slot] + offset, self.bits)


class Layer(NamedTuple):
    """The two products of a layer, and its cell norm: a factor with 16 bits below the point and a shift, Q12."""

    x: Affine
    h: Affine
    settle: tuple[Int32[np.ndarray, "slots units"], Int32[np.ndarray, "slots units"]] | None


class State(NamedTuple):
    """Of each layer, h in Q15 and what an LSTM has besides: its cell in Q16; and the steps since the start."""

    h: list[Int64[np.ndarray, " units"]]
    c: list[Int64[np.ndarray, " units"]]
    t: int = 0


class Fixed:
    """A packed model in whole numbers; raises `InputError` where it has no such form."""

    def __init__(self, path: str | Path, bits: int = 8):
        arrays, about = check.read(path)
        self.cell, self.bits, self.about = parse(about["cell"], "cell")[0], bits, about
        if type(bits) is not int or not 2 <= bits <= 12:
            raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits}")
        if any(name.startswith("embedding") for name in arrays):
            raise InputError("symbols go into a fixed-point model one-hot, with no features and no embedding of theirs")
        if any(name.endswith(".first") for name in arrays):
            raise InputError("a fixed-point model starts at zero: this one learned its start, so train with start=zero")
        if not about["symbols"] and "input_range" not in about:
            raise InputError("this packed model does not say how large its features get: pack it again")
        self.tanh = table().astype(np.int64)
        self.top = 2 ** (bits - 1) - 1  # of h in a product
        self.widest, self.fraction = self._features(arrays) if not about["symbols"] else (0, 0)
        self.layers = [self._layer(n, arrays) for n in range(about["layers"])]
        self.slots = len(self.layers[0].h.factor)
        readout, bias = file.matrix("readout.weight", arrays).values, arrays["readout.bias"]
        self.readout = self._affine("readout", bytes_of(readout), 2.0 ** (1 - bits), bias[None], self.top)

    def start(self) -> State:
        """Zeros."""
        zeros = [np.zeros(self.about["units"], np.int64) for _ in self.layers]
        return State(zeros, list(zeros))

    def step(self, x: int | Float[np.ndarray, " inputs"], state: State) -> tuple[Int64[np.ndarray, " outputs"], State]:
        """Logits in Q12, and the next state; `x` is a symbol, or a row of features as they are."""
        ends = State([], [], state.t + 1)
        q = None if self.about["symbols"] else self.rounded(x)
        if q is None and not 0 <= x < self.about["inputs"]:
            raise InputError(f"the model knows symbols from 0 to {self.about['inputs'] - 1}, not {x}")
        for n, layer in enumerate(self.layers):
            x = layer.x(layer.x.whole[:, x] if q is None else product(layer.x, q), state.t)
            z = layer.h(product(layer.h, self._whole(state.h[n])), state.t)
            h, c = self._cell(layer, x, z, state.h[n], state.c[n], state.t)
            ends.h.append(h)
            ends.c.append(c)
            q = self._whole(h)
        return self.readout(product(self.readout, q)), ends

    def rounded(self, x: Float[np.ndarray, "*time inputs"]) -> Int64[np.ndarray, "*time inputs"]:
        """Features as whole numbers of 16 bits, $2^f$ times their value."""
        top = 2 ** (self.widest - 1) - 1
        return np.clip(np.rint(np.asarray(x, np.float64) * 2.0**self.fraction), -top, top).astype(np.int64)

    def _cell(self, layer: Layer, x: np.ndarray, z: np.ndarray, h: np.ndarray, c: np.ndarray, t: int):
        if self.cell == "lstm":
            i, f, g, o = np.split(x + z, 4)
            i, f, g, o = self._sigmoid(i), self._sigmoid(f), self._tanh(g), self._sigmoid(o)
            c = np.clip(rounded(f * c + 2 * i * g, 15), -CELL, CELL)
            inner = rounded(c, 4)
            if layer.settle is not None:
                factor, shift = (each[min(t, len(each) - 1)] for each in layer.settle)
                inner = clipped(c * factor, SETTLE + 4) + shift
            return rounded(o * self._tanh(inner), 15), c
        if self.cell == "gru":
            (x_r, x_z, x_n), (z_r, z_z, z_n) = np.split(x, 3), np.split(z, 3)
            r, u = self._sigmoid(x_r + z_r), self._sigmoid(x_z + z_z)
            n = self._tanh(x_n + rounded(r * z_n, 15))
            return n + rounded(u * (h - n), 15), c
        return self._tanh(x + z), c

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

    def _whole(self, h: np.ndarray) -> np.ndarray:
        return np.clip(rounded(h, 16 - self.bits), -self.top, self.top)

    def _features(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Bits of a feature, as many as 32 bits of a sum allow, and how many of them are below the point."""
        levels, cols = _grid(file.matrix("layers.0.input", arrays), "input").levels, self.about["inputs"]
        bits = min(FEATURES, (CELL // (span(levels) * cols) + 1).bit_length())
        if bits < self.bits:
            raise InputError(f"32 bits do not hold the sums of {cols} features: {ELSEWHERE}")
        return bits, min(FINEST, math.floor(math.log2((2 ** (bits - 1) - 1) / self.about["input_range"])))

    def _layer(self, n: int, arrays: dict[str, np.ndarray]) -> Layer:
        below = {name.removeprefix(f"layers.{n}."): array for name, array in arrays.items()}
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
        values = found.scale.astype(np.float64) * np.asarray(scale, np.float64)
        largest = np.abs(np.broadcast_to(values, shift.shape)).max()
        bits = min(FINEST, math.floor(math.log2(MOST / max(largest, 1e-30))) - 12)
        if bits < 0:
            raise InputError(f"{part} products are scaled by {largest:.3g}, too much for 32 bits: {ELSEWHERE}")
        factor = np.rint(np.broadcast_to(values, shift.shape) * 2.0 ** (12 + bits)).astype(np.int32)
        return Affine(found.whole, found.levels, factor, numbers(part, shift, 12), bits)


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


def span(levels: tuple[int, ...]) -> int:
    """The most that a product of one weight adds, as the C sums it: codes from 0, and what they leave out apart."""
    step, base, top = affine(levels)
    return step * top + abs(base)


def product(affine: Affine, q: Int64[np.ndarray, " cols"]) -> Int64[np.ndarray, " rows"]:
    """Sums of whole numbers."""
    return affine.whole.astype(np.int64) @ q


def numbers(part: str, values: np.ndarray, bits: int) -> Int32[np.ndarray, "..."]:
    """Values with so many bits below the point; raises `InputError` where 31 bits do not hold them."""
    found = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if np.abs(found).max(initial=0) > MOST:
        raise InputError(f"{part}: {np.abs(values).max():.3g} is too much for 32 bits of fixed point: {ELSEWHERE}")
    return found.astype(np.int32)


def rounded(values: Integer[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Over $2^{bits}$, halves up.

    >>> rounded(np.array([5, 6, -6]), 2).tolist()
    [1, 2, -1]
    """
    return (np.asarray(values, np.int64) + (1 << bits >> 1)) >> bits


def clipped(values: Integer[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Rounded, and at most what the sum of two may be."""
    return np.clip(rounded(values, bits), -MOST, MOST)


def table() -> Int16[np.ndarray, " entries"]:
    r"""tanh at $0, 1/32, \ldots, 8$ in Q15, the last below 1."""
    return np.minimum(np.rint(np.tanh(np.arange(ENTRIES + 1) / 32) * 2**15), 2**15 - 1).astype(np.int16)
