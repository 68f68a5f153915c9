"""The whole time loop as CUDA graphs: its kernels are recorded once for each shape and started together from then on.

A step of a small layer takes a GPU less time than Python needs to ask for it; a graph asks once for all steps.
"""

import dataclasses
import weakref
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowbit.layers import kernels
from lowbit.layers.kernels.base import Kernel, Loop, Weights
from lowbit.layers.kernels.reference import Reference

SHAPES = 16  # each keeps the memory of its steps


@kernels.register
@dataclasses.dataclass(frozen=True)
class Captured(Kernel):
    """The reference's own steps, forwards and backwards, replayed by `torch.cuda.make_graphed_callables`.

    Only loops that learn are captured, and at most 16 shapes of them: the rest runs step by step.
    """

    rank: ClassVar[int] = 3
    device: ClassVar[str] = "cuda"

    def missing(self) -> str:
        """A GPU of CUDA."""
        return "" if torch.cuda.is_available() else "there is no CUDA device"

    def lacks(self, loop: Loop) -> str:
        """What the next step of a replay must not depend on: the number of the step, statistics to gather."""
        if loop.x.device.type != self.device:
            return "not on a CUDA device"
        if not loop.learns:
            return "nothing learns"
        for norm in filter(None, loop.norms):
            if norm.collecting:
                return "statistics are gathered"
            if norm.live == "nothing" and norm.slots > 1:
                return "the norm changes from step to step"
        return f"{SHAPES} shapes are captured" if _key(loop) not in _graphs and len(_graphs) >= SHAPES else ""

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Replays a graph that waits for no way back, or captures one."""
        made = _graphs.setdefault(_key(loop), [])
        graph = next((each for each in made if each.idle), None)
        if graph is None:
            graph = Graph(loop)
            made.append(graph)
        out, *last = graph(loop.given)
        return out, tuple(last)


class Steps(nn.Module):
    """The reference's loop as a function of tensors alone."""

    def __init__(self, loop: Loop):
        super().__init__()
        self.norms = nn.ModuleList(filter(None, loop.norms))
        self.present = [each is not None for each in _tensors(loop)]
        self.frame = _filled(loop, [None] * len(self.present))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Outputs (time batch hidden) and the values of the last state."""
        found = iter(tensors)
        out, last = Reference().run(_filled(self.frame, [next(found) if here else None for here in self.present]))
        return out, *last

    def call(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The same with the gains of the norms, in their order, after the tensors."""
        gains = {f"norms.{number}.gain": gain for number, gain in enumerate(given[sum(self.present) :])}
        return torch.func.functional_call(self, gains, given[: sum(self.present)])


class Graph:
    """One captured loop; what its way back reads stays until that is done, so it has one user at a time."""

    def __init__(self, loop: Loop):
        samples = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in loop.given)
        self.replay = torch.cuda.make_graphed_callables(Steps(loop).call, samples, allow_unused_input=True)
        self.node = lambda: None
        self.done = True

    @property
    def idle(self) -> bool:
        """Whether the gradients of its last run have been taken, or can no longer be asked for."""
        return self.done or self.node() is None

    def __call__(self, given: list[Tensor]) -> tuple[Tensor, ...]:
        """Outputs and last values in memory of their own: a graph writes to the same places each time."""
        results = self.replay(*(Apart.apply(each) if each.requires_grad else each for each in given))
        node = next(each.grad_fn for each in results if each.grad_fn is not None)
        self.node, self.done = weakref.ref(node), False
        node.register_hook(lambda *_: setattr(self, "done", True))
        return tuple(each.clone() for each in results)


class Apart(torch.autograd.Function):
    """The same tensor, whose gradient gets memory of its own."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """`x`."""
        ctx.set_materialize_grads(False)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, up: Tensor | None) -> Tensor | None:
        """A copy."""
        return None if up is None else up.clone()


_graphs: dict[tuple, list[Graph]] = {}


def _key(loop: Loop) -> tuple:
    modes = tuple(norm is not None and norm.training for norm in loop.norms)
    kinds = tuple((each.shape, each.dtype, each.requires_grad) for each in loop.given)
    return loop.cell, loop.activations, loop.norms, modes, kinds


def _tensors(loop: Loop) -> list[Tensor | None]:
    return [loop.x, *loop.weights, loop.bias_c, *loop.values]


def _filled(loop: Loop, tensors: list[Tensor | None]) -> Loop:
    x, w_x, w_h, bias_x, bias_h, bias_c, *values = tensors
    return loop._replace(x=x, weights=Weights(w_x, w_h, bias_x, bias_h), bias_c=bias_c, values=tuple(values))
