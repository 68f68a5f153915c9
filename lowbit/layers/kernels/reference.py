"""The time loop in plain torch: every cell, every norm, every device."""

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.layers import kernels
from lowbit.layers import norm as norms
from lowbit.layers.kernels import Kernel, Loop


@kernels.register
@dataclasses.dataclass(frozen=True)
class Reference(Kernel):
    """One step after the other under autograd; the input product of all steps is one matrix product before."""

    rank: ClassVar[int] = 0

    def obstacle(self, loop: Loop) -> str:
        """None: it runs every loop."""
        return ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loop as its formula reads."""
        w, values, activate = loop.weights, loop.values, loop.activations.activate
        normalize_x = loop.norms.x.normalizer(w.x, w.bias_x)
        normalize_h = loop.norms.h.normalizer(w.h, w.bias_h) if loop.cell.recurrent else None
        normalize_c = None
        if loop.cell.normalize_cell:  # c is its own product with the identity
            normalize_c = loop.norms.c.normalizer(torch.eye(loop.hidden, device=w.x.device), loop.bias_c)

        def product(h: Tensor, part: slice) -> Tensor:
            return normalize_h(F.linear(activate(h), norms.rows(w.h, part)), t, part)

        def normalize(c: Tensor) -> Tensor:
            return c if normalize_c is None else normalize_c(c, t, norms.ALL)

        # Integers are symbols, one-hot.
        zx = F.linear(loop.x, w.x) if loop.x.is_floating_point() else F.embedding(loop.x, w.x.T.contiguous())
        outputs = []
        for t, z in enumerate(zx.unbind(0), loop.t):
            values = loop.cell.step(normalize_x(z, t, norms.ALL), values, product, normalize)
            outputs.append(values[0])
        return torch.stack(outputs), values
