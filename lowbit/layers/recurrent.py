"""The one layer that runs a cell over time: two matrices, their norms, and the loop that a kernel runs."""

import dataclasses
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lowbit import quantizers
from lowbit.layers import kernels
from lowbit.layers import norm as norms
from lowbit.layers.cells import Cell, State
from lowbit.layers.kernels import Kernel, Loop, Norms, Weights
from lowbit.quantizers import Quantizer, Site
from lowbit.quantizers.base import glorot


@dataclasses.dataclass(frozen=True)
class Design:
    """What the layers of a network are made of."""

    cell: Cell
    quantizer: Quantizer
    norm: str = "none"  # of both products, and of the cell with `normalize_cell`
    quantized: frozenset[str] = frozenset(("input", "recurrent"))
    activations: Quantizer = dataclasses.field(default_factory=lambda: quantizers.build("full"))  # of every output
    init: str = "uniform"  # see Recipe
    start: str = "zero"


class Matrix(NamedTuple):
    """One of the two matrices of a layer, and how it is quantized."""

    name: str
    master: Tensor  # (rows cols)
    site: Site
    levels: tuple[float, ...]  # empty where it stays in full precision


MASTERS = {"input": "weight_x", "recurrent": "weight_h"}


class Recurrent(nn.Module):
    """One layer over time: two matrices, their norms and a cell, run by one of `kernels`.

    Weights are drawn once a sequence and shared by its steps.
    """

    def __init__(self, inputs: int, hidden: int, design: Design, steps: int = 1):
        super().__init__()
        self.hidden, self.cell, self.quantizer, self.quantized = hidden, design.cell, design.quantizer, design.quantized
        self.activations, self.start = design.activations, design.start
        self.kernels: tuple[Kernel, ...] = (kernels.build("reference"),)  # the first that can run a loop does
        self.kernel_name = ""  # which of them ran the last
        cell, norm = design.cell, design.norm
        rows = cell.gates * hidden
        self.site_x = Site(inputs, hidden, cell.gates)
        self.site_h = Site(hidden, hidden, cell.gates)
        self.weight_x = nn.Parameter(torch.empty(rows, inputs).uniform_(-1, 1) * glorot(inputs, rows))
        if cell.recurrent:
            self.weight_h = nn.Parameter(torch.empty(rows, hidden).uniform_(-1, 1) * glorot(hidden, rows))
        self.bias_x = nn.Parameter(torch.zeros(rows) if cell.recurrent else cell.bias(hidden))
        self.norm_x = norms.build(norm, rows, steps)
        if cell.recurrent:
            self.bias_h = nn.Parameter(cell.bias(hidden))
            self.norm_h = norms.build(norm, rows, steps)
        if cell.normalize_cell:
            self.norm_c = norms.build(norm, hidden, steps)
            self.bias_c = nn.Parameter(torch.zeros(hidden))
        for part, master in self._masters().items():
            if design.init == "orthogonal":
                nn.init.orthogonal_(master)
            elif design.init == "levels" and part in self.quantized:
                bound = self.quantizer.bound(master.detach(), self.site(part))
                master.data.uniform_(-1, 1).mul_(bound)
        if design.start != "zero":
            self.first = nn.Parameter(torch.zeros(cell.memories, hidden))
        for part, master in self._masters().items():
            self._add_aids(part, master)

    def _masters(self) -> dict[str, nn.Parameter]:
        return {part: getattr(self, name) for part, name in MASTERS.items() if hasattr(self, name)}

    def _add_aids(self, part: str, master: Tensor) -> None:
        site = self.site(part)
        factors = self.quantizer.factors(master.detach(), site) if part in self.quantized else None
        if factors is not None:
            self.register_parameter(f"factors_{part}", nn.Parameter(factors))
        if self.quantizer.curved and part in self.quantized:
            self.register_buffer(f"curvature_{part}", torch.ones_like(master))

    def site(self, part: str) -> Site:
        """The site of the input or recurrent matrix, with what training has added."""
        plain = self.site_x if part == "input" else self.site_h
        curvature, factors = getattr(self, f"curvature_{part}", None), getattr(self, f"factors_{part}", None)
        return plain if curvature is None and factors is None else plain._replace(curvature=curvature, factors=factors)

    def matrices(self) -> tuple[Matrix, ...]:
        """The input and the recurrent matrix, where the cell has one."""
        return tuple(
            Matrix(MASTERS[part], master, self.site(part), self.quantizer.levels if part in self.quantized else ())
            for part, master in self._masters().items()
        )

    def round(self, sample: bool | None = None) -> Weights:
        """The weights of one sequence; `sample` overrides whether the quantizer is stochastic."""
        x = self._round("input", self.weight_x, self.site("input"), sample)
        if not self.cell.recurrent:
            return Weights(x, None, self._round("biases", self.bias_x[:, None], self.site_x, sample)[:, 0], None)
        h = self._round("recurrent", self.weight_h, self.site("recurrent"), sample)
        bias_x = self._round("biases", self.bias_x[:, None], self.site_x, sample)[:, 0]
        return Weights(x, h, bias_x, self._round("biases", self.bias_h[:, None], self.site_x, sample)[:, 0])

    def _round(self, part: str, w: Tensor, site: Site, sample: bool | None) -> Tensor:
        return self.quantizer(w, site, sample) if part in self.quantized else w

    def forward(
        self,
        x: Float[Tensor, "time batch inputs"] | Int[Tensor, "time batch"],
        state: State | None = None,
        weights: Weights | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """The outputs of all steps and the last state; integers are symbols, one-hot."""
        w = weights or self.round()
        values, t = state or self._start(x.shape[1])
        recurrent, normalize_cell = self.cell.recurrent, self.cell.normalize_cell
        norms = Norms(self.norm_x, self.norm_h if recurrent else None, self.norm_c if normalize_cell else None)
        bias_c = self.bias_c if normalize_cell else None
        outputs, values, self.kernel_name = kernels.run(
            self.kernels, Loop(self.cell, self.activations, norms, x, w, bias_c, values, t)
        )
        return self.activations.activate(outputs), State(values, t + len(x))

    def _start(self, batch: int) -> State:
        if self.start == "zero":
            zero = self.bias_x.new_zeros(batch, self.hidden)
            return State((zero,) * self.cell.memories, 0)
        first = self.first.unsqueeze(1).expand(-1, batch, -1)
        if self.start == "noisy":  # sequences that begin alike have no variance over the batch for many steps
            first = first + 0.1 * torch.randn_like(first[0])  # one draw a sequence, for all memories
        return State(tuple(first), 0)
