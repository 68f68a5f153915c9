r"""The step from one node and voltage to another, and its error.

Areas go by the densities of the rows `node` in `data/technology/scaling.csv`, energies by $a V^2 + b V + c$ of their
node, which Stillmaker and Baas fitted to simulations of inverters; between nodes both are interpolated on a double
logarithmic scale. Below 65 nm there is a process for speed and one for low power: the step is an interval over both.

The ledger measures the error: the same lanes are mapped onto libraries of several nodes and voltages, and two libraries
of one node already differ. The largest factor by which a lane misses the step from one library to another widens every
step.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from lowbit.hardware import libraries, technology
from lowbit.hardware.technology import Price
from lowbit.registry import InputError

KINDS = ("high performance", "low power")
MEASURED = {"area": ("area",), "energy": ("energy_settled", "energy_glitches")}  # quantities of lanes in the ledger


class Interval(NamedTuple):
    """The two ends of a value."""

    low: float
    high: float

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high)

    def times(self, factor: float | int) -> "Interval":
        """Both ends times a number that is not negative."""
        return Interval(self.low * factor, self.high * factor)


class Process(NamedTuple):
    """A node and a supply voltage."""

    node_nm: float
    voltage_v: float


def of(library: str) -> Process:
    """The process of a cell library."""
    entry = libraries.build(library)
    return Process(entry.node_nm, entry.voltage_v)


def step(quantity: str, start: Process, end: Process) -> Interval:
    """The factor of an `area` or an `energy` from one process to another, with the error of such steps."""
    exact, factor = formula(quantity, start, end), error(quantity)
    return Interval(exact.low / factor, exact.high * factor)


def formula(quantity: str, start: Process, end: Process) -> Interval:
    """The step without its error, over the kinds of processes; raises `InputError` outside the range of the rows."""
    ratios = [_level(quantity, kind, end) / _level(quantity, kind, start) for kind in KINDS]
    return Interval(min(ratios), max(ratios))


@functools.cache
def error(quantity: str) -> float:
    """The largest factor by which a lane of the ledger misses the step between two libraries; at least 1."""
    lanes: dict[tuple[str, str], dict[str, float]] = {}
    for row in technology.prices():
        if row.item.startswith("lane ") and row.quantity in MEASURED[quantity]:
            lanes.setdefault((row.item, row.quantity), {})[row.library] = row.value
    worst = 0.0
    for values in lanes.values():
        for one, other in itertools.combinations(values, 2):
            expected = formula(quantity, of(one), of(other))
            measured = values[other] / values[one]
            worst = max(worst, math.log(measured / expected.low), math.log(expected.high / measured))
    return math.exp(worst)


def _level(quantity: str, kind: str, process: Process) -> float:
    """A quantity on the scale that all nodes share."""
    nodes: dict[float, dict[str, Price]] = {}
    for row in technology.prices():
        if row.table == "scaling" and not any(row.item.endswith(other) for other in KINDS if other != kind):
            nodes.setdefault(row.node_nm, {})[row.quantity] = row
    below = max((node for node in nodes if node <= process.node_nm), default=None)
    above = min((node for node in nodes if node >= process.node_nm), default=None)
    if below is None or above is None:
        raise InputError(f"no step from or to {process.node_nm:g} nm; known: {min(nodes):g} to {max(nodes):g} nm")
    values = [_value(quantity, nodes[node], process) for node in (below, above)]
    return math.exp(np.interp(math.log(process.node_nm), np.log([below, above]), np.log(values)))


def _value(quantity: str, rows: dict[str, Price], process: Process) -> float:
    if quantity == "area":
        return rows["area"].value
    value = sum(rows[f"energy_v{power}"].value * process.voltage_v**power for power in range(3))
    if value <= 0:
        raise InputError(f"no energy at {process.voltage_v:g} V around {process.node_nm:g} nm: the voltage is too low")
    return value
