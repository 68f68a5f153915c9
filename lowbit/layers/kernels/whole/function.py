"""A whole loop as one function of autograd, its way back written by hand."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowbit.layers import norm as norms
from lowbit.layers.kernels.whole import products
from lowbit.layers.kernels.whole.room import arrays
from lowbit.layers.loops import loader
from lowbit.layers.loops.layout import BATCH, HALF, ROWS, Normed, Product, Room

TINY = np.float32(norms.EPS)


class Plan(NamedTuple):
    """What is no tensor that learns."""

    loops: str  # the file of the cell, with its `forward` and `backward`
    halves: bool  # the recurrent product is two: of all gates but the last, and of the last
    bounded: bool  # the activation of a vanilla RNN is tanh, not relu
    first: int  # the number of the first step
    index: np.ndarray  # (time batch): the row of the table that is each input product
    symbols: bool  # a row of the table may occur more than once, or never
    kinds: tuple[int, int, int]  # of the norms of x, h and c
    product: int
    keeps: bool  # there will be a way back


class Run:
    """One way forwards, and what it leaves for the way back.

    `affine` are gain and bias of the norms of x, h and c, each (rows) or (slots rows).
    """

    def __init__(self, plan: Plan, table: Tensor, w: Tensor, affine: tuple[Tensor, ...], start: tuple[Tensor, ...]):
        self.plan, self.w, self.table = plan, array(w), array(table)
        self.start = tuple(array(value) for value in start)
        self.norms = self._norms(affine)
        self.room = self._room()
        steps, batch = plan.index.shape
        self.out = torch.empty(steps, batch, self.w.shape[1])
        self.used = bool(self.start[0].any())  # the product with zero is known
        self.products = self._prepared([part.T for part in self._parts(self.w)])
        given = self._given(self.products, self.out)
        if plan.keeps:
            loader.begin(f"{plan.loops}.backward", *given, given[-1], self.start, self.table)
        loader.run(f"{plan.loops}.forward", *given)

    def last(self) -> Tensor:
        """The second value of the last state, where there is one."""
        return torch.from_numpy(self.room.c[(self.plan.index.shape[0] - 1) % len(self.room.c)].copy())

    def moments(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean and variance (time rows) that the norms of x, h and c took from the batch."""
        return [
            tuple(np.concatenate(each, axis=1) for each in zip(*((n.mean, n.variance) for n in parts), strict=True))
            for parts in self._whole()
            if parts
        ]

    def back(self, out: Tensor, up: Tensor, end: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients to the table, the matrix, gains and biases, and the first state."""
        plan, (rows, n) = self.plan, self.w.shape
        steps, batch = plan.index.shape
        ends = tuple(torch.zeros(batch, n).numpy() for _ in self.start)
        if end is not None and len(ends) > 1:
            ends[1][:] = end.numpy()
        d_table = torch.zeros(self.table.shape if plan.symbols else (0, rows)).numpy()
        turned = self._turned()
        loader.run(f"{plan.loops}.backward", *self._given(turned, out), array(up), ends, d_table)
        if not plan.symbols:
            d_table = self.room.g.reshape(steps * batch, rows)
        affine = [each for parts in self._whole() for each in _gradients(parts)]
        d_w = self._rounded(turned) if plan.product == HALF else self._outer(out)
        return torch.from_numpy(d_table), d_w, *affine, *map(torch.from_numpy, ends)

    def _given(self, parts: tuple[Product, ...], out: Tensor) -> tuple:
        """What both ways take; `parts` are the matrix or its transpose."""
        plan, w = self.plan, parts if self.plan.halves else parts[0]
        return plan.first, self.used, self.table, plan.index, self.start, w, self.norms, self.room, out.numpy()

    def _parts(self, w: np.ndarray) -> list[np.ndarray]:
        gates = len(w) - w.shape[1]
        return [w[:gates], w[gates:]] if self.plan.halves else [w]

    def _prepared(self, parts: list[np.ndarray]) -> tuple[Product, ...]:
        steps, batch = self.plan.index.shape
        return tuple(
            products.prepare(part, batch, self.plan.product, steps if self.plan.keeps else 1) for part in parts
        )

    def _turned(self) -> tuple[Product, ...]:
        if self.plan.product == HALF:
            return tuple(map(products.turned, self.products))
        return self._prepared(self._parts(self.w))

    def _norms(self, affine: tuple[Tensor, ...]) -> tuple[Normed, ...]:
        gain_x, bias_x, gain_h, bias_h, gain_c, bias_c = affine
        kind_x, kind_h, kind_c = self.plan.kinds
        x = self._normed(kind_x, gain_x, bias_x)
        if self.plan.halves:
            gates = len(self.w) - self.w.shape[1]
            h = (
                self._normed(kind_h, gain_h[..., part], bias_h[..., part])
                for part in (slice(gates), slice(gates, None))
            )
            return x, *h
        return x, self._normed(kind_h, gain_h, bias_h), self._normed(kind_c, gain_c, bias_c)

    def _normed(self, kind: int, gain: Tensor, bias: Tensor) -> Normed:
        rows, (steps, batch) = gain.shape[-1], self.plan.index.shape
        moments = torch.empty((2, steps, rows) if kind == BATCH else (2, 0, rows)).numpy()
        inverse = torch.empty((steps, batch) if kind >= ROWS else (0, 0)).numpy()
        gain, bias = (array(each).reshape(-1, rows) for each in (gain, bias))
        gradients, work = torch.zeros(2, rows).numpy(), torch.empty(6, rows).numpy()
        return Normed(kind, gain, bias, TINY, *moments, inverse, *gradients, *work[:2], work[2:])

    def _whole(self) -> tuple[tuple[Normed, ...], ...]:
        if self.plan.halves:
            return self.norms[:1], self.norms[1:], ()
        return tuple((norm,) for norm in self.norms)

    def _room(self) -> Room:
        plan, (rows, n) = self.plan, self.w.shape
        steps, batch = plan.index.shape
        kept = steps if plan.keeps else 1
        own = plan.halves or plan.kinds[2] >= ROWS  # rows are standardized in their place
        second = (kept if plan.keeps else 2, batch, n if plan.halves or len(self.start) > 1 else 0)
        a, g, c, seen = arrays(
            (kept, batch, rows - n if plan.halves else rows), (kept, batch, rows), second, second if own else (0,)
        )
        work = (torch.empty(batch, width).numpy() for width in (n, n, a.shape[2]))
        return Room(a, g, c, seen if own else c, np.arange(batch), plan.bounded, *work)

    def _outer(self, out: Tensor) -> Tensor:
        """The gradient to the matrix: that to the products of all steps, times what was multiplied."""
        d = torch.from_numpy(self.room.a)
        d_w = _summed(d[1:], out[:-1])
        if self.used:
            d_w += _summed(d[:1], torch.from_numpy(self.start[0])[None])
        if self.plan.halves:
            candidate = _summed(*(torch.from_numpy(each) for each in (self.room.c, self.room.seen)))
            return torch.cat((d_w, candidate))
        return d_w

    def _rounded(self, turned: tuple[Product, ...]) -> Tensor:
        """The same of what both ways have rounded."""
        first = 0 if self.used else 1
        return torch.cat([products.outer(d, h, first) for d, h in zip(turned, self.products, strict=True)])


def _summed(d: Tensor, h: Tensor) -> Tensor:
    """The sum over all steps of `d` (steps batch outputs) times `h` (steps batch inputs)."""
    return d.flatten(0, 1).T @ h.flatten(0, 1)


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, in one piece."""
    return tensor.detach().contiguous().numpy()


def _gradients(parts: tuple[Normed, ...]) -> tuple[Tensor | None, Tensor | None]:
    if not parts:
        return None, None
    return tuple(
        torch.from_numpy(np.concatenate(each)) for each in zip(*((n.d_gain, n.d_bias) for n in parts), strict=True)
    )


class Whole(torch.autograd.Function):
    """Outputs of all steps, the second value of the last state, and moments, of a table of input products.

    Then come the recurrent matrix, gains and biases of the norms of x, h and c, and the values of the first state.
    """

    @staticmethod
    def forward(ctx, plan: Plan, table: Tensor, w: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, list]:
        """Runs the loop."""
        run = Run(plan, table, w, rest[:6], rest[6:])
        last, moments, out = run.last(), run.moments(), run.out
        run.out = None
        ctx.plan, ctx.run = plan, run if plan.keeps else None
        ctx.save_for_backward(table, w, *rest, out)
        ctx.set_materialize_grads(False)
        return out, last, moments

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, up: Tensor | None, end: Tensor | None, _: None) -> tuple:
        """Runs it backwards; a second time, forwards again before."""
        table, w, *rest, out = ctx.saved_tensors
        run, ctx.run = ctx.run, None
        if run is None:
            run = Run(ctx.plan, table, w, tuple(rest[:6]), tuple(rest[6:]))
        d_table, d_w, *others = run.back(out, torch.zeros_like(out) if up is None else up, end)
        return None, d_table, d_w, *others
