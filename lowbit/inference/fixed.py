"""A packed model in whole numbers only: what a microcontroller computes, and what exported C must equal to the bit.

Activations of the gates are $2^{15}$ times their value (Q15), what goes into them $2^{12}$ times (Q12), the cell
$2^{16}$ times (Q16). A right shift rounds halves up.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8, Int16, Int32, Int64, Integer

from lowbit.inference import file
from lowbit.inference.grid import Grid, Matrix, grid
from lowbit.registry import InputError, parse

SHIFT = 16  # bits of a multiplier below Q12
LARGEST = 2**31 - 1  # of what 32 bits hold
ENTRIES = 256  # of the table of tanh between 0 and 8


class Affine(NamedTuple):
    """A product in whole numbers and what brings it to Q12: $(m_r y_r + 2^{16} b_r) / 2^{16}$."""

    whole: Int8[np.ndarray, "rows cols"]
    levels: tuple[int, ...]
    factor: Int32[np.ndarray, " rows"]  # m
    shift: Int32[np.ndarray, " rows"]  # b, Q12

    def __call__(self, y: Integer[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Q12 from sums of whole numbers."""
        return rounded(y.astype(np.int64) * self.factor + (self.shift.astype(np.int64) << SHIFT), SHIFT)


class Layer(NamedTuple):
    """The two products of a layer, and its cell norm: a factor with 16 bits below the point and a shift, Q12."""

    x: Affine
    h: Affine
    settle: tuple[Int32[np.ndarray, " units"], Int32[np.ndarray, " units"]] | None


class State(NamedTuple):
    """Of each layer, h in Q15 and what an LSTM has besides: its cell in Q16."""

    h: list[Int64[np.ndarray, " units"]]
    c: list[Int64[np.ndarray, " units"]]


class Fixed:
    """A packed model of symbols in whole numbers; raises `InputError` where it has no such form."""

    def __init__(self, path: str | Path, bits: int = 8):
        arrays, about = file.read(Path(path))
        self.cell, self.bits, self.about = parse(about["cell"], "cell")[0], bits, about
        if not 2 <= bits <= 12:
            raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits}")
        if not about["symbols"] or any(name.startswith("embedding") for name in arrays):
            raise InputError("a fixed-point model takes symbols one-hot, no features and no embedding")
        if any(name.endswith(".first") for name in arrays):
            raise InputError("a fixed-point model starts at zero: this one learned its start")
        self.tanh = table().astype(np.int64)
        self.layers = [self._layer(n, arrays) for n in range(about["layers"])]
        self.readout = self._readout(file.matrix("readout.weight", arrays).values, arrays["readout.bias"])

    def start(self) -> State:
        """Zeros."""
        zeros = [np.zeros(self.about["units"], np.int64) for _ in self.layers]
        return State(zeros, list(zeros))

    def step(self, symbol: int, state: State) -> tuple[Int64[np.ndarray, " outputs"], State]:
        """Logits in Q12, and the next state."""
        ends = State([], [])
        q = None
        for n, layer in enumerate(self.layers):
            x = layer.x(layer.x.whole[:, symbol] if q is None else product(layer.x, q))
            z = layer.h(product(layer.h, self._whole(state.h[n])))
            h, c = self._cell(layer, x, z, state.h[n], state.c[n])
            ends.h.append(h)
            ends.c.append(c)
            q = self._whole(h)
        return self.readout(product(self.readout, q)), ends

    def _cell(self, layer: Layer, x: np.ndarray, z: np.ndarray, h: np.ndarray, c: np.ndarray):
        if self.cell == "lstm":
            i, f, g, o = np.split(x + z, 4)
            i, f, g, o = self._sigmoid(i), self._sigmoid(f), self._tanh(g), self._sigmoid(o)
            c = np.clip(rounded(f * c + 2 * i * g, 15), -LARGEST, LARGEST)
            inner = rounded(c, 4)
            if layer.settle is not None:
                inner = rounded(c * layer.settle[0], 20) + layer.settle[1]
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
        top = 2 ** (self.bits - 1) - 1
        return np.clip(rounded(h, 16 - self.bits), -top, top)

    def _layer(self, n: int, arrays: dict[str, np.ndarray]) -> Layer:
        def named(name: str) -> np.ndarray:
            values = arrays[f"layers.{n}.{name}"]
            if len(values) > 1:
                raise InputError("a fixed-point model shares norm statistics over time: pack it with kept=0")
            return values[0].astype(np.float64)

        unit = 2.0 ** (1 - self.bits)
        x, h = (self._grid(file.matrix(f"layers.{n}.{part}", arrays), part) for part in ("input", "recurrent"))
        shift = named("shift_h") if self.cell == "gru" else 0 * named("shift_x")
        settle = None
        if f"layers.{n}.scale_c" in arrays:
            settle = numbers(named("scale_c"), SHIFT), numbers(named("shift_c"), 12)
        return Layer(
            affine(x, named("scale_x") * (1 if n == 0 else unit), named("shift_x")),
            affine(h, named("scale_h") * unit, shift),
            settle,
        )

    def _grid(self, matrix: Matrix, part: str) -> Grid:
        found = grid(matrix)
        if found is None:
            raise InputError(f"the {part} weights are no multiples of one step, so there is no fixed-point model")
        return found

    def _readout(self, values: np.ndarray, bias: np.ndarray) -> Affine:
        """The readout in eight bits a weight, one scale a row."""
        largest = np.maximum(np.abs(values).max(axis=1), np.finfo(np.float32).tiny)
        codes = (np.rint(values / largest[:, None] * 127) + 127).astype(np.uint8)
        found = Grid(codes, tuple(range(-127, 128)), (largest / 127).astype(np.float32))
        return affine(found, np.full(len(values), 2.0 ** (1 - self.bits)), bias)


def affine(found: Grid, scale: np.ndarray, shift: np.ndarray) -> Affine:
    """A grid with its scales and shifts as whole numbers."""
    return Affine(found.whole, found.levels, numbers(found.scale * scale, 12 + SHIFT), numbers(shift, 12))


def product(affine: Affine, q: Int64[np.ndarray, " cols"]) -> Int64[np.ndarray, " rows"]:
    """Sums of whole numbers."""
    return affine.whole.astype(np.int64) @ q


def numbers(values: np.ndarray, bits: int) -> Int32[np.ndarray, "..."]:
    """Values with so many bits below the point; raises `InputError` where 32 bits do not hold them."""
    found = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if np.abs(found).max(initial=0) >= 2**31:
        raise InputError(f"a scale of {np.abs(values).max():.3g} does not fit 32 bits with {bits} below the point")
    return found.astype(np.int32)


def rounded(values: Integer[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Over $2^{bits}$, halves up.

    >>> rounded(np.array([5, 6, -6]), 2).tolist()
    [1, 2, -1]
    """
    return (np.asarray(values, np.int64) + (1 << bits >> 1)) >> bits


def table() -> Int16[np.ndarray, " entries"]:
    r"""tanh at $0, 1/32, \ldots, 8$ in Q15, the last below 1."""
    return np.minimum(np.rint(np.tanh(np.arange(ENTRIES + 1) / 32) * 2**15), 2**15 - 1).astype(np.int16)
