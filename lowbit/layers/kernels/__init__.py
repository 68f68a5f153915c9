"""Kernels: ways to run the time loop of a recurrent layer, one file each, all equal to `reference`."""

import abc
import contextlib
import os
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lowbit.layers.cells import Cell
from lowbit.layers.norm import Norm
from lowbit.quantizers import Quantizer
from lowbit.registry import InputError, Registry

registry = Registry("kernel", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

Inputs = Float[Tensor, "time batch inputs"] | Int[Tensor, "time batch"]  # integers are symbols, one-hot


class Weights(NamedTuple):
    """The parameters of a layer for one sequence, quantized or not."""

    x: Tensor  # (rows inputs)
    h: Tensor | None  # (rows hidden); none where a cell has no recurrent product
    bias_x: Tensor  # (rows)
    bias_h: Tensor | None  # (rows)


class Norms(NamedTuple):
    """The norms of both products and of the cell."""

    x: Norm
    h: Norm | None
    c: Norm | None  # with `normalize_cell`


class Loop(NamedTuple):
    """One run over time: all that the steps of one sequence need."""

    cell: Cell
    activations: Quantizer  # of h, before the recurrent product
    norms: Norms
    x: Inputs
    weights: Weights
    bias_c: Tensor | None  # (hidden)
    values: tuple[Tensor, ...]  # the state before the first step, each (batch hidden)
    t: int  # steps since the state was zero

    @property
    def tensors(self) -> list[Tensor]:
        """Its tensors, then the gains of its norms."""
        tensors = [self.x, *self.weights, self.bias_c, *self.values, *(norm and norm.gain for norm in self.norms)]
        return [tensor for tensor in tensors if tensor is not None]

    @property
    def needs_gradient(self) -> bool:
        """Whether a backward pass may follow."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self.tensors)

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return self.values[0].shape[1]


class Kernel(abc.ABC):
    """Runs loops; gives the same values and gradients as `reference`, up to rounding."""

    rank: ClassVar[int]  # where several can run a loop, the highest does

    @abc.abstractmethod
    def obstacle(self, loop: Loop) -> str:
        """Why it cannot run this loop; empty where it can."""

    @abc.abstractmethod
    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The outputs of all steps, (time batch hidden), not quantized, and the values of the last state."""

    def missing(self) -> str:
        """What this machine would need to run any loop with it; empty where nothing."""
        return ""


DENORMAL = 1e-40  # above zero, and below the normal numbers of float32


def fastest() -> tuple[Kernel, ...]:
    """The kernels that this machine can run, the fastest first; the last of them runs every loop.

    `LOWBIT_KERNEL` names one to try before them, as in `fused(products='bfloat16')`; raises `InputError` where this
    machine cannot run it.
    """
    available = (kernel for kernel in map(build, names()) if not kernel.missing())
    ranked = tuple(sorted(available, key=lambda kernel: -kernel.rank))
    choice = os.environ.get("LOWBIT_KERNEL")
    if not choice:
        return ranked
    first = build(choice)
    if first.missing():
        raise InputError(f"kernel {choice!r} cannot run here: {first.missing()}")
    return first, *ranked


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Rounds denormal numbers to zero: gradients that vanish over hundreds of steps would slow a CPU tenfold."""
    before = (torch.full((), DENORMAL) * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def unavailable() -> dict[str, str]:
    """The kernels that this machine cannot run, and what each would need."""
    return {name: build(name).missing() for name in names() if build(name).missing()}


def run(members: tuple[Kernel, ...], loop: Loop) -> tuple:
    """Outputs, last values and the name of the first member that can run the loop and agrees with the reference."""
    from lowbit.layers.kernels.check import agrees

    for kernel in members:
        if not kernel.obstacle(loop) and agrees(kernel, loop):
            return *kernel.run(loop), canonical(repr(kernel).lower())
    raise AssertionError("no kernel for this loop; the reference runs every loop")
