"""The time loop in plain torch: every cell, every norm, every device."""

import dataclasses
import functools
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lowbit.layers import kernels
from lowbit.layers import norm as norms
from lowbit.layers.kernels.base import Kernel, Loop
from lowbit.quantizers import Quantizer


@kernels.register
@dataclasses.dataclass(frozen=True)
class Reference(Kernel):
    """One step after the other under autograd; the input product of all steps is one matrix product before."""

    rank: ClassVar[int] = 0

    def lacks(self, loop: Loop) -> str:
        """Nothing."""
        return ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loop as its formula reads."""
        w, values, t = loop.weights, loop.values, loop.t
        normalize_x = loop.norms.x.start(w.x, w.bias_x)
        normalize_h = loop.norms.h.start(w.h, w.bias_h) if loop.cell.recurrent else None
        normalize_c = None
        if loop.cell.normalize_cell:  # c is its own product with the identity
            normalize_c = loop.norms.c.start(torch.eye(loop.hidden, device=w.x.device), loop.bias_c)

        outputs = []
        for z in products(loop.x, w.x).unbind(0):
            product = functools.partial(_product, loop.activations, normalize_h, w.h, t)
            normalize = functools.partial(_normalize_cell, normalize_c, t)
            values = loop.cell.step(normalize_x(z, t, norms.ALL), values, product, normalize)
            outputs.append(values[0])
            t += 1
        return torch.stack(outputs), values


def products(x: Tensor, w: Float[Tensor, "rows inputs"]) -> Float[Tensor, "time batch rows"]:
    """The input product of all steps; integers are symbols, one-hot."""
    return F.linear(x, w) if x.is_floating_point() else F.embedding(x, w.T.contiguous())


def _product(activations: Quantizer, normalize: norms.Apply, w: Tensor, t: int, h: Tensor, part: slice) -> Tensor:
    return normalize(F.linear(activations.activate(h), norms.rows(w, part)), t, part)


def _normalize_cell(normalize: norms.Apply | None, t: int, c: Tensor) -> Tensor:
    return c if normalize is None else normalize(c, t, norms.ALL)
