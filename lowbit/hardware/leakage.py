"""The leakage of a cell: the library's own figure, or else the mean over the states of its pins.

Every state of the inputs, and of the value of a flip-flop or latch, has the same share. The leakage of a state is that
of the group whose `when` holds in it, or else that of the group without `when`; without such a group the mean is over
the states with a leakage. Rails add up.
"""

import numpy as np

from lowbit.hardware import liberty
from lowbit.hardware.liberty import Group
from lowbit.registry import InputError

MAX_PINS = 16  # whose states are enumerated

States = dict[str, np.ndarray]  # the values of pins, state by state


def leakage(cell: Group, default: float) -> float:
    """The leakage in the unit of the library, `default` where the cell has none; raises `InputError`."""
    if figure := cell.number("cell_leakage_power"):
        return figure
    groups = cell.all("leakage_power")
    if not groups:
        return default
    states = _states(cell) if any("when" in group.attributes for group in groups) else {"": np.ones(1, bool)}
    rails = dict.fromkeys(group.attributes.get("related_pg_pin") for group in groups)
    by_rail = ([group for group in groups if group.attributes.get("related_pg_pin") == rail] for rail in rails)
    return sum(_mean(group, states) for group in by_rail)


def _states(cell: Group) -> States:
    """All states of a cell; raises `InputError`."""
    pins = {name: pin for pin in cell.all("pin") for name in pin.args}
    pairs = [group.args[:2] for kind in ("ff", "latch") for group in cell.all(kind)]
    functions = {
        name: liberty.function(pin.attributes["function"])
        for name, pin in pins.items()
        if pin.attributes.get("direction") == "output" and "function" in pin.attributes
    }
    free = [*(name for name in pins if name not in functions), *(pair[0] for pair in pairs)]
    if len(free) > MAX_PINS:
        raise InputError(f"{len(free)} pins have too many states")
    values = dict(zip(free, np.indices((2,) * len(free)).astype(bool).reshape(len(free), -1), strict=True))
    values |= {pair[1]: ~values[pair[0]] for pair in pairs if len(pair) == 2}
    return values | {name: function(values) for name, function in functions.items()}


def _mean(groups: list[Group], states: States) -> float:
    watts = np.full(len(next(iter(states.values()))), np.nan)
    rest = [group for group in groups if "when" not in group.attributes]
    for group in groups:
        if "when" in group.attributes:
            holds = liberty.function(group.attributes["when"])(states)
            if not np.isnan(watts[holds]).all():
                raise InputError(f"two leakages of a state: {group.attributes['when']}")
            watts[holds] = group.number("value")
    if len(rest) > 1:
        raise InputError("two leakages of all states")
    if rest:
        watts[np.isnan(watts)] = rest[0].number("value")
    return 0.0 if np.isnan(watts).all() else float(watts[~np.isnan(watts)].mean())
