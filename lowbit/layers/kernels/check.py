"""Whether a kernel agrees with the reference: tried once a process on a small loop of the same kind."""

import functools

import torch
from torch import Tensor

from lowbit import quantizers
from lowbit.layers import norm as norms
from lowbit.layers.cells import Cell
from lowbit.layers.kernels.base import Kernel, Loop, Norms, Weights
from lowbit.layers.kernels.reference import Reference

STEPS, BATCH, INPUTS, HIDDEN = 4, 6, 3, 5
NEAR = 1e-3  # of the largest value or gradient, float32 products; rounded products are as far as their rounding
FAR = 5e-2


def agrees(kernel: Kernel, loop: Loop) -> bool:
    """Whether `kernel` gives the reference's values and gradients on a small loop like this one."""
    kinds = tuple(None if norm is None else (type(norm), norm.training) for norm in loop.norms)
    return isinstance(kernel, Reference) or _tried(kernel, loop.cell, kinds, loop.x.is_floating_point(), loop.x.device)


@functools.cache
def _tried(kernel: Kernel, cell: Cell, kinds: tuple, features: bool, device: torch.device) -> bool:
    theirs = [*_results(Reference(), cell, kinds, features, device)]
    try:
        ours = [*_results(kernel, cell, kinds, features, device)]
    except RuntimeError:  # of a device that cannot do what this kernel asks for
        return False
    limit = NEAR if getattr(kernel, "products", "float32") == "float32" else FAR
    return len(ours) == len(theirs) and all(
        (a - b).abs().max() <= limit * (1 + b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


def _results(kernel: Kernel, cell: Cell, kinds: tuple, features: bool, device: torch.device):
    """Outputs and last values; where a loop learns, gradients too."""
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(device)

    rows, x = cell.gates * HIDDEN, random(STEPS, BATCH, INPUTS)
    if not features:
        x = torch.randint(INPUTS, (STEPS, BATCH), generator=draw).to(device)
    sizes = (rows, rows, HIDDEN)
    built = [None if kind is None else kind[0](size, STEPS).to(device) for kind, size in zip(kinds, sizes, strict=True)]
    learners = [random(rows, INPUTS), random(rows, HIDDEN), random(rows), random(rows), random(HIDDEN)]
    w_x, w_h, bias_x, bias_h, bias_c = (each.requires_grad_() for each in learners)
    values = tuple(random(BATCH, HIDDEN) for _ in range(cell.memories))
    loop = Loop(cell, quantizers.build("full"), Norms(*built), x, Weights(w_x, w_h, bias_x, bias_h), bias_c, values, 0)
    training = all(kind is None or kind[1] for kind in kinds)
    if not training:
        _populate(loop, built)
    with torch.set_grad_enabled(training and torch.is_grad_enabled()):
        if kernel.lacks(loop):
            return
        out, last = kernel.run(loop)
    yield from (out.detach(), *(value.detach() for value in last))
    if out.requires_grad:
        (out * random(*out.shape)).sum().backward()
        yield from (each.grad for each in learners if each.grad is not None)
        yield from (norm.gain.grad for norm in built if norm is not None and norm.gain.grad is not None)


def _populate(loop: Loop, built: list[norms.Norm | None]) -> None:
    for norm in filter(None, built):
        norm.collect(True)
    with torch.no_grad():
        Reference().run(loop)
    for norm in filter(None, built):
        norm.collect(False)
        norm.eval()
