"""Ways to run the time loop of a recurrent layer: one file each, found by being there, all equal to `reference`."""

import contextlib
import os
from collections.abc import Iterator

import torch

from lowbit.layers.kernels.base import Kernel, Loop, Norms, Weights
from lowbit.registry import InputError, Registry

registry = Registry("kernel", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

__all__ = ["Kernel", "Loop", "Norms", "Weights", "build", "canonical", "fastest", "flush_denormals", "names"]
__all__ += ["register", "run", "unavailable"]


def fastest() -> tuple[Kernel, ...]:
    """What this machine can run, the fastest first; the last of them runs every loop.

    `LOWBIT_KERNEL` names one to try before them, as in `fused(products='bfloat16')`; raises `InputError` where this
    machine cannot run it.
    """
    able = sorted((each for each in map(build, names()) if not each.missing()), key=lambda each: -each.rank)
    choice = os.environ.get("LOWBIT_KERNEL")
    if not choice:
        return tuple(able)
    first = build(choice)
    if first.missing():
        raise InputError(f"kernel {choice!r} cannot run here: {first.missing()}")
    return first, *able


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Numbers near zero are zero in here: gradients that vanish over hundreds of steps would slow a CPU tenfold."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def unavailable() -> dict[str, str]:
    """The members that this machine cannot run, and what each would need."""
    return {name: build(name).missing() for name in names() if build(name).missing()}


def run(members: tuple[Kernel, ...], loop: Loop) -> tuple:
    """Outputs and last values of the first of `members` that can run the loop and agrees with the reference."""
    from lowbit.layers.kernels.check import agrees

    for kernel in members:
        if not kernel.lacks(loop) and agrees(kernel, loop):
            return *kernel.run(loop), canonical(repr(kernel).lower())
    raise AssertionError("the reference runs every loop")
