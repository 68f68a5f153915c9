"""One recurrent layer of a packed model: its two products and its cell over time."""

import numpy as np
from jaxtyping import Float32, Integer

from lowbit.inference import choose, file, plain
from lowbit.inference.grid import Matrix, grid

FLOAT = 32  # bits of activations that are not rounded


class Layer:
    r"""A layer whose recurrent product is one of whole numbers, or of float32 where it cannot be.

    Into a product of whole numbers h goes as $\mathrm{round}(2^{b-1} h)$, clipped: its unit is a power of two. Inputs
    that are no outputs of a layer are rounded in units of their largest value.
    """

    def __init__(self, arrays: dict[str, np.ndarray], cell: str, bits: int, kernel: str, symbols: bool, first: bool):
        self.cell, self.bits, self.first = cell, bits, first
        self.arrays = {name: array for name, array in arrays.items() if array.dtype == np.float32}
        self.scale_x, self.shift_x, self.scale_h = (arrays[name] for name in ("scale_x", "shift_x", "scale_h"))
        x, h = (file.matrix(part, arrays) for part in ("input", "recurrent"))
        self.units = h.book.shape[1] if h.codes is None else h.codes.shape[1]
        self.top = np.float32(2 ** (bits - 1) - 1)
        self.unit = np.float32(2.0 ** (1 - bits))  # of a rounded h
        self.table = None
        self.x = self.h = None  # products of whole numbers
        if symbols:
            rows = np.ascontiguousarray(x.values.T)  # else columns would lie apart, and reading one takes longer
            self.table = np.stack([rows * a + b for a, b in zip(self.scale_x, self.shift_x, strict=True)])
        else:
            self.x, self.factor_x, self.values_x = self._product(x, kernel)
        self.h, self.factor_h, self.values_h = self._product(h, kernel)
        self.scale = self.scale_h * self.factor_h * (self.unit if self.h is not None else 1)
        if "scale_c" not in self.arrays:
            self.arrays["scale_c"] = np.ones((1, self.units), np.float32)
            self.arrays["shift_c"] = np.zeros((1, self.units), np.float32)

    def _product(self, matrix: Matrix, kernel: str):
        """A product of whole numbers with the factor of each row, or the values where there is none."""
        found = grid(matrix) if self.bits != FLOAT else None
        if found is None:
            return None, np.float32(1), matrix.values
        return choose.product(found, self.bits, kernel), found.scale, None

    def start(self) -> Float32[np.ndarray, "memories units"]:
        """The state before a sequence."""
        memories = 2 if self.cell == "lstm" else 1
        return self.arrays.get("first", np.zeros((memories, self.units), np.float32)).copy()

    def run(
        self,
        x: Integer[np.ndarray, " time"] | Float32[np.ndarray, "time inputs"],
        state: Float32[np.ndarray, "memories units"],
        t: int,
    ) -> Float32[np.ndarray, "time units"]:
        """h of every step; `state`, after `t` steps, is overwritten by that after the last."""
        if self.table is None:
            table, rows = self._inputs(x, t)[None], np.arange(len(x))
        else:
            table, rows = self.table, x
        out = np.empty((len(rows), self.units), np.float32)
        if self.h is None:
            plain.run(self, table, rows, t, state, out)
            return out
        from lowbit.inference import loops

        given = (self.h.parts, table, rows, t, self.unit, self.top, self.scale)
        if self.cell == "lstm":
            loops.lstm(*given, self.arrays["scale_c"], self.arrays["shift_c"], state, out)
        elif self.cell == "gru":
            loops.gru(*given, self.arrays["shift_h"], state, out)
        else:
            loops.rnn(*given, state, out)
        return out

    def _inputs(self, x: Float32[np.ndarray, "time inputs"], t: int) -> Float32[np.ndarray, "time rows"]:
        if self.x is None:
            slots = np.minimum(t + np.arange(len(x)), len(self.scale_x) - 1)
            return (x @ self.values_x.T) * self.scale_x[slots] + self.shift_x[slots]
        from lowbit.inference import loops

        out = np.empty((len(x), self.scale_x.shape[1]), np.float32)
        loops.inputs(self.x.parts, x, self._units(x), self.top, self.scale_x * self.factor_x, self.shift_x, t, out)
        return out

    def _units(self, x: Float32[np.ndarray, "time inputs"]) -> Float32[np.ndarray, " time"]:
        if not self.first:
            return np.full(len(x), self.unit)
        return np.maximum(np.abs(x).max(axis=1), np.finfo(np.float32).tiny * 2**13) / self.top
