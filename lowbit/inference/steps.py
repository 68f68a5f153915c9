"""Single steps of a packed model that reads symbols, each of them one call into compiled code."""

import ctypes
import math

import numpy as np
from jaxtyping import Float32, Float64, Int64

from lowbit.compiled import address
from lowbit.inference import loader
from lowbit.inference.layer import Layer

HEAD, ENTRY = 6, 11  # entries of a program for the model, and for each layer
ADVANCE = ctypes.CFUNCTYPE(None, ctypes.c_int64)  # as `advance` of `native.network`
WRITE = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)  # as `write` there
Memories = tuple[Float32[np.ndarray, "*batch memories units"], ...]


class Steps:
    """The steps of sequences side by side: all that they need lies in arrays that stay where they are."""

    def __init__(self, layers: list[Layer], readout: tuple[int, int, int, int], batch: tuple[int, ...]):
        """`readout` has the addresses of weights and bias, the number of outputs and of units."""
        weights, bias, outputs, units = readout
        self.batch, self.cell = math.prod(batch), layers[0].cell
        self.order, self.symbols = np.arange(self.batch), np.zeros(batch, np.int64)
        self.logits = np.empty((*batch, outputs), np.float32)
        self.memories = [np.empty((*batch, *layer.memories), np.float32) for layer in layers]
        self.buffers = []  # further arrays that the program has the addresses of
        entries = [len(layers), units, address(self.order), weights, bias, outputs]
        for layer in layers:
            entries += self._entry(layer, units)
        self.program, states = np.array(entries, np.int64), np.array([*map(address, self.memories)], np.int64)
        self.buffers.append(states)
        arrays = [address(array) for array in (self.program, self.symbols, states, self.logits)]
        self.call = (ctypes.c_int64 * 6)(0, self.batch, *arrays)  # the first is the number of steps so far
        self.place, self.compiled = ctypes.addressof(self.call), ADVANCE(loader.address(f"network.advance_{self.cell}"))

    def _entry(self, layer: Layer, units: int) -> list[int]:
        plan, h = layer.plan.copy(), np.empty((self.batch, units), np.float32)
        inputs = [0] * 8
        if layer.table is None:
            z, unit = np.empty((self.batch, len(layer.gates)), np.float32), np.full((1, self.batch), layer.unit)
            plan[2:5] = self.batch, address(z), 1
            inputs = [address(layer.x.parts), len(layer.gates), address(layer.scale_x), address(layer.shift_x)]
            inputs += [len(layer.scale_x), address(unit), layer.top, address(z)]
            self.buffers += [z, unit]
        self.buffers += [plan, h]
        return [address(layer.h.parts), address(plan), address(h), *inputs]

    def advance(
        self, symbols: int | Int64[np.ndarray, "*batch"], memories: Memories, t: int
    ) -> tuple[Float32[np.ndarray, "*batch outputs"], Memories]:
        """The logits of one step after `t` others, and the memories after it."""
        for own, memory in zip(self.memories, memories, strict=True):
            own[...] = memory
        self.symbols[...] = symbols
        self.call[0] = t
        self.compiled(self.place)
        return self.logits.copy(), tuple([own.copy() for own in self.memories])

    def write(
        self,
        logits: Float32[np.ndarray, " outputs"],
        memories: Memories,
        t: int,
        temperature: float,
        noise: Float64[np.ndarray, "time outputs"],
    ) -> tuple[Int64[np.ndarray, " time"], Float32[np.ndarray, " outputs"], Memories]:
        """A symbol for each row of noise, the first chosen by `logits`; then the logits and memories after the last."""
        for own, memory in zip(self.memories, memories, strict=True):
            own[...] = memory
        self.logits[...], self.call[0] = logits, t
        heat, chosen = np.array([temperature], np.float32), np.empty(len(noise), np.int64)
        arrays = address(heat), address(noise), address(chosen)
        WRITE(loader.address(f"network.write_{self.cell}"))(self.place, len(noise), *arrays)
        return chosen, self.logits.copy(), tuple([own.copy() for own in self.memories])
