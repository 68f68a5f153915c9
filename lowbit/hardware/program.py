"""What a machine is loaded with: a trained layer as whole numbers, a pass for each plane of its two matrices."""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Format
from lowbit.hardware.lanes import Multiply
from lowbit.layers.cells import Cell
from lowbit.layers.recurrent import Recurrent
from lowbit.quantizers.planes import Plane
from lowbit.registry import InputError


class Plan(NamedTuple):
    """Where the sums of a cell go, a row's gate and its product choose the field it is added to, and what follows."""

    gates: int
    fields: int  # pre-activations kept apart
    x: tuple[int, ...]  # the field of each gate's input product
    h: tuple[int, ...]  # and of its recurrent product
    latency: int  # cycles from the shadow registers to the new output
    lookups: int  # in tables, of a unit
    before: str  # what of the state is read once more: "h", "c" or nothing


MOST_PLACES = 40
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
    reach: int = 0  # outputs stand for this power of two times what the machine's format says

    @property
    def hidden(self) -> int:
        """Units."""
        return self.start.shape[1]

    @property
    def plan(self) -> Plan:
        """Gates and fields."""
        return PLANS[self.cell]

    @property
    def outputs(self) -> Format:
        """The format of outputs as real numbers."""
        return Format(self.machine.act_bits, self.machine.activation.fraction - self.reach)


def assemble(layer: Recurrent, machine: Machine, inputs: Format | None, reach: int = 0) -> Program:
    r"""The program of a trained layer with its norms folded; `inputs` is the format of x, none for symbols.

    Outputs of a relu go up to $2^{reach}$, and larger ones saturate. A relu takes any positive factor out of itself,
    so the machine works on everything over $2^{reach}$ and never knows; other cells stay below 1. Raises `InputError`
    for what the datapath lacks: cells but those of `PLANS`, norms that depend on the input, rounded outputs, and
    weights that the machine's lanes have no code for.
    """
    cell, shrink = _name(layer.cell), 2.0**-reach
    refused = {
        f"cell {cell!r}": cell not in PLANS,
        "a reset before the product": getattr(layer.cell, "reset", "ott2016") != "ott2016",
        "outputs past 1 but of a relu": reach != 0 and cell != "relu_rnn",
        "a normalized cell": layer.cell.normalize_cell,
        "rounded outputs": bool(layer.activations.levels),
    }
    for thing, asked in refused.items():
        if asked:
            known = "lstm, gru(reset='ott2016'), rnn with tanh or relu, outputs as they are"
            raise InputError(f"the datapath has no {thing}; it has: {known}")
    fraction = machine.symbol.fraction if inputs is None else inputs.fraction
    with torch.no_grad():
        w = layer.round(sample=False)
        scale, shift = layer.norm_x.fold(w.x)
        passes = _passes(layer, "input", scale * shrink, (shift + w.bias_x) * shrink, machine, fraction)
        scale, shift = layer.norm_h.fold(w.h)
        bias = (shift + w.bias_h) * shrink
        passes += _passes(layer, "recurrent", scale, bias, machine, machine.activation.fraction)
        start = torch.zeros(layer.cell.memories, layer.hidden) if layer.start == "zero" else layer.first
    formats = (machine.activation, machine.wide)[: layer.cell.memories]
    first = [form.quantize(row * shrink) for form, row in zip(formats, start.double().numpy(), strict=True)]
    return Program(machine, cell, passes, np.stack(first), inputs, reach)


def _name(cell: Cell) -> str:
    """What a plan is found by."""
    name = type(cell).__name__.lower()
    return "relu_rnn" if name == "rnn" and cell.activation == "relu" else name


def _passes(
    layer: Recurrent, part: str, scale: Tensor, bias: Tensor, machine: Machine, fraction: int
) -> tuple[Pass, ...]:
    master = {"input": layer.weight_x, "recurrent": layer.weight_h}[part]
    quantized = part in layer.quantized and layer.quantizer.levels
    planes = layer.quantizer.planes(master, layer.site(part)) if quantized else (nearest(master, machine),)
    return sweeps(planes, scale, bias, machine, fraction, part == "recurrent")


def sweeps(
    planes: tuple[Plane, ...],
    scale: Float[Tensor, "slots rows"],
    bias: Float[Tensor, "slots rows"],
    machine: Machine,
    fraction: int,
    recurrent: bool,
) -> tuple[Pass, ...]:
    """A pass for each plane of a matrix, whose product with numbers of `fraction` places is scaled and shifted.

    Raises `InputError` for weights that the machine's lanes have no code for.
    """
    if planes[0].whole.shape[1] > machine.depth and not machine.acc_bits:
        sums = planes[0].whole.shape[1]
        raise InputError(f"sums of {sums} products are past the machine's depth of {machine.depth}")
    return tuple(
        _pass(plane, scale, bias if number == 0 else torch.zeros_like(bias), machine, fraction, recurrent)
        for number, plane in enumerate(planes)
    )


def nearest(w: Float[Tensor, "rows cols"], machine: Machine) -> Plane:
    """Full precision, rounded to what the machine multiplies by, with one power of two for the matrix."""
    arithmetic = machine.arithmetic
    if not isinstance(arithmetic, Multiply):
        raise InputError(f"a {arithmetic.title} lane cannot carry full precision; multiply(bits=12) can")
    return rounded(w, arithmetic.bits)


def rounded(w: Float[Tensor, "rows cols"], bits: int) -> Plane:
    """Signed whole numbers of so many bits and one power of two, the finest that the largest weight allows."""
    top = (1 << (bits - 1)) - 1
    fraction = int(np.floor(np.log2(top / max(float(w.abs().max()), 2.0**-20))))
    whole = torch.floor(w.double() * 2.0**fraction + 0.5).clamp(-top, top).long()
    return Plane(whole, w.new_full((len(w),), 2.0**-fraction))


def _pass(plane: Plane, scale: Tensor, bias: Tensor, machine: Machine, fraction: int, recurrent: bool) -> Pass:
    whole = plane.whole.numpy()
    common = int(np.gcd.reduce(whole, axis=None)) or 1
    whole = whole // common
    machine.arithmetic.encode(whole)  # refuses what the lanes cannot carry
    factor = scale.double().numpy() * (plane.factor.double().numpy() * common)
    factor = np.where(whole.any(axis=1), factor, 0.0)  # a row of zeros may come with any factor
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
    places = min(places, MOST_PLACES)
    return np.floor(factor * 2.0**places + 0.5).astype(np.int64), places
