"""Accelerators as data: lanes, clock, bit widths and ports of an engine; A's five are among them."""

import dataclasses
import functools
import math

from lowbit.hardware import lanes, technology
from lowbit.hardware.fixed import Format
from lowbit.hardware.lanes import Lane
from lowbit.quantizers import Quantizer
from lowbit.registry import InputError, bounded, canonical, checked, parse, written

LANE_WIDTHS = ("act_bits", "acc_bits", "depth")  # fields of a machine that the hardware of a lane depends on
HEADROOM = 4  # bits before the point of pre-activations and cells, the sign included: up to 16


@dataclasses.dataclass(frozen=True)
class Machine:
    """Lanes that each add up one row, and a post-processing unit that finishes one hidden unit per cycle.

    A matrix is processed in groups of rows, one row a lane. In every cycle all lanes get one activation and one word
    of weights from memory. lowbit.hardware.golden defines what the engine computes, lowbit.hardware.cycles when.
    """

    lane: str = "ternary"  # see lowbit.hardware.lanes
    lanes: int = 100
    clock_hz: int = 400_000_000
    act_bits: int = 12  # of inputs and outputs, all but the sign after the point
    acc_bits: int = 0  # of a saturating accumulator; 0: as many as `depth` additions can need
    depth: int = 1024  # additions in a row that an accumulator holds exactly
    scale_bits: int = 12  # of the factor that multiplies each finished sum
    table_bits: int = 10  # of the argument of sigmoid and tanh
    off_chip_bits_per_s: int = 0  # rate of the weights from DRAM; 0: they are on the chip, a word a cycle
    node_nm: int = 65
    source: str = ""

    def __post_init__(self):
        bounded(self, "a machine", lanes=(4, 65536), clock_hz=(1, 10**11), act_bits=(4, 16), depth=(1, 2**20))
        bounded(self, "a machine", scale_bits=(4, 16), table_bits=(2, 16), off_chip_bits_per_s=(0, 10**15))
        bounded(self, "a machine", node_nm=(1, 10**5))
        if self.acc_bits and not self.act_bits < self.acc_bits <= 64:
            raise InputError(f"accumulators have more bits than activations and at most 64, not {self.acc_bits}")

    @functools.cached_property
    def arithmetic(self) -> Lane:
        """The lane as an object."""
        return lanes.build(self.lane)

    @property
    def lane_choice(self) -> str:
        """The lane with the widths of the machine that its hardware depends on; `lane_machine` parses it.

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
        """The format of outputs, gates and inputs, between -1 and 1."""
        return Format(self.act_bits, self.act_bits - 1)

    @property
    def wide(self) -> Format:
        """The format of pre-activations and cells."""
        return Format(self.act_bits + HEADROOM, self.act_bits - 1)

    @property
    def symbol(self) -> Format:
        """The format in which the one-hot input of a symbol is exactly 1."""
        return Format(self.act_bits, self.act_bits - 2)

    @property
    def word_bits(self) -> int:
        """Bits of a word of weights, one weight for each lane: the width of the port of their memory."""
        return self.lanes * self.arithmetic.weight_bits

    @property
    def beat(self) -> int:
        """Cycles from one word of weights to the next."""
        if not self.off_chip_bits_per_s:
            return 1
        return math.ceil(self.word_bits * self.clock_hz / self.off_chip_bits_per_s)


def same_widths(one: Machine, other: Machine) -> bool:
    """Whether two machines have the same widths in LANE_WIDTHS, so that the same lane is the same hardware."""
    return all(getattr(one, width) == getattr(other, width) for width in LANE_WIDTHS)


def lane_machine(choice: str) -> Machine:
    """The machine of a `lane_choice`, with A's widths where the choice gives none; raises `InputError`.

    >>> lane_machine("ternary(act_bits=8, depth=512)").accumulator.bits
    18
    """
    name, options = parse(choice, "lane")
    widths = {width: options.pop(width) for width in LANE_WIDTHS if width in options}
    machine = Machine(lane=lanes.registry.canonical(written(name, options)))
    return dataclasses.replace(machine, **checked(widths, dataclasses.asdict(machine), f"lane {name!r}", "width"))


@functools.cache
def catalogue() -> dict[str, Machine]:
    """The machines of `data/machines.csv` by name."""
    return technology.catalogue("machines.csv", Machine)


def with_lane_for(machine: Machine, quantizer: Quantizer) -> Machine:
    """The machine with the smallest lanes that hold the weights of a quantizer exactly."""
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
