r"""What an engine costs: counts (lowbit.hardware.cycles) times prices (lowbit.hardware.technology), as intervals.

Area is that of cells and macros; wires, pads and the clock tree are left out. Energy is that of the lanes, without
and with glitches, of the words of weights from memory, and of the clock of the other registers, nothing of it to
all of it, for they could be gated. The gates of the unit behind the lanes are not in it, nor is leakage, which is
told apart as a power. All is at the node and the voltage of the library, where no step to another process is asked
for (lowbit.hardware.scaling). A machine whose weights come from outside has no memory for them: each word is read
from DRAM, at its price a bit, whatever the process; what DRAM takes while idle is left out.
"""

import functools
from typing import NamedTuple

import numpy as np

from lowbit.hardware import accelerator, cycles, memory, scaling, technology
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.interval import Interval
from lowbit.hardware.memory import Bank
from lowbit.hardware.scaling import Process
from lowbit.hardware.technology import Price
from lowbit.registry import InputError

PRICED_BITS = 64  # of a read that rows of DRAM tell the energy of
NOTHING = Interval(0.0, 0.0)


class Area(NamedTuple):
    """Area by part."""

    lanes_um2: float
    unit_um2: float  # sequencer, shadow registers, tables and products
    weights_um2: float

    @property
    def total_um2(self) -> float:
        """Everything."""
        return sum(self)


class StepEnergy(NamedTuple):
    """Energy of one step by part."""

    lanes_pj: Interval
    clock_pj: Interval  # of the registers that are not in lanes
    weights_pj: Interval  # from memory on the chip
    dram_pj: Interval  # from outside

    @property
    def total_pj(self) -> Interval:
        """Everything."""
        return self.lanes_pj + self.clock_pj + self.weights_pj + self.dram_pj


def lane(machine: Machine, quantity: str, library: str) -> float:
    """What the ledger says of a lane of the machine's widths; raises `InputError` where it says nothing."""
    item = f"lane {machine.lane_choice}"
    known = [row.item for row in _rows("lane", quantity, library)]
    if item not in known:
        alike = [
            each for each in known if accelerator.around(each.removeprefix("lane ")).arithmetic == machine.arithmetic
        ]
        raise InputError(f"no {quantity} of {item} on {library}; known: {', '.join(alike or known) or 'none'}")
    return technology.price("synthesis", item, quantity, library).value


def unit(machine: Machine, quantity: str, library: str) -> float:
    """What is behind the lanes, fitted to the ledger; raises `InputError` for widths of which it has no engine.

    It is a constant for each choice of widths, and a part for each bit of accumulators, whatever the widths.
    """
    constants, each_bit = _unit_fit(quantity, library)
    if _widths(machine) not in constants:
        known = "; ".join(map(_told, constants)) or "none"
        raise InputError(f"no {quantity} of an engine with {_told(_widths(machine))} on {library}; known: {known}")
    return constants[_widths(machine)] + each_bit * machine.lanes * machine.accumulator.bits


@functools.cache
def _unit_fit(quantity: str, library: str) -> tuple[dict[tuple[int, ...], float], float]:
    rows = _rows("engine", quantity, library)
    built = [accelerator.build(row.item.removeprefix("engine ")) for row in rows]
    groups = list(dict.fromkeys(_widths(each) for each in built))
    terms = [[*(_widths(each) == group for group in groups), each.lanes * each.accumulator.bits] for each in built]
    if not rows:
        return {}, 0.0
    *constants, each_bit = np.linalg.lstsq(np.array(terms, float), np.array([row.value for row in rows]), rcond=None)[0]
    return dict(zip(groups, map(float, constants), strict=True)), float(each_bit)


def _rows(part: str, quantity: str, library: str) -> list[Price]:
    """What the ledger has of lanes or engines."""
    told = ("synthesis", quantity, library)
    rows = [row for row in technology.prices() if (row.table, row.quantity, row.library) == told]
    return [row for row in rows if row.item.startswith(f"{part} ")]


def _widths(machine: Machine) -> tuple[int, ...]:
    """Those that the unit depends on."""
    return machine.act_bits, machine.scale_bits, machine.table_bits


def _told(widths: tuple[int, ...]) -> str:
    return "{} bits of activations, {} of scales and {} of tables".format(*widths)


def words(machine: Machine, work: Workload) -> int:
    """How many words of weights there are, one for each column of each group of rows."""
    columns = work.planes[0] * work.inputs + work.planes[1] * work.hidden
    return len(cycles.groups(machine, work.cell, work.hidden)) * columns


def weights(machine: Machine, work: Workload) -> Bank:
    """The smallest memory of macros that holds all words of weights."""
    return memory.banks(words(machine, work), machine.word_bits)[0]


def area(machine: Machine, work: Workload, library: str = "sg13g2") -> Area:
    """The area of an engine, with its weights where they are on the chip."""
    held = 0.0 if machine.off_chip_bits_per_s else weights(machine, work).area_um2
    return Area(machine.lanes * lane(machine, "area", library), unit(machine, "area", library), held)


def area_in(process: Process, machine: Machine, work: Workload, library: str = "sg13g2") -> Interval:
    """That area in another process, in um2."""
    return scaling.step("area", scaling.of(library), process).times(area(machine, work, library).total_um2)


def energy(machine: Machine, work: Workload, library: str = "sg13g2") -> StepEnergy:
    """The energy of a step."""
    counts = cycles.count(machine, work, 1)
    each = Interval(*(lane(machine, f"energy_{kind}", library) for kind in ("settled", "glitches")))
    tick = lane(machine, "energy_clock", library) / lane(machine, "flip_flops", library)
    idle = counts.cycles - counts.words  # lanes that wait still have their clock
    waiting = Interval(0.0, idle * machine.lanes * lane(machine, "energy_clock", library))
    clock = Interval(0.0, tick * unit(machine, "flip_flops", library) * counts.cycles) + waiting
    adding = each.times(machine.lanes * counts.words)
    if machine.off_chip_bits_per_s:
        return StepEnergy(adding, clock, NOTHING, dram(machine.word_bits * counts.words))
    read = weights(machine, work).read_pj * counts.words
    return StepEnergy(adding, clock, Interval(read, read), NOTHING)


def dram(bits: int) -> Interval:
    """The energy of so many bits from DRAM, in pJ."""
    ends = (technology.price("memory", f"dram {end}", "read").value for end in ("least", "most"))
    return Interval(*ends).times(bits / PRICED_BITS)


def energy_in(process: Process, machine: Machine, work: Workload, library: str = "sg13g2") -> Interval:
    """The energy of a step in another process, in pJ; that of DRAM stays as it is."""
    spent = energy(machine, work, library)
    chip = spent.lanes_pj + spent.clock_pj + spent.weights_pj
    return chip.within(scaling.step("energy", scaling.of(library), process)) + spent.dram_pj


class Stage(NamedTuple):
    """One ratio on the way from a lane to a chip."""

    name: str
    area: float
    energy: Interval


def waterfall(base: Machine, small: Machine, works: list[Workload], library: str = "sg13g2") -> list[Stage]:
    """How many times smaller one machine is than another: its lane, its logic, and it with weights for each layer.

    The last is the limit of large layers, where weights are all there is: the ratio of their bits.
    """
    lanes = [
        Interval(*(lane(each, f"energy_{kind}", library) for kind in ("settled", "glitches"))) for each in (base, small)
    ]
    stages = [Stage("lane", lane(base, "area", library) / lane(small, "area", library), _ordered(*lanes))]
    first = works[0]
    one, other = (area(each, first, library) for each in (base, small))
    logic = [_logic(energy(each, first, library)) for each in (base, small)]
    stages.append(Stage("logic", (one.lanes_um2 + one.unit_um2) / (other.lanes_um2 + other.unit_um2), _ordered(*logic)))
    for work in works:
        one, other = (area(each, work, library).total_um2 for each in (base, small))
        spent = [energy(each, work, library).total_pj for each in (base, small)]
        stages.append(Stage(f"{work.hidden} units", one / other, _ordered(*spent)))
    bits = base.arithmetic.weight_bits / small.arithmetic.weight_bits
    return [*stages, Stage("weights alone", bits, Interval(bits, bits))]


def _logic(step: StepEnergy) -> Interval:
    return step.lanes_pj + step.clock_pj


def _ordered(base: Interval, small: Interval) -> Interval:
    """The ratios of like ends: glitches and clocks are there in both machines or in neither."""
    ratios = base.low / small.low, base.high / small.high
    return Interval(min(ratios), max(ratios))


class Fit(NamedTuple):
    """Constants that were chosen so that values come out as told."""

    constants: dict[str, float]
    errors: dict[str, float]  # of each value, relative


def storage_fit(told: dict[str, float], machines: dict[str, Machine], quantity: str, library: str = "sg13g2") -> Fit:
    r"""Values of engines as lanes times $g\,(a + x\,b)$: the ledger's `quantity` $a$ of a lane and its weight bits $b$.

    `g` takes the ledger to the node of the values, `x` is what each bit of weight costs in units of $a$. Both are
    fitted, by least squares of relative errors, so that few values say much less than they seem to.
    """
    names = list(told)
    value = np.array([told[name] for name in names])
    lanes = np.array([machines[name].lanes for name in names])
    each = np.array([lane(machines[name], quantity, library) for name in names])
    bits = np.array([machines[name].arithmetic.weight_bits for name in names])
    terms = np.stack((lanes * each, lanes * bits), axis=1) / value[:, None]
    g, gx = np.linalg.lstsq(terms, np.ones(len(names)), rcond=None)[0]
    errors = terms @ np.array([g, gx]) - 1
    return Fit({"g": float(g), "x": float(gx / g)}, dict(zip(names, errors.tolist(), strict=True)))
