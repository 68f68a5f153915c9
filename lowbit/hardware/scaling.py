r"""A step from one node and voltage to another, and how wrong it may be.

Areas go by the densities of the rows `node` in `data/technology/scaling.csv`, energies by $a V^2 + b V + c$ of their
node, which Stillmaker and Baas fitted to simulations of inverters; between nodes both are interpolated on a double
logarithmic scale. Below 65 nm there is a process for speed and one for low power: the step is an interval over both.

The ledger tells what that is worth: the same lanes were mapped onto libraries of several nodes and voltages, and two
libraries of one node already differ. The largest factor by which a lane misses the step from one library to another
widens every step.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from lowbit.hardware import libraries, technology
from lowbit.hardware.interval import Interval
from lowbit.hardware.technology import Price
from lowbit.registry import InputError

KINDS = ("high performance", "low power")
MEASURED = {"area": ("area",), "energy": ("energy_settled", "energy_glitches")}  # quantities of lanes in the ledger


class Process(NamedTuple):
    """A node, and the voltage that it is used at."""

    node_nm: float
    voltage_v: float


def of(library: str) -> Process:
    """That of a cell library."""
    told = libraries.build(library)
    return Process(told.node_nm, told.voltage_v)


def step(quantity: str, start: Process, end: Process) -> Interval:
    """What an `area` or an `energy` is multiplied by from one process to another, with the error of such steps."""
    plain, wrong = formula(quantity, start, end), error(quantity)
    return Interval(plain.low / wrong, plain.high * wrong)


def formula(quantity: str, start: Process, end: Process) -> Interval:
    """The step without its error, over the kinds of processes; raises `InputError` for what the rows do not reach."""
    ratios = [_level(quantity, kind, end) / _level(quantity, kind, start) for kind in KINDS]
    return Interval(min(ratios), max(ratios))


@functools.cache
def error(quantity: str) -> float:
    """The largest factor by which a lane of the ledger misses the step between two libraries; at least 1."""
    rows = [row for row in technology.prices() if row.item.startswith("lane ") and row.quantity in MEASURED[quantity]]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row.item, row.quantity), {})[row.library] = row.value
    worst = 0.0
    for values in found.values():
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
