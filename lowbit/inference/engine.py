"""A packed model in numpy, layer after layer, in real numbers or in fixed point."""

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from lowbit.inference.plain import Arithmetic, step
from lowbit.registry import parse

Values = Int64[np.ndarray, "*batch units"] | Float[np.ndarray, "*batch units"]


class State(NamedTuple):
    """h and c of each layer, c without use but in an LSTM, and the steps since the start."""

    h: list[Values]
    c: list[Values]
    t: int = 0


class Engine(abc.ABC):
    """The layers of a packed model, in the engine's own units."""

    one: ClassVar[float]  # what 1 is in a product
    arithmetic: ClassVar[Arithmetic]

    def __init__(self, about: dict, bits: int):
        self.cell, self.about, self.bits = parse(about["cell"], "cell")[0], about, bits
        self.settles = "normalize_cell" in about["cell"]

    @abc.abstractmethod
    def _enter(self, x): ...  # the input of the first layer

    @abc.abstractmethod
    def _products(self, n, below, state): ...  # the normalized input and recurrent products of layer n

    @abc.abstractmethod
    def _settle(self, n, c, t): ...  # the cell of an LSTM as its output takes it, normalized where there is a norm

    def _whole(self, h):  # h as the next product takes it
        return h

    def advance(
        self, x: int | np.ndarray, state: State, tracks: Sequence[Callable[[np.ndarray], np.ndarray]] = ()
    ) -> tuple[np.ndarray, State]:
        """The input of the readout after one step, and the next state.

        A track for each layer, if any, replaces both its products and its normalized cell.
        """
        below, end = self._enter(x), State([], [], state.t + 1)
        for n in range(self.about["layers"]):
            h, c = self._layer(n, below, state, tracks[n] if tracks else lambda part: part)
            end.h.append(h)
            end.c.append(c)
            below = self._whole(h)
        return below, end

    def _layer(self, n: int, below, state: State, track: Callable) -> tuple[np.ndarray, np.ndarray]:
        x, z = (track(part) for part in self._products(n, below, state))

        def settle(c: np.ndarray) -> np.ndarray:
            inner = self._settle(n, c, state.t)
            return track(inner) if self.settles else inner

        return step(self.cell, x, z, state.h[n], state.c[n], settle, self.arithmetic)
