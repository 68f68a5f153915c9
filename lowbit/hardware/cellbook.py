"""The cells of a library as numbers: capacitances, and energy and delay at the load that a netlist puts on them.

Energies and delays are means over rising and falling edges and over the states of other pins, at the slew that the
library is said to be used with (lowbit.hardware.libraries).
"""

import dataclasses
import functools

import numpy as np

from lowbit.hardware import liberty
from lowbit.hardware.liberty import Group, numbers
from lowbit.hardware.libraries import Library

SUFFIX = {"p": 1e-12, "f": 1e-15, "n": 1e-9, "u": 1e-6, "m": 1e-3}


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table over slew and load, already at its slew."""

    loads: tuple[float, ...]  # empty where it does not depend on the load
    values: tuple[float, ...]

    def at(self, load: float) -> float:
        """The value at a load, held at both ends."""
        return float(np.interp(load, self.loads, self.values)) if self.loads else self.values[0]


@dataclasses.dataclass(frozen=True)
class Output:
    """An output pin."""

    function: str
    energies: tuple[Grid, ...]  # J an edge, by load in F
    delays: tuple[Grid, ...]  # s

    def energy_j(self, load_f: float) -> float:
        """What the cell itself takes for an edge, the charge of the load apart."""
        return float(np.mean([grid.at(load_f) for grid in self.energies])) if self.energies else 0.0

    def delay_s(self, load_f: float) -> float:
        """From input to output."""
        return float(np.mean([grid.at(load_f) for grid in self.delays])) if self.delays else 0.0


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell."""

    name: str
    area_um2: float
    leakage_w: float
    inputs: dict[str, float]  # F of each pin
    taps: dict[str, float]  # J an edge of an input that changes no output
    outputs: dict[str, Output]
    state: tuple[str, str] | None  # of a flip-flop: the names of its value and of its complement
    next: str = ""  # what it takes
    clock: str = ""


@functools.cache
def cells(library: Library) -> dict[str, Cell]:
    """All cells of a library by name."""
    group = liberty.parse(library.text())
    templates = {each.args[0]: each for each in group.groups if each.name.endswith("_template")}
    size, prefix = group.attributes["capacitive_load_unit"].split(",")
    farad = float(size) * SUFFIX[prefix.strip().lower()[0]]
    second, watt = (_unit(group.attributes[name]) for name in ("time_unit", "leakage_power_unit"))
    read = functools.partial(_grids, templates=templates, slew=library.slew_ns * 1e-9 / second, load=farad)

    def cell(told: Group) -> Cell:
        pins = {pin.args[0]: pin for pin in told.all("pin")}
        inputs = {name: pin for name, pin in pins.items() if pin.attributes.get("direction") == "input"}
        outputs = {name: pin for name, pin in pins.items() if pin.attributes.get("direction") == "output"}
        flop = (told.all("ff") or [None])[0]
        leakage = [each.number("value") for each in told.all("leakage_power")]
        return Cell(
            told.args[0],
            told.number("area"),
            (told.number("cell_leakage_power") or float(np.mean(leakage or [0.0]))) * watt,
            {name: pin.number("capacitance") * farad for name, pin in inputs.items()},
            {name: _mean(read(pin, "internal_power", "power", farad)) for name, pin in inputs.items()},
            {
                name: Output(
                    pin.attributes.get("function", ""),
                    read(pin, "internal_power", "power", farad),
                    read(pin, "timing", "cell_", second),
                )
                for name, pin in outputs.items()
            },
            flop and flop.args,
            flop.attributes["next_state"] if flop else "",
            flop.attributes["clocked_on"] if flop else "",
        )

    return {told.args[0]: cell(told) for told in group.all("cell")}


def _unit(text: str) -> float:
    """`1ns` as a number of its base unit."""
    digits = text.rstrip("smhzWAVF")
    return float(digits[:-1]) * SUFFIX[digits[-1]] if digits[-1].isalpha() else float(digits)


def _mean(grids: tuple[Grid, ...]) -> float:
    return float(np.mean([grid.at(0.0) for grid in grids])) if grids else 0.0


def _grids(
    pin: Group, kind: str, part: str, unit: float, templates: dict[str, Group], slew: float, load: float
) -> tuple[Grid, ...]:
    """The tables of a pin whose name has `part` in it, in units of `unit`."""
    tables = [table for group in pin.all(kind) for table in group.groups if part in table.name]
    return tuple(_grid(table, templates, unit, slew, load) for table in tables)


def _grid(table: Group, templates: dict[str, Group], unit: float, slew: float, load: float) -> Grid:
    values = np.array(numbers(table.attributes["values"])) * unit
    if len(values) == 1:
        return Grid((), (float(values[0]),))
    template = templates[table.args[0]].attributes
    axes = []
    for number in ("1", "2"):
        told = table.attributes.get(f"index_{number}", template.get(f"index_{number}"))
        if f"variable_{number}" in template and told:
            axes.append(("capacitance" in template[f"variable_{number}"], np.array(numbers(told))))
    grid = values.reshape([len(points) for _, points in axes])
    for axis in reversed(range(len(axes))):
        is_load, points = axes[axis]
        if not is_load:
            grid = np.apply_along_axis(lambda row, points=points: np.interp(slew, points, row), axis, grid)
            axes.pop(axis)
    if not axes:
        return Grid((), (float(grid),))
    return Grid(tuple((axes[0][1] * load).tolist()), tuple(grid.tolist()))
