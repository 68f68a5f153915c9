"""The whole time loop in one compiled call, with the norms between products and gates, on a CPU."""

import dataclasses
import functools
import importlib.util
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.layers import kernels
from lowbit.layers import norm as norms
from lowbit.layers.cells import GRU, LSTM, RNN
from lowbit.layers.kernels import Kernel, Loop
from lowbit.registry import InputError

PRODUCTS = ("bfloat16", "float32")
# The module of `loops.native` with the compiled loops of each cell.
MODULES = {RNN(): "rnn", RNN("relu"): "rnn", GRU(): "gru", GRU("cho2014"): "gru_before"}
MODULES |= {LSTM(): "lstm", LSTM(normalize_cell=True): "lstm"}


@kernels.register
@dataclasses.dataclass(frozen=True)
class Fused(Kernel):
    """Compiled by numba at its first use on a machine; the backward pass is derived by hand.

    With `products="bfloat16"` the operands of the products of the loop, h forwards and gradients backwards, are rounded
    to 8 bits, and so are weights unless they are powers of two over a common scale; sums are float32.
    """

    rank: ClassVar[int] = 1
    products: str = "float32"

    def __post_init__(self):
        if self.products not in PRODUCTS:
            raise InputError(f"kernel 'fused' has no products {self.products!r}; known: {', '.join(PRODUCTS)}")

    def missing(self) -> str:
        """Numba and scipy, whose products compiled code calls; and for bfloat16 products a torch with MKL."""
        for name in ("numba", "scipy"):
            if importlib.util.find_spec(name) is None:
                return f"{name} is not installed (pip install {name})"
        return "" if self.products == "float32" or _has_bfloat16() else "no bfloat16 products in this torch"

    def obstacle(self, loop: Loop) -> str:
        """No compiled loop for the cell, not float32 on a CPU, or a gradient through scales that change by step."""
        if self.missing():
            return self.missing()
        if loop.cell not in MODULES:
            return f"no loop for cell {loop.cell!r}"
        if loop.activations.levels:
            return "activations are quantized"
        tensors = [loop.x] if loop.x.is_floating_point() else []
        tensors += loop.weights.x, loop.weights.h, *loop.values
        if any(tensor.device.type != "cpu" or tensor.dtype != torch.float32 for tensor in tensors):
            return "not float32 on a CPU"
        x, h, c = loop.norms
        if loop.needs_gradient and any(norm.statistics == "nothing" and norm.slots > 1 for norm in (x, h)):
            return "a gradient through scales that change from step to step"
        if loop.needs_gradient and c is not None and c.statistics == "nothing":
            return "a gradient through a fixed scale of the cell"
        return ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Converts the tensors of the loop to the arguments of the compiled loop, and calls it."""
        from lowbit.layers.loops.function import Plan, TimeLoop
        from lowbit.layers.loops.layout import HALF, KINDS
        from lowbit.layers.loops.products import best

        w, symbols = loop.weights, not loop.x.is_floating_point()
        w_x, *affine_x = _folded(loop.norms.x, w.x, w.bias_x)
        w_h, *affine_h = _folded(loop.norms.h, w.h, w.bias_h)
        table = w_x.T.contiguous() if symbols else F.linear(loop.x, w_x).flatten(0, 1)
        statistics_x = loop.norms.x.statistics
        if statistics_x in ("rows", "squares"):  # the same at every step
            table = loop.norms.x.normalizer(w.x, w.bias_x)(table, 0, norms.ALL)
            statistics_x, affine_x = "nothing", (torch.ones_like(w.bias_x), torch.zeros_like(w.bias_x))
        *affine_c, statistics_c = _cell_norm(loop)
        index = loop.x if symbols else torch.arange(len(table)).view(loop.x.shape[:2])
        plan = Plan(
            MODULES[loop.cell],
            split=loop.cell == GRU("cho2014"),
            use_tanh=loop.cell != RNN("relu"),
            first=loop.t,
            index=index.contiguous().numpy(),
            symbols=symbols,
            kinds=(KINDS[statistics_x], KINDS[loop.norms.h.statistics], KINDS[statistics_c]),
            product=HALF if self.products == "bfloat16" else best(),
            training=loop.needs_gradient,
        )
        start = (value.contiguous() for value in loop.values)
        out, last, moments = TimeLoop.apply(plan, table, w_h, *affine_x, *affine_h, *affine_c, *start)
        for norm, (mean, variance) in zip(loop.norms, moments, strict=False):
            if norm is not None and norm.collecting:
                norm.gather(torch.from_numpy(mean), torch.from_numpy(variance), loop.x.shape[1], loop.t)
        return out, (out[-1], last) if len(loop.values) > 1 else (out[-1],)


def _folded(norm: norms.Norm, w: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix, gain and bias for the loop; a fixed scale of all steps goes into the matrix."""
    if norm.statistics != "nothing":
        return w, norm.gain, bias
    if norm.slots == 1:
        w, bias = norm.fold_into(w, bias)
        return w, torch.ones_like(bias), bias
    scale, shift = norm.fold(w)
    return w, scale, shift + bias


def _cell_norm(loop: Loop) -> tuple[Tensor, Tensor, str]:
    """Gain, bias and statistics of the norm of the cell state; one, zero and nothing without such a norm."""
    norm = loop.norms.c
    if norm is None:
        zero = loop.values[0].new_zeros(loop.hidden)
        return torch.ones_like(zero), zero, "nothing"
    if norm.statistics != "nothing":
        return norm.gain, loop.bias_c, norm.statistics
    scale, shift = norm.fold(torch.eye(loop.hidden))
    return scale, shift + loop.bias_c, "nothing"


@functools.cache
def _has_bfloat16() -> bool:
    from lowbit.layers.loops.products import mkl

    return mkl() is not None and torch.ops.mkldnn._is_mkldnn_bf16_supported()
