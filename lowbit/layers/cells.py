"""Recurrent cells: the elementwise step from one state to the next."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lowbit.layers import norm as norms
from lowbit.registry import InputError, Registry

registry = Registry("cell")
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

PARTS = ("input", "recurrent", "biases", "embedding", "readout")

Rows = Float[Tensor, "batch rows"]
Values = tuple[Tensor, ...]  # of a state, each (batch hidden)
# h (batch hidden) and the rows of some gates -> their normalized recurrent product with its bias
Product = Callable[[Tensor, slice], Tensor]
# the cell state (batch hidden) -> the normalized cell state, from which the output is computed
Normalize = Callable[[Tensor], Tensor]


class State(NamedTuple):
    """The state after a step; `values[0]` is the output h."""

    values: Values
    t: int  # steps since the state was zero


@dataclasses.dataclass(frozen=True)
class Cell(abc.ABC):
    """The step of a recurrent network; gates are stacked in torch's order."""

    reference: ClassVar[str]
    gate_names: ClassVar[tuple[str, ...]]
    forget_gate: ClassVar[str] = ""  # the gate whose bias starts at 1, so that a state lasts
    memories: ClassVar[int] = 1  # tensors in a state
    recurrent: ClassVar[bool] = True  # whether there is a recurrent matrix; without one `product` must not be called
    normalize_cell: ClassVar[bool] = False  # whether `normalize` applies a norm; without one it is the identity

    @abc.abstractmethod
    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """Returns the next state, from the normalized input product and the previous state."""

    @property
    def gates(self) -> int:
        """The number of gates: a matrix has so many blocks of `units` rows."""
        return len(self.gate_names)

    def bias(self, units: int, chrono: int = 0) -> Float[Tensor, " rows"]:
        """The initial recurrent bias: one for the forget gate, zero for all others; or with `chrono` as in `Recipe`."""
        if not chrono:
            return torch.tensor([float(name == self.forget_gate) for name in self.gate_names]).repeat_interleave(units)
        lasting = torch.empty(units).uniform_(1, chrono).log()
        signs = {self.forget_gate: 1.0, "i": -1.0}
        return torch.cat([signs.get(name, 0.0) * lasting for name in self.gate_names])


@register
@dataclasses.dataclass(frozen=True)
class RNN(Cell):
    r"""$h_t = \phi(W_x x_t + b_x + W_h h_{t-1} + b_h)$ with $\phi$ = tanh or relu (elman1990finding)."""

    reference: ClassVar[str] = "elman1990finding"
    gate_names: ClassVar[tuple[str, ...]] = ("h",)
    activation: str = "tanh"  # or "relu"

    def __post_init__(self):
        if self.activation not in ("tanh", "relu"):
            raise InputError(f"cell 'rnn' has no activation {self.activation!r}; known: relu, tanh")

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """One activation."""
        z = zx + product(values[0], norms.ALL)
        return (torch.tanh(z) if self.activation == "tanh" else torch.relu(z),)


@register
@dataclasses.dataclass(frozen=True)
class GRU(Cell):
    r"""$h_t = (1 - z) \odot n + z \odot h_{t-1}$ with gates $r$, $z$ and candidate $n$ (cho2014learning).

    The reset gate acts after the recurrent product, $n = \tanh(a_x + r \odot (W_h h + b_h))$, in B's code and in
    torch (`ott2016`), or before it, $n = \tanh(a_x + W_h (r \odot h) + b_h)$, as Cho et al. write (`cho2014`).
    A reports a GRU but released no code for it.
    """

    reference: ClassVar[str] = "cho2014learning"
    gate_names: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    reset: str = "ott2016"  # or "cho2014"

    def __post_init__(self):
        if self.reset not in ("ott2016", "cho2014"):
            raise InputError(f"cell 'gru' has no reset {self.reset!r}; known: cho2014, ott2016")

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """Two gates and a candidate."""
        (h,) = values
        units = h.shape[-1]
        parts = (2 * units, units)
        x_gates, x_candidate = zx.split(parts, dim=1)
        if self.reset == "ott2016":
            h_gates, h_candidate = product(h, norms.ALL).split(parts, dim=1)
            r, z = torch.sigmoid(x_gates + h_gates).chunk(2, dim=1)
            n = torch.tanh(torch.addcmul(x_candidate, r, h_candidate))
        else:
            h_gates = product(h, slice(0, 2 * units))
            r, z = torch.sigmoid(x_gates + h_gates).chunk(2, dim=1)
            n = torch.tanh(x_candidate + product(r * h, slice(2 * units, 3 * units)))
        return (torch.lerp(n, h, z),)


@register
@dataclasses.dataclass(frozen=True)
class LSTM(Cell):
    r"""$c_t = f \odot c_{t-1} + i \odot g$, $h_t = o \odot \tanh(c_t)$ (hochreiter1997long).

    Gates $i, f, g, o$. With `normalize_cell` the output is $o \odot \tanh(N(c_t))$: A's code has it, the
    parameters that its Algorithm 1 lists do not. The forget bias starts at 1, as in A.
    """

    reference: ClassVar[str] = "hochreiter1997long"
    gate_names: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    forget_gate: ClassVar[str] = "f"
    memories: ClassVar[int] = 2
    normalize_cell: bool = False

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """Three gates and a candidate."""
        h, c = values
        units = h.shape[-1]
        # One split has one gradient; the gradient of each slice would fill a zero tensor.
        gates, g, o = (zx + product(h, norms.ALL)).split((2 * units, units, units), dim=1)
        i, f = torch.sigmoid(gates).chunk(2, dim=1)
        c = torch.addcmul(f * c, i, torch.tanh(g))
        return torch.sigmoid(o) * torch.tanh(normalize(c)), c


@register
@dataclasses.dataclass(frozen=True)
class MinGRU(Cell):
    r"""$h_t = (1 - z_t) \odot h_{t-1} + z_t \odot g(\tilde h_t)$ with $z_t$ and $\tilde h_t$ of the input alone.

    No recurrent matrix and no reset gate, so that training could run over all steps at once (feng2024were).
    $g(x) = x + \frac12$ where $x \ge 0$, else $\sigma(x)$, keeps the state positive, as the source's code does.
    """

    reference: ClassVar[str] = "feng2024were"
    gate_names: ClassVar[tuple[str, ...]] = ("z", "h")
    recurrent: ClassVar[bool] = False

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """One gate and a candidate."""
        z, candidate = zx.chunk(2, dim=1)
        return (torch.lerp(values[0], positive(candidate), torch.sigmoid(z)),)


@register
@dataclasses.dataclass(frozen=True)
class MinLSTM(Cell):
    r"""$h_t = f'_t \odot h_{t-1} + i'_t \odot g(\tilde h_t)$ with $f' = f / (f + i)$, $i' = i / (f + i)$.

    Gates and candidate are of the input alone (feng2024were); $g$ as in `min_gru`. The forget bias starts at 1,
    as in the LSTM here.
    """

    reference: ClassVar[str] = "feng2024were"
    gate_names: ClassVar[tuple[str, ...]] = ("i", "f", "h")
    forget_gate: ClassVar[str] = "f"
    recurrent: ClassVar[bool] = False

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """Two gates scaled to a sum of one, and a candidate."""
        i, f, candidate = zx.chunk(3, dim=1)
        share = torch.sigmoid(F.softplus(-i) - F.softplus(-f))  # f / (f + i)
        return (torch.lerp(positive(candidate), values[0], share),)


def positive(x: Tensor) -> Tensor:
    """The candidate activation of feng2024were: continuous, increasing and above zero."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


@register
@dataclasses.dataclass(frozen=True)
class MLGRU(Cell):
    r"""$h_t = f_t \odot h_{t-1} + (1 - f_t) \odot c_t$ and the output $o_t = g_t \odot h_t$.

    $f_t, g_t$ are sigmoids and $c_t$ a SiLU of the input alone (zhu2024scalable). The source's output projection
    is the matrix that follows here: the readout or the next layer's.
    """

    reference: ClassVar[str] = "zhu2024scalable"
    gate_names: ClassVar[tuple[str, ...]] = ("f", "c", "g")
    memories: ClassVar[int] = 2
    recurrent: ClassVar[bool] = False

    def step(self, zx: Rows, values: Values, product: Product, normalize: Normalize) -> Values:
        """A forget gate, a candidate and an output gate."""
        f, candidate, g = zx.chunk(3, dim=1)
        h = torch.lerp(F.silu(candidate), values[1], torch.sigmoid(f))
        return torch.sigmoid(g) * h, h


def parse_parts(quantized: str) -> frozenset[str]:
    """Returns the parts of a network that a text like `input+recurrent` names. Raises `InputError` for an unknown one.

    >>> sorted(parse_parts("input+recurrent"))
    ['input', 'recurrent']
    """
    parts = frozenset(quantized.split("+"))
    for part in sorted(parts - set(PARTS)):
        raise InputError(f"cannot quantize {part!r}; known: {', '.join(PARTS)}, joined by +")
    return parts
