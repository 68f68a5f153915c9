"""The leakage of a cell: the library's own figure, or else the mean over the states of its pins.

Every state of the inputs, and of the value that a flip-flop or latch holds, has the same share. A state leaks what the
group whose `when` holds in it says, or else what the group without `when` says; without such a group the mean is over
the states that are given. Rails add up.
"""

import numpy as np

from lowbit.hardware import liberty
from lowbit.hardware.liberty import Group
from lowbit.registry import InputError

MOST = 16  # pins whose states are enumerated

States = dict[str, np.ndarray]  # the values of pins, state by state


def leakage(cell: Group, default: float) -> float:
    """The leakage in the unit of the library, `default` where nothing is given; raises `InputError`."""
    if figure := cell.number("cell_leakage_power"):
        return figure
    groups = cell.all("leakage_power")
    if not groups:
        return default
    known = states(cell) if any("when" in group.attributes for group in groups) else {"": np.ones(1, bool)}
    rails = dict.fromkeys(group.attributes.get("related_pg_pin") for group in groups)
    return sum(
        _mean([group for group in groups if group.attributes.get("related_pg_pin") == rail], known) for rail in rails
    )


def states(cell: Group) -> States:
    """All states of a cell; raises `InputError`."""
    pins = {name: pin for pin in cell.all("pin") for name in pin.args}
    held = [group.args[:2] for kind in ("ff", "latch") for group in cell.all(kind)]
    functions = {
        name: liberty.function(pin.attributes["function"])
        for name, pin in pins.items()
        if pin.attributes.get("direction") == "output" and "function" in pin.attributes
    }
    free = [*(name for name in pins if name not in functions), *(pair[0] for pair in held)]
    if len(free) > MOST:
        raise InputError(f"{len(free)} pins have too many states")
    values = dict(zip(free, np.indices((2,) * len(free)).astype(bool).reshape(len(free), -1), strict=True))
    values |= {pair[1]: ~values[pair[0]] for pair in held if len(pair) == 2}
    return values | {name: function(values) for name, function in functions.items()}


def _mean(groups: list[Group], known: States) -> float:
    size = len(next(iter(known.values())))
    watts, given = np.zeros(size), np.zeros(size, bool)
    rest = [group for group in groups if "when" not in group.attributes]
    for group in groups:
        if group not in rest:
            holds = liberty.function(group.attributes["when"])(known)
            if (holds & given).any():
                raise InputError(f"two leakages of a state: {group.attributes['when']}")
            watts[holds] = group.number("value")
            given |= holds
    if len(rest) > 1:
        raise InputError("two leakages of all states")
    if rest:
        watts[~given] = rest[0].number("value")
        given[:] = True
    return float(watts[given].mean()) if given.any() else 0.0
