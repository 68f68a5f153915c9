"""The network that most tasks share: recurrent layers, stacked and in one or both directions, under a readout."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lowbit.datasets import Recipe
from lowbit.layers.cells import State
from lowbit.layers.kernels import Inputs, Weights
from lowbit.layers.norm import Norm
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.quantizers import Site

Lengths = Int[Tensor, " batch"] | None  # steps of each sequence; none: all are whole
Pair = tuple[Weights | None, Weights | None]  # of both directions; none of one that an engine of lowbit.hardware runs
States = list[State | None] | None  # of each layer


def backwards(x: Tensor, lengths: Lengths) -> Tensor:
    """Each sequence from its end to its beginning; padding stays at the end."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    order = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, order.view(*order.shape, *[1] * (x.dim() - 2)).expand_as(x))


def last(x: Tensor, lengths: Lengths) -> Tensor:
    """The values at the last step of each sequence."""
    if lengths is None:
        return x[-1]
    return x[lengths - 1, torch.arange(len(lengths), device=x.device)]


class Bidirectional(nn.Module):
    """Two layers side by side, the second reading backwards; outputs are joined in their own order of time."""

    def __init__(self, forwards: Recurrent, backwards: Recurrent):
        super().__init__()
        self.forwards, self.backwards = forwards, backwards

    def round(self, sample: bool | None = None) -> Pair:
        """The weights of both directions."""
        return self.forwards.round(sample), self.backwards.round(sample)

    def forward(
        self, x: Inputs, state: None = None, weights: Pair | None = None, lengths: Lengths = None
    ) -> tuple[Float[Tensor, "time batch outputs"], State]:
        """Outputs of all steps, and the last outputs of both directions as one state."""
        w_forwards, w_backwards = weights or self.round()
        ahead, _ = self.forwards(x, None, w_forwards)
        behind, _ = self.backwards(backwards(x, lengths), None, w_backwards)
        end = torch.cat((last(ahead, lengths), last(behind, lengths)), dim=1)
        return torch.cat((ahead, backwards(behind, lengths)), dim=2), State((end,), len(x))


class NetworkWeights(NamedTuple):
    """The weights of one sequence: quantized or not, drawn once."""

    embedding: Tensor | None
    layers: list  # Weights of each layer, a pair of a bidirectional one
    readout: Tensor


class Network(nn.Module):
    """Layers under a readout of every step; symbols go in one-hot or through an embedding.

    Embedding and readout stay in full precision unless the design quantizes them.
    """

    def __init__(self, inputs: int, outputs: int, recipe: Recipe, design: Design):
        super().__init__()
        self.quantizer, self.quantized = design.quantizer, design.quantized
        width = recipe.hidden * (2 if recipe.bidirectional else 1)
        self.embedding = nn.Embedding(inputs, recipe.embedding) if recipe.embedding else None
        self.dropout = nn.Dropout(recipe.dropout)

        def layer(size: int) -> Recurrent:
            return Recurrent(size, recipe.hidden, design, recipe.steps)

        sizes = [recipe.embedding or inputs] + [width] * (recipe.layers - 1)
        self.layers = nn.ModuleList(
            Bidirectional(layer(size), layer(size)) if recipe.bidirectional else layer(size) for size in sizes
        )
        self.readout = nn.Linear(width, outputs)

    def round(self, sample: bool | None = None) -> NetworkWeights:
        """The weights of one sequence."""
        embedding = None if self.embedding is None else self._round("embedding", self.embedding.weight, sample)
        layers = [layer.round(sample) for layer in self.layers]
        return NetworkWeights(embedding, layers, self._round("readout", self.readout.weight, sample))

    def forward(
        self, x: Inputs, states: States = None, weights: NetworkWeights | None = None, lengths: Lengths = None
    ) -> tuple[Tensor, list[State]]:
        """Logits, (time batch outputs) or (batch outputs), and the last state of each layer."""
        weights = weights or self.round()
        if weights.embedding is not None:
            x = F.embedding(x, weights.embedding)
        x, ends = self.run(x, states, weights.layers, lengths)
        return F.linear(self.read(x, lengths), weights.readout, self.readout.bias), ends

    def run(self, x: Tensor, states: States, weights: list, lengths: Lengths) -> tuple[Tensor, list[State]]:
        """Outputs of the last layer for all steps, and the last state of each layer."""
        ends = []
        for layer, state, w in zip(self.layers, states or [None] * len(self.layers), weights, strict=True):
            x = self.dropout(x) if x.is_floating_point() else x
            x, end = layer(x, state, w, lengths) if isinstance(layer, Bidirectional) else layer(x, state, w)
            ends.append(end)
        return self.dropout(x), ends

    def read(self, x: Float[Tensor, "time batch width"], lengths: Lengths) -> Tensor:
        """The input of the readout: all outputs of the last layer."""
        return x

    def norms(self) -> list[Norm]:
        """All norms of the network."""
        return [module for module in self.modules() if isinstance(module, Norm)]

    def recurrent(self) -> dict[str, Recurrent]:
        """All recurrent layers by their names."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Recurrent)}

    def _round(self, part: str, w: Tensor, sample: bool | None) -> Tensor:
        return self.quantizer(w, Site.of(w), sample) if part in self.quantized else w


def detach(states: list[State]) -> list[State]:
    """The same states without their autograd history."""
    return [State(tuple(value.detach() for value in state.values), state.t) for state in states]
