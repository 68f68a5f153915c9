"""The whole time loop in one compiled call, with the norms between products and gates, on a CPU."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit import cells, kernels
from lowbit import norm as norms
from lowbit.kernels.base import Kernel, Loop
from lowbit.registry import InputError

PRODUCTS = ("bfloat16", "float32")


@kernels.register
@dataclasses.dataclass(frozen=True)
class Fused(Kernel):
    """Compiled by numba at its first use on a machine; backwards as derived by hand.

    With `products="bfloat16"` what enters the products of the loop, h forwards and gradients backwards, is rounded
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
            if not _installed(name, importlib.util.find_spec):
                return f"{name} is not installed (pip install {name})"
        return "" if self.products == "float32" or _half() else "no bfloat16 products in this torch"

    def lacks(self, loop: Loop) -> str:
        """A cell with a loop, float32 on the CPU, and no gradient through scales that change from step to step."""
        if self.missing():
            return self.missing()
        if _loops(loop) is None:
            return f"no loop for cell {loop.cell!r}"
        if loop.activations.levels:
            return "activations are quantized"
        if any(each.device.type != "cpu" or each.dtype != torch.float32 for each in _tensors(loop)):
            return "not float32 on a CPU"
        if loop.learns and any(norm.live == "nothing" and norm.slots > 1 for norm in loop.norms[:2] if norm):
            return "a gradient through scales that change from step to step"
        if loop.learns and loop.norms.c is not None and loop.norms.c.live == "nothing":
            return "a gradient through a fixed scale of the cell"
        return ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Hands over what the loop needs in the form it needs it."""
        from lowbit.kernels.whole.function import Plan, Whole
        from lowbit.kernels.whole.products import best
        from lowbit.loops.layout import HALF, KINDS

        w, symbols = loop.weights, not loop.x.is_floating_point()
        (w_x, gain_x, bias_x), (w_h, gain_h, bias_h) = (
            _ready(norm, w, bias) for norm, w, bias in ((loop.norms.x, w.x, w.bias_x), (loop.norms.h, w.h, w.bias_h))
        )
        table = w_x.T.contiguous() if symbols else F.linear(loop.x, w_x).flatten(0, 1)
        live_x = loop.norms.x.live
        if live_x in ("rows", "squares"):  # the same at every step
            table = loop.norms.x.start(w.x, w.bias_x)(table, 0, norms.ALL)
            live_x, gain_x, bias_x = "nothing", torch.ones_like(gain_x), torch.zeros_like(bias_x)
        gain_c, bias_c, live_c = _settling(loop)
        kinds = (KINDS[live_x], KINDS[loop.norms.h.live], KINDS[live_c])
        index = loop.x if symbols else torch.arange(len(table)).view(loop.x.shape[:2])
        loops, reset = _loops(loop), getattr(loop.cell, "reset", "ott2016")
        plan = Plan(
            loops,
            halves=reset == "cho2014",
            bounded=getattr(loop.cell, "activation", "tanh") == "tanh",
            first=loop.t,
            index=index.contiguous().numpy(),
            symbols=symbols,
            kinds=kinds,
            product=HALF if self.products == "bfloat16" else best(),
            keeps=loop.learns,
        )
        out, last, moments = Whole.apply(
            plan, table, w_h, gain_x, bias_x, gain_h, bias_h, gain_c, bias_c, *(v.contiguous() for v in loop.values)
        )
        for norm, (mean, variance) in zip(loop.norms, moments, strict=False):
            if norm is not None and norm.collecting:
                norm.gather(torch.from_numpy(mean), torch.from_numpy(variance), loop.x.shape[1], loop.t)
        return out, (out[-1], last) if len(loop.values) > 1 else (out[-1],)


def _ready(norm: norms.Norm, w: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix, gain and bias of what the loop itself normalizes: fixed scales go into the matrix where they can."""
    if norm.live != "nothing":
        return w, norm.gain, bias
    if norm.slots == 1:
        w, bias = norm.absorbed(w, bias)
        return w, torch.ones_like(bias), bias
    scale, shift = norm.fold(w)
    return w, scale, shift + bias


def _settling(loop: Loop) -> tuple[Tensor, Tensor, str]:
    norm = loop.norms.c
    if norm is None:
        zero = loop.values[0].new_zeros(loop.hidden)
        return torch.ones_like(zero), zero, "nothing"
    if norm.live != "nothing":
        return norm.gain, loop.bias_c, norm.live
    scale, shift = norm.fold(torch.eye(loop.hidden))
    return scale, shift + loop.bias_c, "nothing"


def _tensors(loop: Loop) -> list[Tensor]:
    floats = [loop.x] if loop.x.is_floating_point() else []
    return [*floats, loop.weights.x, loop.weights.h, *loop.values]


def _loops(loop: Loop) -> str | None:
    """The file of the compiled loops of a cell; none where there is none."""
    match loop.cell:
        case cells.LSTM():
            return "lstm"
        case cells.GRU(reset="ott2016"):
            return "gru"
        case cells.GRU(reset="cho2014"):
            return "gru_before"
        case cells.RNN():
            return "rnn"
    return None


@functools.cache
def _installed(name: str, find: Callable) -> bool:
    return find(name) is not None


@functools.cache
def _half() -> bool:
    from lowbit.kernels.whole.products import mkl

    return mkl() is not None and torch.ops.mkldnn._is_mkldnn_bf16_supported()
