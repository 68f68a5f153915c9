r"""The activity of a mapped netlist without operands, as power tools assume it.

Each net has a probability $P$ of being 1 and a density $D$ of transitions a cycle. Where the inputs of a gate are
independent and no two change at once, its output $y$ has (najm1993transition)

$$D(y) = \sum_i P\Big(\frac{\partial y}{\partial x_i}\Big)\, D(x_i), \qquad
\frac{\partial y}{\partial x_i} = y|_{x_i = 1} \oplus y|_{x_i = 0}.$$

In a netlist neither holds: paths reconverge, and all registers change at one edge. A register has the values of its
input, but changes once a cycle at most, as in OpenSTA (cherry2025opensta), whose inputs are 1 half of the time and
change in one cycle of ten.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lowbit.hardware import liberty
from lowbit.hardware.activity import Netlist
from lowbit.hardware.cellbook import Cell
from lowbit.registry import InputError

TOLERANCE = 1e-6  # of a sweep that changes nothing more
SWEEPS = 2000


class Signal(NamedTuple):
    """The assumed activity of a net."""

    ones: float  # probability of being 1
    density: float  # transitions a cycle


ASSUMED = Signal(0.5, 0.1)  # of an input (cherry2025opensta)
CONSTANTS = {"0": Signal(0.0, 0.0), "1": Signal(1.0, 0.0), "x": Signal(0.0, 0.0)}
Signals = dict[int | str, Signal]


def assumed(netlist: Netlist, constants: dict[str, int]) -> dict[int, Signal]:
    """All nets with inputs as assumed, except ports that are `constants`; raises `InputError`.

    Registers start at even odds and without transitions; sweeps over the netlist go on until they converge.
    """
    driven = {net for *_, net in netlist.gates} | {net for *_, net in _registers(netlist)}
    signals: Signals = dict(CONSTANTS)
    for port, nets in netlist.ports.items():
        signal = CONSTANTS[str(constants[port])] if port in constants else ASSUMED
        signals |= {net: signal for net in nets if net not in driven and isinstance(net, int)}
    signals |= {net: Signal(0.5, 0.0) for *_, net in _registers(netlist)}
    for _ in range(SWEEPS):
        for cell, pin, pins, net in netlist.gates:
            signals[net] = through(cell.outputs[pin].function, pins, signals)
        change = 0.0
        for cell, inverted, pins, net in _registers(netlist):
            ones, density = through(cell.next, pins, signals)
            new = Signal(1 - ones if inverted else ones, min(density, 1.0))
            change = max(change, *(abs(a - b) for a, b in zip(new, signals[net], strict=True)))
            signals[net] = new
        if change < TOLERANCE:
            return {net: signal for net, signal in signals.items() if isinstance(net, int)}
    raise InputError(f"densities of transitions do not converge within {SWEEPS} sweeps")


def _registers(netlist: Netlist) -> list[tuple[Cell, bool, dict, int]]:
    """The outputs of flip-flops, and whether each is the complement."""
    return [
        (cell, output.function != cell.state[0], pins, pins[pin])
        for cell, pins in netlist.flops
        for pin, output in cell.outputs.items()
        if pin in pins
    ]


def through(text: str, pins: dict[str, int | str], signals: Signals) -> Signal:
    """The signal of a Liberty function of independent pins."""
    names, table = _sensitivity(text)
    inputs = [signals[pins[name]] for name in names]
    odds = np.ones(1)
    for signal in inputs:
        odds = np.outer(odds, (1 - signal.ones, signal.ones)).ravel()
    ones, *shares = (table @ odds).tolist()
    return Signal(ones, sum(share * signal.density for share, signal in zip(shares, inputs, strict=True)))


@functools.cache
def _sensitivity(text: str) -> tuple[list[str], Float[np.ndarray, "rows minterms"]]:
    """The pins of a function, its truth table, and a row for each pin: the minterms in which the pin decides.

    >>> _sensitivity("A*B")[1].tolist()
    [[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    if text in CONSTANTS:
        return [], np.full((1, 1), CONSTANTS[text].ones)
    function = liberty.function(text)
    names = list(function.pins)
    bits = np.indices((2,) * len(names)).astype(bool)
    value = function(dict(zip(names, bits, strict=True)))
    rows = [value, *(value ^ np.flip(value, axis) for axis in range(len(names)))]
    return names, np.array([row.ravel() for row in rows], float)
