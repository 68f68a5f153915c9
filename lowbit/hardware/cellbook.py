"""The cells of a library as numbers: capacitances, leakage, and energy and delay at the load of a netlist.

Energies and delays are means over rising and falling edges and over all groups of a pin, at the slew of
lowbit.hardware.libraries.
"""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float

from lowbit.hardware import leakage, liberty
from lowbit.hardware.liberty import Group, numbers
from lowbit.hardware.libraries import Library
from lowbit.registry import InputError

TABLES = {  # by kind of group: its template and the tables that count
    "timing": ("lu_table_template", {"cell_rise", "cell_fall"}),
    "internal_power": ("power_lut_template", {"rise_power", "fall_power", "power"}),
}
AXES = {"input_net_transition": "slew", "input_transition_time": "slew", "total_output_net_capacitance": "load"}
RAMP = 20.0, 80.0  # percent of the swing: the ends of a slew of `libraries`


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table over loads, at the slew of the library."""

    loads: tuple[float, ...]  # empty: the one value is of every load
    values: tuple[float, ...]

    def at(self, load: float) -> float:
        """The value at a load, constant past both ends."""
        return float(np.interp(load, self.loads, self.values)) if self.loads else self.values[0]


@dataclasses.dataclass(frozen=True)
class Output:
    """An output pin."""

    function: str
    energies: tuple[Grid, ...]  # J an edge, by load in F
    delays: tuple[Grid, ...]  # s

    def energy_j(self, load_f: float) -> float:
        """The energy of an edge without the charge of the load."""
        return _mean(self.energies, load_f)

    def delay_s(self, load_f: float) -> float:
        """The delay from the inputs, the mean over them."""
        return _mean(self.delays, load_f)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell."""

    name: str
    area_um2: float
    leakage_w: float
    inputs: dict[str, float]  # F of each pin
    taps: dict[str, float]  # J an edge of an input without a change of an output
    outputs: dict[str, Output]
    state: tuple[str, str] | None  # of a flip-flop: the names of its value and of its complement
    next: str = ""  # function of the value after an edge of the clock
    clock: str = ""


@functools.cache
def cells(library: Library) -> dict[str, Cell]:
    """All cells of a library by name; raises `InputError` that names the part that cannot be read."""
    try:
        reader = _reader(liberty.parse(library.text()), library.slew_ns)
        return {cell.name: cell for cell in map(reader.cell, reader.library.all("cell"))}
    except InputError as error:
        raise InputError(f"the cell library {library.name} cannot be read: {error}") from None


@dataclasses.dataclass(frozen=True)
class Reader:
    """A library with its units in F, s and J."""

    library: Group
    templates: dict[tuple[str, str], Group]  # by kind and name
    slew: float  # in the unit and with the thresholds of the library
    farad: float
    second: float
    joule: float

    def cell(self, group: Group) -> Cell:
        """One cell; raises `InputError`."""
        try:
            return self._cell(group)
        except InputError as error:
            raise InputError(f"{group}: {error}") from None

    def _cell(self, group: Group) -> Cell:
        if group.all("bus") or group.all("bundle"):
            raise InputError("buses and bundles of pins are not read")
        inputs, outputs = (_pins(group, direction) for direction in ("input", "output"))
        flop = next(iter(group.all("ff")), None)
        if flop and not (len(flop.args) == 2 and flop.attributes.keys() >= {"next_state", "clocked_on"}):
            raise InputError(f"{flop} lacks its two states, next_state or clocked_on")
        clocks = liberty.function(flop.attributes["clocked_on"]).pins if flop else ("",)
        if len(clocks) != 1:
            raise InputError(f"{flop} has {len(clocks)} clocks")
        capacitance = self.library.number("default_input_pin_cap")
        leaks = leakage.leakage(group, self.library.number("default_cell_leakage_power"))
        return Cell(
            group.args[0],
            group.number("area"),
            leaks and leaks * self.library.unit("leakage_power_unit", "W"),
            {name: pin.number("capacitance", capacitance) * self.farad for name, pin in inputs.items()},
            {name: _mean(self._grids(pin, "internal_power", self.joule), 0.0) for name, pin in inputs.items()},
            {
                name: Output(
                    pin.attributes.get("function", ""),
                    self._grids(pin, "internal_power", self.joule),
                    self._grids(pin, "timing", self.second),
                )
                for name, pin in outputs.items()
            },
            flop and flop.args,
            flop.attributes["next_state"] if flop else "",
            *clocks,
        )

    def _grids(self, pin: Group, kind: str, unit: float) -> tuple[Grid, ...]:
        """The tables of a pin, times `unit`; raises `InputError`."""
        template, names = TABLES[kind]
        groups = pin.all(kind)
        if len({group.attributes.get("related_pg_pin") for group in groups}) > 1:
            raise InputError(f"{pin} has {kind} of several rails")
        tables = [table for group in groups for table in group.groups if table.name in names]
        try:
            return tuple(self._grid(table, template, unit) for table in tables)
        except InputError as error:
            raise InputError(f"{pin}: {error}") from None

    def _grid(self, table: Group, template: str, unit: float) -> Grid:
        values, axes = np.array(numbers(table.attributes.get("values", ""))) * unit, self._axes(table, template)
        shape = tuple(map(len, axes.values()))
        if len(values) != math.prod(shape):
            raise InputError(f"{table} has {len(values)} values, must have {math.prod(shape)}")
        grid = values.reshape(shape)
        if "slew" in axes:
            at = list(axes).index("slew")
            grid = np.apply_along_axis(lambda row: np.interp(self.slew, axes["slew"], row), at, grid)
        if "load" not in axes:
            return Grid((), (float(grid),))
        return Grid(tuple((axes["load"] * self.farad).tolist()), tuple(grid.tolist()))

    def _axes(self, table: Group, kind: str) -> dict[str, Float[np.ndarray, " points"]]:
        """The points of a table by axis, in its order."""
        axes: dict[str, np.ndarray] = {}
        if table.args == ("scalar",):
            return axes
        if (kind, *table.args) not in self.templates:
            raise InputError(f"{table} has no {kind}")
        template = self.templates[(kind, *table.args)].attributes
        for number in "123":
            if variable := template.get(f"variable_{number}"):
                index = f"index_{number}"
                axis, points = AXES.get(variable), np.array(numbers((template | table.attributes).get(index, "")))
                if axis is None or axis in axes or not points.size or (np.diff(points) <= 0).any():
                    raise InputError(f"{table} cannot be read over {variable}")
                axes[axis] = points
        return axes


def _reader(library: Group, slew_ns: float) -> Reader:
    if (model := library.attributes.get("delay_model", "table_lookup")) != "table_lookup":
        raise InputError(f"delay_model is {model}, must be table_lookup")
    names = [cell.args for cell in library.all("cell")]
    if len(set(names)) < len(names) or any(len(name) != 1 for name in names):
        raise InputError("a cell has no name of its own")
    templates = {(group.name, *group.args): group for group in library.groups if group.name.endswith("_template")}
    farad, second = library.unit("capacitive_load_unit", "F"), library.unit("time_unit", "s")
    slew = slew_ns * 1e-9 / second * _slew_scale(library)
    return Reader(library, templates, slew, farad, second, farad * library.unit("voltage_unit", "V") ** 2)


def _slew_scale(library: Group) -> float:
    """The slew of a ramp as the library measures it, over the time of the ramp from 20 to 80 %."""
    spans = {
        library.number(f"slew_upper_threshold_pct_{edge}", RAMP[1])
        - library.number(f"slew_lower_threshold_pct_{edge}", RAMP[0])
        for edge in ("rise", "fall")
    }
    (span, *others), derate = spans, library.number("slew_derate_from_library", 1.0)
    if others or not 0 < span <= 100 or derate <= 0:
        raise InputError("slew thresholds differ between edges, or are none")
    return span / ((RAMP[1] - RAMP[0]) * derate)


def _pins(cell: Group, direction: str) -> dict[str, Group]:
    pins = [(name, pin) for pin in cell.all("pin") for name in pin.args]
    if len({name for name, _ in pins}) < len(pins):
        raise InputError("a pin stands twice")
    return {name: pin for name, pin in pins if pin.attributes.get("direction") == direction}


def _mean(grids: tuple[Grid, ...], load: float) -> float:
    return float(np.mean([grid.at(load) for grid in grids])) if grids else 0.0
