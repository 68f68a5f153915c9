"""What a kernel is: one way to run the time loop of a recurrent layer."""

import abc
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lowbit.layers.cells import Cell
from lowbit.layers.norm import Norm
from lowbit.quantizers import Quantizer


class Weights(NamedTuple):
    """The parameters of a layer as one sequence sees them, quantized or not."""

    x: Tensor  # (rows inputs)
    h: Tensor | None  # (rows hidden); none where a cell has no recurrent product
    bias_x: Tensor  # (rows)
    bias_h: Tensor | None  # (rows)


class Norms(NamedTuple):
    """The norms of both products and of the cell."""

    x: Norm
    h: Norm | None
    c: Norm | None  # where the cell settles


class Loop(NamedTuple):
    """One run over time: all that the steps of one sequence need."""

    cell: Cell
    activations: Quantizer  # of h, before the recurrent product
    norms: Norms
    x: Tensor  # (time batch inputs), or symbols (time batch)
    weights: Weights
    bias_c: Tensor | None  # (hidden)
    values: tuple[Tensor, ...]  # the state before the first step, each (batch hidden)
    t: int  # steps since the state was zero

    @property
    def given(self) -> list[Tensor]:
        """Its tensors, then the gains of its norms."""
        tensors = [self.x, *self.weights, self.bias_c, *self.values]
        return [each for each in tensors if each is not None] + [norm.gain for norm in self.norms if norm is not None]

    @property
    def learns(self) -> bool:
        """Whether anybody may ask for a gradient."""
        return torch.is_grad_enabled() and any(each.requires_grad for each in self.given)

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return self.values[0].shape[1]


class Kernel(abc.ABC):
    """Runs loops; gives the same values and gradients as `reference`, up to rounding."""

    rank: ClassVar[int]  # where several can run a loop, the highest does

    @abc.abstractmethod
    def lacks(self, loop: Loop) -> str:
        """Why it cannot run this loop; empty where it can."""

    @abc.abstractmethod
    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The outputs of all steps, (time batch hidden), not quantized, and the values of the last state."""

    def missing(self) -> str:
        """What this machine would need to run any loop with it; empty where nothing."""
        return ""
