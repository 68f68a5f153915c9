"""Machines as data: lanes, clock, bit widths and ports of an engine; A's five among them."""

import csv
import dataclasses
import functools
import math

from lowbit import paths
from lowbit.hardware import lanes
from lowbit.hardware.fixed import Format
from lowbit.hardware.lanes import Lane
from lowbit.quantizers import Quantizer
from lowbit.registry import InputError, canonical, checked, parse, written

LANE_WIDTHS = ("act_bits", "acc_bits", "depth")  # of a machine, on which the hardware of a lane depends
HEADROOM = 4  # bits before the point of pre-activations and cells, the sign among them: up to 16


@dataclasses.dataclass(frozen=True)
class Machine:
    """Lanes that each add up one row, and one unit behind them that finishes one hidden unit a cycle.

    A matrix is worked through in groups of rows, a row a lane; every cycle one activation goes to all lanes and one
    word of weights comes from memory. What the engine computes: lowbit.hardware.golden; when: lowbit.hardware.cycles.
    """

    lane: str = "ternary"  # see lowbit.hardware.lanes
    lanes: int = 100
    clock_hz: int = 400_000_000
    act_bits: int = 12  # of inputs and outputs, all but the sign after the point
    acc_bits: int = 0  # of an accumulator, which saturates; 0: as many as `depth` additions can need
    depth: int = 1024  # additions in a row that an accumulator holds exactly
    scale_bits: int = 12  # of the factor that each finished sum meets
    table_bits: int = 10  # of the argument of sigmoid and tanh
    off_chip_bits_per_s: int = 0  # at which weights arrive; 0: they are on the chip, a word a cycle
    node_nm: int = 65
    source: str = ""

    def __post_init__(self):
        for field, least, most in (
            ("lanes", 4, 65536),
            ("clock_hz", 1, 10**11),
            ("act_bits", 4, 16),
            ("depth", 1, 2**20),
            ("scale_bits", 4, 16),
            ("table_bits", 2, 16),
            ("off_chip_bits_per_s", 0, 10**15),
            ("node_nm", 1, 10**5),
        ):
            if not least <= getattr(self, field) <= most:
                raise InputError(f"a machine takes {least} to {most} for {field}, not {getattr(self, field)}")
        if self.acc_bits and not self.act_bits < self.acc_bits <= 64:
            raise InputError(f"accumulators have more bits than activations and at most 64, not {self.acc_bits}")

    @functools.cached_property
    def arithmetic(self) -> Lane:
        """What stands before each accumulator."""
        return lanes.build(self.lane)

    @property
    def lane_choice(self) -> str:
        """Its lane, and the widths of the machine that the lane's hardware depends on; `around` reads it.

        >>> Machine(lane="multiply(bits=4)", act_bits=8).lane_choice
        'multiply(bits=4, act_bits=8)'
        """
        name, options = parse(canonical(self.arithmetic.title, self.arithmetic))
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        widths = {width: getattr(self, width) for width in LANE_WIDTHS}
        return written(name, options | {width: bits for width, bits in widths.items() if bits != defaults[width]})

    @property
    def accumulator(self) -> Format:
        """The format of sums."""
        return Format(self.acc_bits or self.arithmetic.sum_bits(self.act_bits, self.depth), 0)

    @property
    def activation(self) -> Format:
        """The format of outputs, gates and inputs: above -1 and below 1."""
        return Format(self.act_bits, self.act_bits - 1)

    @property
    def wide(self) -> Format:
        """The format of pre-activations and cells."""
        return Format(self.act_bits + HEADROOM, self.act_bits - 1)

    @property
    def symbol(self) -> Format:
        """The format in which the input that a symbol sets is exactly 1."""
        return Format(self.act_bits, self.act_bits - 2)

    @property
    def word_bits(self) -> int:
        """Bits of a word of weights, one for each lane: the width of their memory's port."""
        return self.lanes * self.arithmetic.weight_bits

    @property
    def beat(self) -> int:
        """Cycles from one word of weights to the next."""
        if not self.off_chip_bits_per_s:
            return 1
        return math.ceil(self.word_bits * self.clock_hz / self.off_chip_bits_per_s)


def alike(one: Machine, other: Machine) -> bool:
    """Whether their lanes, if they had the same, would be the same hardware."""
    return all(getattr(one, width) == getattr(other, width) for width in LANE_WIDTHS)


def around(choice: str) -> Machine:
    """A machine around a lane, with A's widths where the choice says nothing else; raises `InputError`.

    >>> around("ternary(act_bits=8, depth=512)").accumulator.bits
    18
    """
    name, options = parse(choice, "lane")
    widths = {width: options.pop(width) for width in LANE_WIDTHS if width in options}
    machine = Machine(lane=lanes.registry.canonical(written(name, options)))
    return dataclasses.replace(machine, **checked(widths, dataclasses.asdict(machine), f"lane {name!r}", "width"))


@functools.cache
def catalogue() -> dict[str, Machine]:
    """The machines of `data/machines.csv` by their names."""
    rows = csv.DictReader((paths.SOURCE / "data" / "machines.csv").read_text().splitlines())
    kinds = {field.name: field.type for field in dataclasses.fields(Machine)}
    return {row.pop("name"): Machine(**{key: kinds[key](text) for key, text in row.items()}) for row in rows}


def carrying(machine: Machine, quantizer: Quantizer) -> Machine:
    """The machine with the smallest lanes that a quantizer's weights fit exactly."""
    lane = lanes.lane_for(quantizer)
    return dataclasses.replace(machine, lane=canonical(lane.title, lane))


def build(choice: str) -> Machine:
    """The machine of a choice, as in `ternary(act_bits=8)`; raises `InputError`.

    >>> build("ternary(lanes=20)").word_bits
    40
    """
    name, options = parse(choice, "machine")
    if name not in catalogue():
        raise InputError(f"no machine {name!r}; known: {', '.join(catalogue())}")
    machine = catalogue()[name]
    return dataclasses.replace(machine, **checked(options, dataclasses.asdict(machine), f"machine {name!r}", "option"))
