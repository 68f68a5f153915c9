"""The one layer that runs a cell over time: two matrices, their norms, and the loop that a kernel runs."""

import dataclasses
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowbit import quantizers
from lowbit.layers import kernels
from lowbit.layers import norm as norms
from lowbit.layers.cells import Cell, State
from lowbit.layers.kernels import Inputs, Kernel, Loop, Norms, Weights
from lowbit.quantizers import Quantizer, Site
from lowbit.quantizers.base import glorot


@dataclasses.dataclass(frozen=True)
class Design:
    """The settings of all layers of a network."""

    cell: Cell
    quantizer: Quantizer
    norm: str = "none"  # of both products, and of the cell with `normalize_cell`
    quantized: frozenset[str] = frozenset(("input", "recurrent"))
    activations: Quantizer = dataclasses.field(default_factory=lambda: quantizers.build("full"))  # of every output
    init: str = "uniform"  # see Recipe, also for these two
    chrono: int = 0
    start: str = "zero"


class Matrix(NamedTuple):
    """One of the two matrices of a layer, and how it is quantized."""

    name: str
    master: Tensor  # (rows cols)
    site: Site
    levels: tuple[float, ...]  # empty in full precision


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
        self.kernel_name = ""  # the one that ran the last loop
        cell, rows = design.cell, design.cell.gates * hidden
        self.site_x = Site(inputs, hidden, cell.gates)
        self.site_h = Site(hidden, hidden, cell.gates)
        self.weight_x = nn.Parameter(torch.empty(rows, inputs).uniform_(-1, 1) * glorot(inputs, rows))
        self.weight_h = self.bias_h = self.norm_h = self.bias_c = self.norm_c = None
        if cell.recurrent:
            self.weight_h = nn.Parameter(torch.empty(rows, hidden).uniform_(-1, 1) * glorot(hidden, rows))
        self.bias_x = nn.Parameter(torch.zeros(rows) if cell.recurrent else cell.bias(hidden, design.chrono))
        self.norm_x = norms.build(design.norm, rows, steps)
        if cell.recurrent:
            self.bias_h = nn.Parameter(cell.bias(hidden, design.chrono))
            self.norm_h = norms.build(design.norm, rows, steps)
        if cell.normalize_cell:
            self.norm_c = norms.build(design.norm, hidden, steps)
            self.bias_c = nn.Parameter(torch.zeros(hidden))
        if design.start != "zero":
            self.first = nn.Parameter(torch.zeros(cell.memories, hidden))
        for part, master in self._masters().items():
            site, quantized = self.site(part), part in self.quantized
            if design.init == "orthogonal":
                nn.init.orthogonal_(master)
            elif design.init == "levels" and quantized:
                bound = self.quantizer.bound(master.detach(), site)
                master.data.uniform_(-1, 1).mul_(bound)
            factors = self.quantizer.factors(master.detach(), site) if quantized else None
            if factors is not None:
                self.register_parameter(f"factors_{part}", nn.Parameter(factors))
            if self.quantizer.curved and quantized:
                self.register_buffer(f"curvature_{part}", torch.ones_like(master))

    def _masters(self) -> dict[str, nn.Parameter]:
        masters = {part: getattr(self, name) for part, name in MASTERS.items()}
        return {part: master for part, master in masters.items() if master is not None}

    def site(self, part: str) -> Site:
        """The site of the input or recurrent matrix, with the curvature and the factors of training."""
        site = self.site_x if part == "input" else self.site_h
        return site._replace(**{name: getattr(self, f"{name}_{part}", None) for name in ("curvature", "factors")})

    def matrices(self) -> tuple[Matrix, ...]:
        """The input and the recurrent matrix, where the cell has one."""
        return tuple(
            Matrix(MASTERS[part], master, self.site(part), self.quantizer.levels if part in self.quantized else ())
            for part, master in self._masters().items()
        )

    def round(self, sample: bool | None = None) -> Weights:
        """The weights of one sequence; `sample` overrides whether the quantizer is stochastic."""

        def rounded(part: str, w: Tensor | None, site: Site) -> Tensor | None:
            return self.quantizer(w, site, sample) if part in self.quantized and w is not None else w

        x = rounded("input", self.weight_x, self.site("input"))
        h = rounded("recurrent", self.weight_h, self.site("recurrent"))
        bias_x = rounded("biases", self.bias_x[:, None], self.site_x)[:, 0]
        bias_h = None if h is None else rounded("biases", self.bias_h[:, None], self.site_x)[:, 0]
        return Weights(x, h, bias_x, bias_h)

    def forward(
        self, x: Inputs, state: State | None = None, weights: Weights | None = None
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """The outputs of all steps and the last state."""
        w = weights or self.round()
        values, t = state or self._start(x.shape[1])
        norms = Norms(self.norm_x, self.norm_h, self.norm_c)
        loop = Loop(self.cell, self.activations, norms, x, w, self.bias_c, values, t)
        outputs, values, self.kernel_name = kernels.run(self.kernels, loop)
        return self.activations.activate(outputs), State(values, t + len(x))

    def _start(self, batch: int) -> State:
        if self.start == "zero":
            zero = self.bias_x.new_zeros(batch, self.hidden)
            return State((zero,) * self.cell.memories, 0)
        first = self.first.unsqueeze(1).expand(-1, batch, -1)
        if self.start == "noisy":  # sequences that begin alike have no variance over the batch for many steps
            first = first + 0.1 * torch.randn_like(first[0])  # one draw a sequence, for all memories
        return State(tuple(first), 0)
