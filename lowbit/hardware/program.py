"""The program of a machine: a trained layer as whole numbers, one pass for each plane of its two matrices."""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Format
from lowbit.hardware.lanes import Multiply
from lowbit.layers.recurrent import Recurrent
from lowbit.quantizers.planes import Plane
from lowbit.registry import InputError


class Plan(NamedTuple):
    """How a cell uses the engine: the field that each sum of a row is added to, and what follows."""

    gates: int
    fields: int  # pre-activations that are stored apart
    x: tuple[int, ...]  # the field of each gate's input product
    h: tuple[int, ...]  # the field of each gate's recurrent product
    latency: int  # cycles from the shadow registers to the new output
    lookups: int  # in tables, of a unit
    before: str  # the part of the old state that is read again: "h", "c" or nothing


MAX_PLACES = 40
PLANS = {
    "lstm": Plan(4, 4, (0, 1, 2, 3), (0, 1, 2, 3), 6, 5, "c"),
    "gru": Plan(3, 4, (0, 1, 2), (0, 1, 3), 6, 3, "h"),
    "rnn": Plan(1, 1, (0,), (0,), 4, 1, ""),
    "relu_rnn": Plan(1, 1, (0,), (0,), 4, 0, ""),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """One sweep of the lanes over a plane: $y = (a\\,s + o) \\gg p$ with the sum $a$ of each row, then saturated.

    The offset holds the bias and the half that makes the shift round to the nearest.
    """

    recurrent: bool  # over h, else over x
    weights: Int64[np.ndarray, "rows cols"]
    scale: Int64[np.ndarray, "slots rows"]
    offset: Int64[np.ndarray, "slots rows"]
    places: int


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A layer for a machine; rows are stacked by gates as in lowbit.layers.cells."""

    machine: Machine
    cell: str
    passes: tuple[Pass, ...]  # over x, then over h
    start: Int64[np.ndarray, "memories hidden"]
    inputs: Format | None  # of x; none: x are symbols, each one column
    reach: int = 0  # outputs are multiplied by this power of two

    @property
    def hidden(self) -> int:
        """The hidden size."""
        return self.start.shape[1]

    @property
    def plan(self) -> Plan:
        """The plan of the cell."""
        return PLANS[self.cell]

    @property
    def outputs(self) -> Format:
        """The format of outputs as real numbers."""
        return Format(self.machine.act_bits, self.machine.activation.fraction - self.reach)


def assemble(layer: Recurrent, machine: Machine, inputs: Format | None, reach: int = 0) -> Program:
    r"""The program of a trained layer with its norms folded; `inputs` is the format of x, none for symbols.

    Outputs of a relu go up to $2^{reach}$, and larger ones saturate: a relu commutes with positive factors, so the
    machine computes everything over $2^{reach}$. Outputs of other cells are below 1. Raises `InputError` for what the
    datapath lacks: cells that are not in `PLANS`, norms that depend on the input, rounded outputs, and weights that
    the machine's lanes have no code for.
    """
    cell, shrink = type(layer.cell).__name__.lower(), 2.0**-reach
    if cell == "rnn" and layer.cell.activation == "relu":
        cell = "relu_rnn"
    unsupported = {
        f"cell {cell!r}": cell not in PLANS,
        "a reset before the product": getattr(layer.cell, "reset", "ott2016") != "ott2016",
        "outputs past 1 but of a relu": reach != 0 and cell != "relu_rnn",
        "a normalized cell": layer.cell.normalize_cell,
        "rounded outputs": bool(layer.activations.levels),
    }
    for feature, present in unsupported.items():
        if present:
            supported = "lstm, gru(reset='ott2016'), rnn with tanh or relu, outputs as they are"
            raise InputError(f"the datapath has no {feature}; it has: {supported}")
    fraction = machine.symbol.fraction if inputs is None else inputs.fraction
    with torch.no_grad():
        weights = layer.round(sample=False)
        scale, shift = layer.norm_x.fold(weights.x)
        planes = _planes(layer, "input", layer.weight_x, machine)
        passes = sweeps(planes, scale * shrink, (shift + weights.bias_x) * shrink, machine, fraction, False)
        scale, shift = layer.norm_h.fold(weights.h)
        planes = _planes(layer, "recurrent", layer.weight_h, machine)
        bias = (shift + weights.bias_h) * shrink
        passes += sweeps(planes, scale, bias, machine, machine.activation.fraction, True)
        start = torch.zeros(layer.cell.memories, layer.hidden) if layer.start == "zero" else layer.first
    formats = (machine.activation, machine.wide)[: layer.cell.memories]
    first = [form.quantize(row * shrink) for form, row in zip(formats, start.double().numpy(), strict=True)]
    return Program(machine, cell, passes, np.stack(first), inputs, reach)


def _planes(layer: Recurrent, part: str, master: Tensor, machine: Machine) -> tuple[Plane, ...]:
    if part in layer.quantized and layer.quantizer.levels:
        return layer.quantizer.planes(master, layer.site(part))
    return (nearest(master, machine),)


def sweeps(
    planes: tuple[Plane, ...],
    scale: Float[Tensor, "slots rows"],
    bias: Float[Tensor, "slots rows"],
    machine: Machine,
    fraction: int,
    recurrent: bool,
) -> tuple[Pass, ...]:
    """A pass for each plane of a matrix; its product with numbers of `fraction` places is scaled and shifted.

    Raises `InputError` for weights that the machine's lanes have no code for.
    """
    products = planes[0].whole.shape[1]
    if products > machine.depth and not machine.acc_bits:
        raise InputError(f"sums of {products} products are past the machine's depth of {machine.depth}")
    biases = [bias, *[torch.zeros_like(bias)] * (len(planes) - 1)]
    return tuple(_pass(*pair, scale, machine, fraction, recurrent) for pair in zip(planes, biases, strict=True))


def nearest(w: Float[Tensor, "rows cols"], machine: Machine) -> Plane:
    """Full precision, rounded to the weights of a multiplying lane with one power of two for the matrix."""
    lane = machine.arithmetic
    if not isinstance(lane, Multiply):
        raise InputError(f"a {lane.title} lane cannot carry full precision; multiply(bits=12) can")
    return rounded(w, lane.bits)


def rounded(w: Float[Tensor, "rows cols"], bits: int) -> Plane:
    """Signed whole numbers of `bits` bits and one power of two, the finest that the largest weight allows."""
    top = (1 << (bits - 1)) - 1
    fraction = int(np.floor(np.log2(top / max(float(w.abs().max()), 2.0**-20))))
    whole = torch.floor(w.double() * 2.0**fraction + 0.5).clamp(-top, top).long()
    return Plane(whole, w.new_full((len(w),), 2.0**-fraction))


def format_up_to(limit: float, bits: int) -> Format:
    """The finest format of `bits` bits that goes up to `limit`, or to the last step before a power of two.

    >>> format_up_to(1.0, 12), format_up_to(1.01, 12)
    (Format(bits=12, fraction=11), Format(bits=12, fraction=10))
    """
    return Format(bits, bits - 1 - int(np.ceil(np.log2(max(limit, 2.0**-20)))))


def _pass(plane: Plane, bias: Tensor, scale: Tensor, machine: Machine, fraction: int, recurrent: bool) -> Pass:
    whole = plane.whole.numpy()
    common = int(np.gcd.reduce(whole, axis=None)) or 1
    whole = whole // common
    machine.arithmetic.encode(whole)  # raises InputError
    factor = scale.double().numpy() * (plane.factor.double().numpy() * common)
    factor = np.where(whole.any(axis=1), factor, 0.0)  # the factor of a row of zeros can be anything
    mantissa, places = _mantissas(factor * 2.0 ** (machine.wide.fraction - fraction), machine.scale_bits)
    if (int(np.abs(whole).sum(1).max()) << (machine.act_bits + machine.scale_bits)).bit_length() > 62:
        raise InputError("a sum times its scale is past 64 bits; take fewer bits, of scale or of weights")
    offset = Format(machine.wide.bits + places, machine.wide.fraction + places).quantize(bias.double().numpy())
    offset = np.broadcast_to(offset, mantissa.shape) + (1 << (places - 1))
    return Pass(recurrent, whole, mantissa, offset, places)


def _mantissas(factor: Float[np.ndarray, "slots rows"], bits: int) -> tuple[Int64[np.ndarray, "slots rows"], int]:
    """Factors as whole numbers of `bits` bits over a power of two that all rows share."""
    top = (1 << (bits - 1)) - 1
    places = int(np.floor(np.log2(top / max(float(np.abs(factor).max()), 2.0**-30))))
    if places < 1:
        raise InputError(f"a factor of {np.abs(factor).max():.1f} is more than {bits} bits of scale can hold")
    places = min(places, MAX_PLACES)
    return np.floor(factor * 2.0**places + 0.5).astype(np.int64), places
