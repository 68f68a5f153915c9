r"""Area and energy of an engine: counts (lowbit.hardware.cycles) times prices (lowbit.hardware.technology).

Area is that of cells and macros, without wires, pads and the clock tree. Energy is an interval: of the lanes without
and with glitches, of the words of weights from memory, and of the clock of the other registers, which may be gated
entirely or not at all. It leaves out the gates of the post-processing unit and leakage, a power. All values are at the
node and the voltage of the library. A machine whose weights come from outside has no memory for them: each word is read
from DRAM, at its price a bit, without the idle power of DRAM.
"""

import functools
from typing import NamedTuple

import numpy as np

from lowbit.hardware import accelerator, cycles, memory, technology
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.memory import Bank
from lowbit.hardware.scaling import Interval
from lowbit.hardware.technology import Price
from lowbit.registry import InputError

PRICED_BITS = 64  # of the read in the rows of DRAM
NOTHING = Interval(0.0, 0.0)


class Area(NamedTuple):
    """Area by part."""

    lanes_um2: float
    unit_um2: float  # sequencer, shadow registers, tables and products
    weights_um2: float

    @property
    def total_um2(self) -> float:
        """The sum of the parts."""
        return sum(self)


class StepEnergy(NamedTuple):
    """Energy of one step by part."""

    lanes_pj: Interval
    clock_pj: Interval  # of the registers outside the lanes
    weights_pj: Interval  # from memory on the chip
    dram_pj: Interval

    @property
    def total_pj(self) -> Interval:
        """The sum of the parts."""
        return self.lanes_pj + self.clock_pj + self.weights_pj + self.dram_pj


def lane(machine: Machine, quantity: str, library: str) -> float:
    """A quantity of a lane in the ledger, at the machine's widths; raises `InputError` where there is no row."""
    item = f"lane {machine.lane_choice}"
    items = [row.item for row in _rows("lane", quantity, library)]
    if item not in items:
        choices = {name: accelerator.lane_machine(name.removeprefix("lane ")) for name in items}
        same = [name for name, choice in choices.items() if choice.arithmetic == machine.arithmetic]
        raise InputError(f"no {quantity} of {item} on {library}; known: {', '.join(same or items) or 'none'}")
    return technology.price("synthesis", item, quantity, library).value


def lane_energy(machine: Machine, library: str) -> Interval:
    """The energy of a lane in a cycle in pJ, without and with glitches; raises `InputError`."""
    return Interval(*(lane(machine, f"energy_{kind}", library) for kind in ("settled", "glitches")))


def unit(machine: Machine, quantity: str, library: str) -> float:
    """A quantity of the logic outside the lanes, fitted to the ledger; raises `InputError` for widths without a row.

    It is a constant for each choice of widths, plus a part for each bit of accumulators, whatever the widths.
    """
    constants, per_bit = _unit_fit(quantity, library)
    if _widths(machine) not in constants:
        known = "; ".join(map(_text, constants)) or "none"
        raise InputError(f"no {quantity} of an engine with {_text(_widths(machine))} on {library}; known: {known}")
    return constants[_widths(machine)] + per_bit * machine.lanes * machine.accumulator.bits


@functools.cache
def _unit_fit(quantity: str, library: str) -> tuple[dict[tuple[int, ...], float], float]:
    rows = _rows("engine", quantity, library)
    if not rows:
        return {}, 0.0
    machines = [accelerator.build(row.item.removeprefix("engine ")) for row in rows]
    groups = list(dict.fromkeys(map(_widths, machines)))
    terms = [[*(_widths(m) == group for group in groups), m.lanes * m.accumulator.bits] for m in machines]
    *constants, per_bit = np.linalg.lstsq(np.array(terms, float), np.array([row.value for row in rows]), rcond=None)[0]
    return dict(zip(groups, map(float, constants), strict=True)), float(per_bit)


def _rows(part: str, quantity: str, library: str) -> list[Price]:
    """The rows of the ledger of lanes or engines."""
    key = ("synthesis", quantity, library)
    rows = [row for row in technology.prices() if (row.table, row.quantity, row.library) == key]
    return [row for row in rows if row.item.startswith(f"{part} ")]


def _widths(machine: Machine) -> tuple[int, ...]:
    """The widths that the unit depends on."""
    return machine.act_bits, machine.scale_bits, machine.table_bits


def _text(widths: tuple[int, ...]) -> str:
    return "{} bits of activations, {} of scales and {} of tables".format(*widths)


def words(machine: Machine, work: Workload) -> int:
    """The number of words of weights, one for each column of each group of rows."""
    columns = work.planes[0] * work.inputs + work.planes[1] * work.hidden
    return len(cycles.groups(machine, work.cell, work.hidden)) * columns


def weights(machine: Machine, work: Workload) -> Bank:
    """The smallest memory of macros that holds all words of weights."""
    return memory.banks(words(machine, work), machine.word_bits)[0]


def area(machine: Machine, work: Workload, library: str = "sg13g2") -> Area:
    """The area of an engine, with its weights where they are on the chip."""
    memory_um2 = 0.0 if machine.off_chip_bits_per_s else weights(machine, work).area_um2
    return Area(machine.lanes * lane(machine, "area", library), unit(machine, "area", library), memory_um2)


def energy(machine: Machine, work: Workload, library: str = "sg13g2") -> StepEnergy:
    """The energy of a step."""
    counts = cycles.count(machine, work, 1)
    clock_pj = lane(machine, "energy_clock", library)
    per_flop = clock_pj / lane(machine, "flip_flops", library)
    idle = counts.cycles - counts.words  # cycles in which lanes wait, with their clock on
    waiting = Interval(0.0, idle * machine.lanes * clock_pj)
    clock = Interval(0.0, per_flop * unit(machine, "flip_flops", library) * counts.cycles) + waiting
    adding = lane_energy(machine, library).times(machine.lanes * counts.words)
    if machine.off_chip_bits_per_s:
        return StepEnergy(adding, clock, NOTHING, dram(machine.word_bits * counts.words))
    read = weights(machine, work).read_pj * counts.words
    return StepEnergy(adding, clock, Interval(read, read), NOTHING)


def dram(bits: int) -> Interval:
    """The energy of reading bits from DRAM, in pJ."""
    ends = (technology.price("memory", f"dram {end}", "read").value for end in ("least", "most"))
    return Interval(*ends).times(bits / PRICED_BITS)


class Stage(NamedTuple):
    """One ratio on the way from a lane to a chip."""

    name: str
    area: float
    energy: Interval


def waterfall(base: Machine, small: Machine, works: list[Workload], library: str = "sg13g2") -> list[Stage]:
    """Ratios of one machine over another: of a lane, of the logic, and of all with weights for each layer.

    The last is the limit of large layers, where only the weights count: the ratio of their bits.
    """
    machines = (base, small)
    lanes = [lane(machine, "area", library) for machine in machines]
    stages = [_stage("lane", lanes, [lane_energy(machine, library) for machine in machines])]
    for work in works:
        areas = [area(machine, work, library) for machine in machines]
        energies = [energy(machine, work, library) for machine in machines]
        if len(stages) == 1:
            logic = [part.lanes_um2 + part.unit_um2 for part in areas]
            stages.append(_stage("logic", logic, [part.lanes_pj + part.clock_pj for part in energies]))
        totals = [part.total_um2 for part in areas], [part.total_pj for part in energies]
        stages.append(_stage(f"{work.hidden} units", *totals))
    bits = base.arithmetic.weight_bits / small.arithmetic.weight_bits
    return [*stages, Stage("weights alone", bits, Interval(bits, bits))]


def _stage(name: str, areas: list[float], energies: list[Interval]) -> Stage:
    """Ratios of base over small; energies of like ends, as glitches and clocks are in both machines or in neither."""
    (base, small), (one, other) = areas, energies
    ratios = one.low / other.low, one.high / other.high
    return Stage(name, base / small, Interval(min(ratios), max(ratios)))


class Fit(NamedTuple):
    """Fitted constants."""

    constants: dict[str, float]
    errors: dict[str, float]  # of each value, relative


def storage_fit(
    reported: dict[str, float], machines: dict[str, Machine], quantity: str, library: str = "sg13g2"
) -> Fit:
    r"""Reported values of engines as lanes times $g\,(a + x\,b)$, with $a$ the ledger's `quantity` of a lane.

    $b$ are the bits of a weight, `g` the factor from the ledger to the node of the values, `x` the price of a bit of
    weight in units of $a$. Both are fitted by least squares of relative errors; a few values constrain them little.
    """
    names, value = list(reported), np.array(list(reported.values()))
    lanes = np.array([machines[name].lanes for name in names])
    prices = np.array([lane(machines[name], quantity, library) for name in names])
    bits = np.array([machines[name].arithmetic.weight_bits for name in names])
    terms = np.stack((lanes * prices, lanes * bits), axis=1) / value[:, None]
    g, gx = np.linalg.lstsq(terms, np.ones(len(names)), rcond=None)[0]
    errors = terms @ np.array([g, gx]) - 1
    return Fit({"g": float(g), "x": float(gx / g)}, dict(zip(names, errors.tolist(), strict=True)))
