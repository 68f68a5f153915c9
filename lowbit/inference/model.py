"""A packed model that streams: one step after the other, with a state that is handed on."""

import ctypes
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Integer

from lowbit.compiled import address
from lowbit.inference import check, choose, file, loader
from lowbit.inference.layer import FLOAT, Layer
from lowbit.registry import InputError, parse

SAY = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)  # as `native.cells.readout`
FEW = 16  # vectors


class State(NamedTuple):
    """What one step hands to the next; steps leave it as it is and give a new one."""

    layers: tuple[Float32[np.ndarray, "*batch memories units"], ...]
    t: int  # steps since the start


def load(path: str | Path, bits: int = 8, kernel: str = "") -> "Model":
    """The model in a packed file, without torch; its weights are laid out for the best kernel of this machine.

    `bits` of activations are 8 or 12 with sums in whole numbers, or 32 for float32 throughout. Raises
    `InputError` for a file that is damaged or contradicts itself, other bits, or a `kernel` that cannot.
    """
    if bits not in (*choose.BITS, FLOAT):
        raise InputError(f"activations have no {bits!r} bits; known: {', '.join(map(str, (*choose.BITS, FLOAT)))}")
    return Model(*file.read(Path(path)), bits, kernel)


class Model:
    """Recurrent layers under a readout of every step; for one thread at a time, as kernels share their buffers."""

    def __init__(self, arrays: dict[str, np.ndarray], about: dict, bits: int, kernel: str = ""):
        check.model(arrays, about)
        self.about, self.bits = about, bits
        self.spec = about["spec"]
        self.alphabet: str = about["alphabet"]
        self.embedding = None
        if "embedding" in arrays or "embedding.codes" in arrays:
            self.embedding = file.matrix("embedding", arrays).values
        self.readout = np.ascontiguousarray(file.matrix("readout.weight", arrays).values)
        self.bias = np.ascontiguousarray(arrays["readout.bias"])
        self.say = SAY(loader.address("cells.readout"))
        self.fixed = address(self.readout), address(self.bias), *self.readout.shape
        cell = parse(about["cell"], "cell")[0]
        coded = about["symbols"] and self.embedding is None
        self.layers = [
            Layer(file.below(f"layers.{n}.", arrays), cell, bits, kernel, coded and n == 0, n == 0)
            for n in range(about["layers"])
        ]

    @property
    def kernels(self) -> dict[str, str]:
        """The kernel of each product; `float32` where there are no whole numbers."""
        told = {}
        for n, layer in enumerate(self.layers):
            for part, made in (("input", layer.x), ("recurrent", layer.h)):
                if part == "recurrent" or layer.table is None:
                    told[f"layers.{n}.{part}"] = made.member.name if made else "float32"
        return told

    def start(self, batch: int | None = None) -> State:
        """The state before a sequence, or before `batch` of them side by side."""
        fresh = [layer.start() for layer in self.layers]
        if batch is not None:
            fresh = [np.repeat(each[None], batch, axis=0) for each in fresh]
        return State(tuple(fresh), 0)

    def step(
        self, x: int | Integer[np.ndarray, "*batch"] | Float32[np.ndarray, "*batch inputs"], state: State
    ) -> tuple[Float32[np.ndarray, "*batch outputs"], State]:
        """What the network says to one symbol or one row of features, for one sequence or a batch of them."""
        y, state = self.run(np.asarray(x)[None], state)
        return y[0], state

    def run(
        self, x: Integer[np.ndarray, "time *batch"] | Float32[np.ndarray, "time *batch inputs"], state: State
    ) -> tuple[Float32[np.ndarray, "time *batch outputs"], State]:
        """What it says to each of many steps."""
        x = self._checked(np.asarray(x), state)
        layers = tuple(np.array(each, np.float32, order="C") for each in state.layers)
        if self.embedding is not None:
            x = self.embedding[x]
        for layer, each in zip(self.layers, layers, strict=True):
            x = layer.run(x, each, state.t)
        return self._said(x), State(layers, state.t + len(x))

    def _said(self, h: Float32[np.ndarray, "time *batch units"]) -> Float32[np.ndarray, "time *batch outputs"]:
        """The readout; that of few vectors is compiled, as a library would wake its threads for it."""
        count = math.prod(h.shape[:-1])
        if count > FEW:
            return h @ self.readout.T + self.bias
        y = np.empty((*h.shape[:-1], len(self.bias)), np.float32)
        self.say(*self.fixed, address(h), count, address(y))
        return y

    def _checked(self, x: np.ndarray, state: State) -> np.ndarray:
        batch = state.layers[0].shape[:-2]
        if any(each.shape != (*batch, *layer.memories) for layer, each in zip(self.layers, state.layers, strict=True)):
            raise InputError("this state is none of this model: take that of `start` or of the step before")
        shape = (len(x), *batch)
        inputs = self.about["inputs"]
        if not self.about["symbols"]:
            if x.shape != (*shape, inputs):
                raise InputError(f"the model takes {inputs} features a step, not an array of shape {x.shape[1:]}")
            return x.astype(np.float32)
        if x.shape != shape or x.dtype.kind not in "iu":
            raise InputError(f"the model takes one symbol a step and sequence, not {x.dtype} of shape {x.shape[1:]}")
        low, high = (x.item(),) * 2 if x.size == 1 else (x.min(initial=0), x.max(initial=0))
        if low < 0 or high >= inputs:
            raise InputError(f"the model knows symbols from 0 to {inputs - 1}, not {low} to {high}")
        return x.astype(np.intp, copy=False)

    def generate(
        self, prompt: str | Integer[np.ndarray, " time"], length: int, temperature: float = 1.0, seed: int = 0
    ) -> str | Integer[np.ndarray, " length"]:
        """What the model writes after a prompt: `length` symbols drawn from its distribution, sharpened below 1.

        Characters for characters where the file has the alphabet, else numbers for numbers.
        """
        symbols = self.encode(prompt) if isinstance(prompt, str) else np.asarray(prompt)
        if not len(symbols) or temperature <= 0:
            raise InputError("to write, a model needs a prompt of one symbol or more and a temperature above 0")
        random, written = np.random.default_rng(seed), []
        y, state = self.run(symbols, self.start())
        logits = y[-1]
        for _ in range(length):
            noise = random.gumbel(size=len(logits))  # the largest of the sum is drawn from the softmax
            written.append(int(np.argmax(logits / temperature + noise)))
            logits, state = self.step(written[-1], state)
        return "".join(self.alphabet[code] for code in written) if isinstance(prompt, str) else np.array(written)

    def encode(self, text: str) -> Integer[np.ndarray, " time"]:
        """The symbols of a text; raises `InputError` for characters that the model does not know."""
        if not self.alphabet:
            raise InputError("this packed model has no alphabet: give the prompt as numbers")
        unknown = sorted(set(text) - set(self.alphabet))
        if unknown:
            raise InputError(f"the model does not know {''.join(unknown)!r}")
        return np.array([self.alphabet.index(character) for character in text])
