"""One recurrent layer of a packed model: its two products and its cell over time."""

import ctypes
import math

import numpy as np
from jaxtyping import Float32, Integer

from lowbit.compiled import address
from lowbit.inference import choose, file, loader, plain
from lowbit.inference.grid import WIDEST, Matrix, grid

FLOAT = 32  # bits of activations that are not rounded
CELL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)  # as the functions of `native.cells`
INPUTS = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 13)


class Layer:
    r"""A layer whose recurrent product is one of whole numbers, or of float32 where it cannot be.

    Into a product of whole numbers h goes as $\mathrm{round}(2^{b-1} h)$, clipped: its unit is a power of two. Inputs
    that are no outputs of a layer are rounded in units of their largest value.
    """

    def __init__(self, arrays: dict[str, np.ndarray], cell: str, bits: int, symbols: bool, first: bool):
        self.cell, self.bits, self.first = cell, bits, first
        self.arrays = {n: np.ascontiguousarray(array) for n, array in arrays.items() if array.dtype == np.float32}
        self.scale_x, self.shift_x, self.scale_h = (self.arrays[n] for n in ("scale_x", "shift_x", "scale_h"))
        x, h = (file.matrix(part, arrays) for part in ("input", "recurrent"))
        self.units = h.book.shape[1] if h.codes is None else h.codes.shape[1]
        self.memories = (2 if cell == "lstm" else 1, self.units)  # the shape of a state
        self.top = 2 ** (bits - 1) - 1
        self.unit = np.float32(2.0 ** (1 - bits))  # of a rounded h
        self.table = None
        self.x = self.h = None  # products of whole numbers
        if symbols:
            rows = np.ascontiguousarray(x.values.T)  # else columns would lie apart, and reading one takes longer
            self.table = np.stack([rows * a + b for a, b in zip(self.scale_x, self.shift_x, strict=True)])
        else:
            self.x, factor, self.values_x = self._product(x)
            self.scale_x = self.scale_x * factor
        self.h, factor, self.values_h = self._product(h)
        self.scale = self.scale_h * factor * (self.unit if self.h is not None else 1)
        if "scale_c" not in self.arrays:
            self.arrays["scale_c"] = np.ones((1, self.units), np.float32)
            self.arrays["shift_c"] = np.zeros((1, self.units), np.float32)
        self.gates = np.empty(len(self.shift_x[0]), np.float32)  # the work buffer of a step
        if self.h is not None:
            self.step, self.plan = CELL(loader.address(f"cells.{cell}")), self._plan()
            self.addresses = address(self.h.parts), address(self.plan)

    def _product(self, matrix: Matrix):
        """A product of whole numbers with the factor of each row, or the values where there is none."""
        weights = grid(matrix, WIDEST) if self.bits != FLOAT else None
        product = choose.product(weights, self.bits) if weights is not None else None
        return (None, np.float32(1), matrix.values) if product is None else (product, weights.scale, None)

    def start(self) -> Float32[np.ndarray, "memories units"]:
        """The state before a sequence."""
        return self.arrays.get("first", np.zeros(self.memories, np.float32)).copy()

    def run(
        self,
        x: Integer[np.ndarray, "time *batch"] | Float32[np.ndarray, "time *batch inputs"],
        state: Float32[np.ndarray, "*batch memories units"],
        t: int,
    ) -> Float32[np.ndarray, "time *batch units"]:
        """h of every step; `state`, after `t` steps, is overwritten by that after the last."""
        table, rows = (self.table, x) if self.table is not None else self._inputs(x, t)
        out = np.empty((*rows.shape, self.units), np.float32)
        if self.h is None:
            plain.run(self, lambda h: h @ self.values_h.T, table, rows, t, state, out)
            return out
        if self.table is None:
            self.plan[2:5] = table.shape[1], address(table), len(table)
        rows = np.ascontiguousarray(rows, np.int64)
        sizes = len(rows), math.prod(state.shape[:-2])
        self.step(*self.addresses, address(rows), *sizes, t, address(state), address(out))
        return out

    def _plan(self) -> Integer[np.ndarray, " entries"]:
        """Sizes and addresses of arrays, as `native.cells` reads them."""
        table = np.empty((0, 0, 0), np.float32) if self.table is None else self.table
        cell = [self.arrays[name] for name in {"lstm": ("scale_c", "shift_c"), "gru": ("shift_h",)}.get(self.cell, ())]
        plan = [self.units, self.bits, table.shape[1], address(table), len(table)]
        plan += [address(self.scale), len(self.scale), address(self.gates), len(cell[0]) if cell else 0]
        return np.array([*plan, *map(address, cell)], np.int64)

    def _inputs(self, x: Float32[np.ndarray, "time *batch inputs"], t: int):
        """The input products of all steps as a table, with the row of each step and sequence."""
        rows = np.arange(math.prod(x.shape[:-1])).reshape(x.shape[:-1])
        x = np.ascontiguousarray(x).reshape(len(x), -1, x.shape[-1])
        z = np.empty((*x.shape[:2], len(self.gates)), np.float32)
        if self.x is None:
            slots = np.minimum(t + np.arange(len(x)), len(self.scale_x) - 1)
            z[...] = (x @ self.values_x.T) * self.scale_x[slots, None] + self.shift_x[slots, None]
        else:
            units = self._units(x)
            weights = z.shape[2], x.shape[2], address(self.scale_x), address(self.shift_x), len(self.scale_x)
            call = address(x), address(units), self.top, *x.shape[:2], t, address(z)
            INPUTS(loader.address("cells.inputs"))(address(self.x.parts), *weights, *call)
        return z.reshape(1, -1, len(self.gates)), rows

    def _units(self, x: Float32[np.ndarray, "time batch inputs"]) -> Float32[np.ndarray, "time batch"]:
        if not self.first:
            return np.full(x.shape[:2], self.unit)
        return np.maximum(np.abs(x).max(axis=2), np.finfo(np.float32).tiny * 2**13) / np.float32(self.top)
