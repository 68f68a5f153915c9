"""Single steps of a packed model that reads symbols, each of them one call into compiled code."""

import ctypes

import numpy as np
from jaxtyping import Float32, Float64, Int64

from lowbit.compiled import address
from lowbit.inference import loader
from lowbit.inference.layer import Layer

CELLS = ("lstm", "gru", "rnn")  # by number
HEAD, ENTRY = 7, 11  # entries of a program for the model, and for each layer
ADVANCE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)  # as `native.network.advance`
WRITE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)  # as `native.network.write`
Memories = tuple[Float32[np.ndarray, "*batch memories units"], ...]


class Steps:
    """The steps of `batch` sequences side by side: all that they need lies in arrays that stay where they are."""

    def __init__(self, layers: list[Layer], readout: tuple[int, int, int, int], batch: int):
        """`readout` has the addresses of weights and bias, the number of outputs and of units."""
        weights, bias, outputs, units = readout
        self.batch, self.outputs = batch, outputs
        self.order, self.symbols = np.arange(batch), np.zeros(batch, np.int64)
        self.states = (ctypes.c_int64 * len(layers))()
        self.plans, self.buffers = [], []  # what the program has the addresses of
        entries = [len(layers), CELLS.index(layers[0].cell), units, address(self.order), weights, bias, outputs]
        for layer in layers:
            entries += self._entry(layer, units)
        self.program = np.array(entries, np.int64)
        self.addresses = address(self.program), address(self.symbols), ctypes.addressof(self.states)
        self.advance_compiled = ADVANCE(loader.address("network.advance"))

    def _entry(self, layer: Layer, units: int) -> list[int]:
        plan, h = layer.plan.copy(), np.empty((self.batch, units), np.float32)
        inputs = [0] * 8
        if layer.table is None:
            z, unit = np.empty((self.batch, len(layer.gates)), np.float32), np.full((1, self.batch), layer.unit)
            plan[2:5] = self.batch, address(z), 1
            inputs = [address(layer.x.parts), len(layer.gates), address(layer.scale_x), address(layer.shift_x)]
            inputs += [len(layer.scale_x), address(unit), layer.top, address(z)]
            self.buffers += [z, unit]
        self.plans.append(plan)
        self.buffers.append(h)
        return [address(layer.h.parts), address(plan), address(h), *inputs]

    def advance(
        self, symbols: int | Int64[np.ndarray, "*batch"], memories: Memories, t: int, batch: tuple[int, ...] = ()
    ) -> Float32[np.ndarray, "*batch outputs"]:
        """The logits of one step after `t` others; `memories` are overwritten."""
        logits = np.empty((*batch, self.outputs), np.float32)
        self.symbols[:] = symbols if batch == () else symbols.ravel()
        program, chosen, states = self.addresses
        self._point_to(memories)
        self.advance_compiled(program, chosen, self.batch, t, states, place(logits))
        return logits

    def write(
        self,
        logits: Float32[np.ndarray, " outputs"],
        memories: Memories,
        t: int,
        temperature: float,
        noise: Float64[np.ndarray, "time outputs"],
    ) -> Int64[np.ndarray, " time"]:
        """A symbol for each row of noise, the first chosen by `logits`; these and `memories` are overwritten."""
        heat, chosen = np.array([temperature], np.float32), np.empty(len(noise), np.int64)
        program, _, states = self.addresses
        self._point_to(memories)
        arrays = address(logits), address(heat), address(noise), address(chosen)
        WRITE(loader.address("network.write"))(program, len(noise), t, states, *arrays)
        return chosen

    def _point_to(self, memories: Memories) -> None:
        for n, memory in enumerate(memories):
            self.states[n] = place(memory)


def place(array: np.ndarray) -> int:
    """The address of a new array, which is writable and has no gaps; faster than `compiled.address`."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array))
