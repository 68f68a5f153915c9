"""The whole time loop as CUDA graphs: its kernels are recorded once for each shape and started together from then on.

A GPU runs a step of a small layer in less time than Python needs to launch it; a graph is one launch for all steps.
"""

import dataclasses
import weakref
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowbit.layers import kernels
from lowbit.layers.kernels import Kernel, Loop, Weights
from lowbit.layers.kernels.reference import Reference

SHAPES = 16  # each holds the memory of its steps


@kernels.register
@dataclasses.dataclass(frozen=True)
class Captured(Kernel):
    """The reference's own steps, forwards and backwards, replayed by `torch.cuda.make_graphed_callables`.

    Only loops that need gradients are captured, and at most 16 shapes of them: the rest runs step by step.
    """

    rank: ClassVar[int] = 3
    device: ClassVar[str] = "cuda"

    def missing(self) -> str:
        """A GPU of CUDA."""
        return "" if torch.cuda.is_available() else "there is no CUDA device"

    def obstacle(self, loop: Loop) -> str:
        """What would make one replay differ from the next: the number of the step, statistics to gather."""
        if loop.x.device.type != self.device:
            return "not on a CUDA device"
        if not loop.needs_gradient:
            return "no gradient is needed"
        for norm in filter(None, loop.norms):
            if norm.collecting:
                return "statistics are gathered"
            if norm.statistics == "nothing" and norm.slots > 1:
                return "the norm changes from step to step"
        return f"{SHAPES} shapes are captured" if _key(loop) not in _graphs and len(_graphs) >= SHAPES else ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Replays a graph that no backward pass will read, or captures one."""
        graphs = _graphs.setdefault(_key(loop), [])
        graph = next((graph for graph in graphs if graph.idle), None)
        if graph is None:
            graph = Graph(loop)
            graphs.append(graph)
        out, *last = graph(loop.tensors)
        return out, tuple(last)


class Steps(nn.Module):
    """The reference's loop as a function of tensors alone."""

    def __init__(self, loop: Loop):
        super().__init__()
        self.norms = nn.ModuleList(filter(None, loop.norms))
        self.loop = loop._replace(x=None, weights=None, bias_c=None, values=())
        self.present = [tensor is not None for tensor in (*loop.weights, loop.bias_c)]
        self.size = len(loop.tensors) - len(self.norms)

    def forward(self, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Outputs (time batch hidden) and the values of the last state."""
        rest = iter(tensors)
        *weights, bias_c = (next(rest) if present else None for present in self.present)
        loop = self.loop._replace(x=x, weights=Weights(*weights), bias_c=bias_c, values=tuple(rest))
        out, last = Reference().run(loop)
        return out, *last

    def call(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The same with the gains of the norms, in their order, after the tensors."""
        gains = {f"norms.{number}.gain": gain for number, gain in enumerate(tensors[self.size :])}
        return torch.func.functional_call(self, gains, tensors[: self.size])


class Graph:
    """One captured loop; its backward pass reads its buffers, so it has one user at a time."""

    def __init__(self, loop: Loop):
        samples = tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in loop.tensors)
        self.replay = torch.cuda.make_graphed_callables(Steps(loop).call, samples, allow_unused_input=True)
        self.node = lambda: None
        self.complete = True

    @property
    def idle(self) -> bool:
        """Whether the gradients of its last run have been taken, or can no longer be asked for."""
        return self.complete or self.node() is None

    def __call__(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Outputs and last values in memory of their own: a graph writes to the same places each time."""
        results = self.replay(*(CopiedGradient.apply(tensor) if tensor.requires_grad else tensor for tensor in tensors))
        node = next(result.grad_fn for result in results if result.grad_fn is not None)
        self.node, self.complete = weakref.ref(node), False
        node.register_hook(lambda *_: setattr(self, "complete", True))
        return tuple(result.clone() for result in results)


class CopiedGradient(torch.autograd.Function):
    """The same tensor, whose gradient is a copy."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """`x`."""
        ctx.set_materialize_grads(False)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor | None) -> Tensor | None:
        """A copy."""
        return None if gradient is None else gradient.clone()


_graphs: dict[tuple, list[Graph]] = {}


def _key(loop: Loop) -> tuple:
    modes = tuple(norm is not None and norm.training for norm in loop.norms)
    kinds = tuple((tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in loop.tensors)
    return loop.cell, loop.activations, loop.norms, modes, kinds
