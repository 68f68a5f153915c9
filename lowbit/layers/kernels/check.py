"""Checks once a process, on a small loop of the same kind, that a kernel agrees with the reference."""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from lowbit import quantizers
from lowbit.layers.cells import Cell
from lowbit.layers.kernels import Kernel, Loop, Norms, Weights
from lowbit.layers.kernels.reference import Reference

STEPS, BATCH, INPUTS, HIDDEN = 4, 6, 3, 5
TOLERANCE, ROUNDED_TOLERANCE = 1e-3, 5e-2  # of the largest value or gradient: float32 products, rounded products


def agrees(kernel: Kernel, loop: Loop) -> bool:
    """Whether `kernel` gives the reference's values and gradients on a small loop like this one."""
    kinds = tuple(None if norm is None else (type(norm), norm.training) for norm in loop.norms)
    features, device = loop.x.is_floating_point(), loop.x.device
    return isinstance(kernel, Reference) or _compared(kernel, loop.cell, kinds, features, device)


@functools.cache
def _compared(kernel: Kernel, cell: Cell, kinds: tuple, features: bool, device: torch.device) -> bool:
    expected = [*_results(Reference(), cell, kinds, features, device)]
    try:
        results = [*_results(kernel, cell, kinds, features, device)]
    except RuntimeError:  # of a device that lacks what this kernel uses
        return False
    limit = TOLERANCE if getattr(kernel, "products", "float32") == "float32" else ROUNDED_TOLERANCE
    return len(results) == len(expected) and all(
        (a - b).abs().max() <= limit * (1 + b.abs().max()) for a, b in zip(results, expected, strict=True)
    )


def _results(kernel: Kernel, cell: Cell, kinds: tuple, features: bool, device: torch.device) -> Iterator[Tensor]:
    """Outputs and last values; in training mode gradients too."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    rows, x = cell.gates * HIDDEN, random(STEPS, BATCH, INPUTS)
    if not features:
        x = torch.randint(INPUTS, (STEPS, BATCH), generator=generator).to(device)
    sizes = zip(kinds, (rows, rows, HIDDEN), strict=True)
    norms = Norms(*(kind and kind[0](size, STEPS).to(device) for kind, size in sizes))
    learners = [random(rows, INPUTS), random(rows, HIDDEN), random(rows), random(rows), random(HIDDEN)]
    w_x, w_h, bias_x, bias_h, bias_c = (tensor.requires_grad_() for tensor in learners)
    values = tuple(random(BATCH, HIDDEN) for _ in range(cell.memories))
    loop = Loop(cell, quantizers.build("full"), norms, x, Weights(w_x, w_h, bias_x, bias_h), bias_c, values, 0)
    training = all(kind is None or kind[1] for kind in kinds)
    if not training:
        _populate(loop)
    with torch.set_grad_enabled(training and torch.is_grad_enabled()):
        if kernel.obstacle(loop):
            return
        out, last = kernel.run(loop)
    yield from (out.detach(), *(value.detach() for value in last))
    if out.requires_grad:
        (out * random(*out.shape)).sum().backward()
        learners += [norm.gain for norm in norms if norm is not None]
        yield from (tensor.grad for tensor in learners if tensor.grad is not None)


def _populate(loop: Loop) -> None:
    for norm in filter(None, loop.norms):
        norm.collect(True)
    with torch.no_grad():
        Reference().run(loop)
    for norm in filter(None, loop.norms):
        norm.collect(False)
        norm.eval()
