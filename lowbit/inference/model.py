"""A packed model that streams: one step after the other, each from the state of the step before."""

import ctypes
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Integer

from lowbit.compiled import address
from lowbit.inference import check, choose, file, loader
from lowbit.inference.layer import FLOAT, Layer
from lowbit.inference.steps import Steps
from lowbit.registry import InputError, parse

READOUT = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)  # as `native.cells.readout`
AT_ONCE = 1000  # symbols that are written in one call: their noise has to fit in memory
FEW = 16  # vectors whose readout is compiled


class State(NamedTuple):
    """The state after a step; the next step returns a new one and leaves this as it is."""

    layers: tuple[Float32[np.ndarray, "*batch memories units"], ...]
    t: int  # steps since the start


def load(path: str | Path, bits: int = 8) -> "Model":
    """The model in a packed file, without torch; its weights are laid out for the best kernel of this machine.

    `bits` of activations are 8 or 12 with sums in whole numbers, or 32 for float32 throughout. Raises
    `InputError` for a file that is damaged or contradicts itself, and for other bits.

    >>> import tempfile, lowbit, numpy as np
    >>> spec = lowbit.RunSpec(budget="smoke(updates=2, valid_limit=300, test_limit=300)")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = lowbit.load(lowbit.pack(spec, f"{folder}/tiny.safetensors"))
    >>> logits, state = model.run(np.zeros((5, 1), np.int64), model.start(batch=1))  # time, batch
    >>> logits.shape
    (5, 1, 8)
    """
    if bits not in (*choose.BITS, FLOAT):
        raise InputError(f"activations have no {bits!r} bits; known: {', '.join(map(str, (*choose.BITS, FLOAT)))}")
    return Model(*check.read(path), bits)


class Model:
    """Recurrent layers under a readout of every step; for one thread at a time, as kernels share their buffers."""

    def __init__(self, arrays: dict[str, np.ndarray], about: dict, bits: int):
        self.about, self.bits = about, bits
        self.spec = about["spec"]
        self.alphabet: str = about["alphabet"]
        self.embedding = file.matrix("embedding", arrays).values if file.has("embedding", arrays) else None
        self.readout = np.ascontiguousarray(file.matrix("readout.weight", arrays).values)
        self.bias = np.ascontiguousarray(arrays["readout.bias"])
        self.compiled_readout = READOUT(loader.address("cells.readout"))
        self.addresses = address(self.readout), address(self.bias), *self.readout.shape
        cell = parse(about["cell"], "cell")[0]
        coded = about["symbols"] and self.embedding is None
        self.steps: dict[tuple[int, ...], Steps] = {}  # by the number of sequences, if there are several
        self.layers = [
            Layer(file.layer(n, arrays, str(bits)), cell, bits, coded and n == 0, n == 0)
            for n in range(about["layers"])
        ]
        self.symbols, self.shapes = about["inputs"], [layer.memories for layer in self.layers]
        products = [(layer.h, layer.table is not None or layer.x) for layer in self.layers]
        self.whole = coded and all(all(pair) for pair in products)  # whether a step is one call into compiled code

    @property
    def kernels(self) -> dict[str, str]:
        """The kernel of each product; `float32` where there are no whole numbers."""
        kernels = {}
        for n, layer in enumerate(self.layers):
            products = {"recurrent": layer.h} if layer.table is not None else {"input": layer.x, "recurrent": layer.h}
            for part, product in products.items():
                kernels[f"layers.{n}.{part}"] = product.member.name if product else "float32"
        return kernels

    def start(self, batch: int | None = None) -> State:
        """The state before a sequence, or before `batch` of them side by side."""
        states = [layer.start() for layer in self.layers]
        if batch is not None:
            states = [np.repeat(state[None], batch, axis=0) for state in states]
        return State(tuple(states), 0)

    def step(
        self, x: int | Integer[np.ndarray, "*batch"] | Float32[np.ndarray, "*batch inputs"], state: State
    ) -> tuple[Float32[np.ndarray, "*batch outputs"], State]:
        """The logits and the next state for one symbol or one row of features, of one sequence or a batch of them."""
        if not self.whole:
            y, state = self.run(np.asarray(x)[None], state)
            return y[0], state
        known = type(x) is int and 0 <= x < self.symbols and [memory.shape for memory in state.layers] == self.shapes
        symbols = x if known else self._checked(np.asarray(x)[None], state)[0]
        logits, memories = self._steps(() if known else symbols.shape).advance(symbols, state.layers, state.t)
        return logits, State(memories, state.t + 1)

    def run(
        self, x: Integer[np.ndarray, "time *batch"] | Float32[np.ndarray, "time *batch inputs"], state: State
    ) -> tuple[Float32[np.ndarray, "time *batch outputs"], State]:
        """The logits of many steps, and the state after the last."""
        x = self._checked(np.asarray(x), state)
        layers = tuple(np.array(layer, np.float32, order="C") for layer in state.layers)
        if self.embedding is not None:
            x = self.embedding[x]
        for layer, memory in zip(self.layers, layers, strict=True):
            x = layer.run(x, memory, state.t)
        return self._logits(x), State(layers, state.t + len(x))

    def _logits(self, h: Float32[np.ndarray, "time *batch units"]) -> Float32[np.ndarray, "time *batch outputs"]:
        """The readout; that of few vectors is compiled, as a library would start its threads for it."""
        count = math.prod(h.shape[:-1])
        if count > FEW:
            return h @ self.readout.T + self.bias
        y = np.empty((*h.shape[:-1], len(self.bias)), np.float32)
        self.compiled_readout(*self.addresses, address(h), count, address(y))
        return y

    def _steps(self, batch: tuple[int, ...]) -> Steps:
        if batch not in self.steps:
            self.steps[batch] = Steps(self.layers, self.addresses, batch)
        return self.steps[batch]

    def _checked(self, x: np.ndarray, state: State) -> np.ndarray:
        batch = state.layers[0].shape[:-2]
        if [memory.shape for memory in state.layers] != [(*batch, *shape) for shape in self.shapes]:
            raise InputError("this state is of another model: take that of `start` or of the step before")
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
        """`length` symbols after a prompt, sampled from the model's distribution, which a temperature below 1 sharpens.

        A prompt of characters, where the file has the alphabet, gives characters, one of numbers gives numbers.
        """
        symbols = self.encode(prompt) if isinstance(prompt, str) else np.asarray(prompt)
        if not len(symbols) or temperature <= 0:
            raise InputError("to write, a model needs a prompt of one symbol or more and a temperature above 0")
        random, codes = np.random.default_rng(seed), []
        y, state = self.run(symbols, self.start())
        logits = y[-1]
        while len(codes) < length:
            noise = random.gumbel(size=(min(AT_ONCE, length - len(codes)), len(logits)))
            if self.whole:
                steps = self._steps(())
                chosen, logits, memories = steps.write(logits, state.layers, state.t, temperature, noise)
                codes, state = codes + chosen.tolist(), State(memories, state.t + len(noise))
            else:
                for draw in noise:  # the largest of the sum is a sample of the softmax
                    codes.append(int(np.argmax(logits / temperature + draw)))
                    logits, state = self.step(codes[-1], state)
        return "".join(self.alphabet[code] for code in codes) if isinstance(prompt, str) else np.array(codes)

    def encode(self, text: str) -> Integer[np.ndarray, " time"]:
        """The symbols of a text; raises `InputError` for characters that the model does not know."""
        if not self.alphabet:
            raise InputError("this packed model has no alphabet: give the prompt as numbers")
        unknown = sorted(set(text) - set(self.alphabet))
        if unknown:
            raise InputError(f"the model does not know {''.join(unknown)!r}")
        return np.array([self.alphabet.index(character) for character in text])
