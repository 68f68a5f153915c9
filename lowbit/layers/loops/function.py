"""A whole time loop as one autograd function, its backward pass written by hand."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowbit.layers import norm as norms
from lowbit.layers.loops import loader, products
from lowbit.layers.loops.layout import BATCH, HALF, ROWS, Normed, Product, Workspace
from lowbit.layers.loops.workspace import arrays

EPSILON = np.float32(norms.EPS)


class Plan(NamedTuple):
    """The settings of a loop, which have no gradient."""

    module: str  # of `native`, with the `forward` and `backward` of the cell
    split: bool  # the recurrent product is two: of all gates but the last, and of the last
    use_tanh: bool  # the activation of a vanilla RNN is tanh, not relu
    first: int  # the number of the first step
    index: np.ndarray  # (time batch): the row of the table that is each input product
    symbols: bool  # a row of the table may occur more than once, or never
    kinds: tuple[int, int, int]  # of the norms of x, h and c
    product: int
    training: bool  # a backward pass follows


class Run:
    """One forward pass, with the buffers that its backward pass reads.

    `affine` are gain and bias of the norms of x, h and c, each (rows) or (slots rows).
    """

    def __init__(self, plan: Plan, table: Tensor, w: Tensor, affine: tuple[Tensor, ...], start: tuple[Tensor, ...]):
        self.plan, self.w, self.table = plan, array(w), array(table)
        self.start = tuple(map(array, start))
        rows, hidden = self.w.shape
        self.parts = (slice(rows - hidden), slice(rows - hidden, None)) if plan.split else (slice(None),)
        self.norms = self._norms(*affine)
        self.workspace = self._workspace()
        steps, batch = plan.index.shape
        self.out = torch.empty(steps, batch, hidden)
        self.nonzero = bool(self.start[0].any())  # the product with a zero state is not computed
        self.products = self._products([self.w[part].T for part in self.parts])
        arguments = self._arguments(self.products, self.out)
        if plan.training:
            loader.begin(f"{plan.module}.backward", *arguments, arguments[-1], self.start, self.table)
        loader.run(f"{plan.module}.forward", *arguments)

    def last(self) -> Tensor:
        """The second value of the last state, where there is one."""
        c = self.workspace.c
        return torch.from_numpy(c[(len(self.plan.index) - 1) % len(c)].copy())

    def moments(self) -> list[tuple[np.ndarray, ...]]:
        """Mean and variance (time rows) that the norms of x, h and c took from the batch."""
        fields = ("mean", "variance")
        return [
            tuple(np.concatenate([getattr(norm, field) for norm in group], axis=1) for field in fields)
            for group in self.norms
            if group
        ]

    def backward(self, out: Tensor, d_out: Tensor, d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients to the table, the matrix, gains and biases, and the first state."""
        plan, (rows, hidden) = self.plan, self.w.shape
        steps, batch = plan.index.shape
        d_state = tuple(torch.zeros(batch, hidden).numpy() for _ in self.start)
        if d_last is not None and len(d_state) > 1:
            d_state[1][:] = d_last.numpy()
        d_table = torch.zeros(self.table.shape if plan.symbols else (0, rows)).numpy()
        if plan.product == HALF:
            transposed = tuple(map(products.transposed, self.products))
        else:
            transposed = self._products([self.w[part] for part in self.parts])
        loader.run(f"{plan.module}.backward", *self._arguments(transposed, out), array(d_out), d_state, d_table)
        if not plan.symbols:
            d_table = self.workspace.g.reshape(steps * batch, rows)
        affine = [
            torch.from_numpy(np.concatenate([getattr(norm, field) for norm in group])) if group else None
            for group in self.norms
            for field in ("d_gain", "d_bias")
        ]
        return torch.from_numpy(d_table), self._d_matrix(transposed, out), *affine, *map(torch.from_numpy, d_state)

    def _arguments(self, matrices: tuple[Product, ...], out: Tensor) -> tuple:
        """The common arguments of both passes; `matrices` are the parts of the matrix or of its transpose."""
        plan, w = self.plan, matrices if self.plan.split else matrices[0]
        norms = sum(self.norms, ())
        return plan.first, self.nonzero, self.table, plan.index, self.start, w, norms, self.workspace, out.numpy()

    def _products(self, matrices: list[np.ndarray]) -> tuple[Product, ...]:
        plan, (steps, batch) = self.plan, self.plan.index.shape
        return tuple(products.prepare(w, batch, plan.product, steps if plan.training else 1) for w in matrices)

    def _norms(self, gain_x, bias_x, gain_h, bias_h, gain_c, bias_c) -> tuple[tuple[Normed, ...], ...]:
        """The norms of x, of each part of h, and of c, which a loop in two parts has not."""
        kind_x, kind_h, kind_c = self.plan.kinds
        h = tuple(self._norm(kind_h, gain_h[..., part], bias_h[..., part]) for part in self.parts)
        c = () if self.plan.split else (self._norm(kind_c, gain_c, bias_c),)
        return (self._norm(kind_x, gain_x, bias_x),), h, c

    def _norm(self, kind: int, gain: Tensor, bias: Tensor) -> Normed:
        rows, (steps, batch) = gain.shape[-1], self.plan.index.shape
        moments = torch.empty((2, steps, rows) if kind == BATCH else (2, 0, rows)).numpy()
        inverse = torch.empty((steps, batch) if kind >= ROWS else (0, 0)).numpy()
        gain, bias = (array(tensor).reshape(-1, rows) for tensor in (gain, bias))
        gradients, work = torch.zeros(2, rows).numpy(), torch.empty(6, rows).numpy()
        return Normed(kind, gain, bias, EPSILON, *moments, inverse, *gradients, *work[:2], work[2:])

    def _workspace(self) -> Workspace:
        plan, (rows, hidden) = self.plan, self.w.shape
        steps, batch = plan.index.shape
        slots = steps if plan.training else 1
        copied = plan.split or plan.kinds[2] >= ROWS  # rows are standardized in their place
        second = (slots if plan.training else 2, batch, hidden if plan.split or len(self.start) > 1 else 0)
        products = (slots, batch, rows - hidden if plan.split else rows)
        a, g, c, operand = arrays(products, (slots, batch, rows), second, second if copied else (0,))
        work = (torch.empty(batch, width).numpy() for width in (hidden, hidden, a.shape[2]))
        return Workspace(a, g, c, operand if copied else c, np.arange(batch), plan.use_tanh, *work)

    def _d_matrix(self, transposed: tuple[Product, ...], out: Tensor) -> Tensor:
        """The gradient to the matrix: that to the products of all steps, times their operands."""
        if self.plan.product == HALF:
            first = 0 if self.nonzero else 1
            return torch.cat([products.outer(d, h, first) for d, h in zip(transposed, self.products, strict=True)])
        d = torch.from_numpy(self.workspace.a)
        d_w = _outer(d[1:], out[:-1])
        if self.nonzero:
            d_w += _outer(d[:1], torch.from_numpy(self.start[0])[None])
        if not self.plan.split:
            return d_w
        return torch.cat((d_w, _outer(torch.from_numpy(self.workspace.c), torch.from_numpy(self.workspace.operand))))


def _outer(d: Tensor, h: Tensor) -> Tensor:
    """The sum over all steps of `d` (steps batch outputs) times `h` (steps batch inputs)."""
    return d.flatten(0, 1).T @ h.flatten(0, 1)


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, contiguous."""
    return tensor.detach().contiguous().numpy()


class TimeLoop(torch.autograd.Function):
    """Outputs of all steps, the second value of the last state, and moments, of a table of input products.

    Further inputs are the recurrent matrix, gains and biases of the norms of x, h and c, and the first state.
    """

    @staticmethod
    def forward(ctx, plan: Plan, table: Tensor, w: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, list]:
        """Runs the loop."""
        run = Run(plan, table, w, rest[:6], rest[6:])
        last, moments, out = run.last(), run.moments(), run.out
        run.out = None
        ctx.plan, ctx.run = plan, run if plan.training else None
        ctx.save_for_backward(table, w, *rest, out)
        ctx.set_materialize_grads(False)
        return out, last, moments

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out: Tensor | None, d_last: Tensor | None, _: None) -> tuple:
        """Runs it backwards; a second time, after another forward pass."""
        table, w, *rest, out = ctx.saved_tensors
        run, ctx.run = ctx.run, None
        if run is None:
            run = Run(ctx.plan, table, w, tuple(rest[:6]), tuple(rest[6:]))
        return None, *run.backward(out, torch.zeros_like(out) if d_out is None else d_out, d_last)
