r"""Cycles, accesses and stalls of an engine in closed form.

A step is a sequence of passes, for each group of rows first over x, then over h. A pass of $K$ words of weights, one
every $R$ cycles, ends when its sums move to the shadow registers, at

$X_p = \max(f_p + R (K_p - 1) + 1,\ X_{p-1} + D_{p-1})$ where its first word is used at $f_p$,

and $D$ is the number of cycles in which the shadow registers shift their units out, one a cycle. With
$R = 1$ the passes of a step take $\sum_p \max(K_p, D_{p-1})$: a pass waits only for the one before it.
"""

from typing import NamedTuple

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.program import PLANS, Program

FIRST = 2  # cycles of a step before its first word: the symbol, then the first address
LEAST = 2  # cycles from one pass of a unit to the next, so that its partial sum is written before it is read


class Workload(NamedTuple):
    """The sizes of a layer that cycles depend on."""

    cell: str
    inputs: int
    hidden: int
    symbols: bool = True  # only one column of the input matrix is read
    planes: tuple[int, int] = (1, 1)  # of the input and of the recurrent matrix

    @classmethod
    def of(cls, program: Program) -> "Workload":
        """The workload of a program."""
        recurrent = sum(sweep.recurrent for sweep in program.passes)
        planes = (len(program.passes) - recurrent, recurrent)
        inputs = program.passes[0].weights.shape[1]
        return cls(program.cell, inputs, program.hidden, program.inputs is None, planes)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Words of each pass over a group of rows."""
        return (1 if self.symbols else self.inputs,) * self.planes[0] + (self.hidden,) * self.planes[1]

    @property
    def weights(self) -> int:
        """Weights of all planes of both matrices."""
        return PLANS[self.cell].gates * self.hidden * (self.planes[0] * self.inputs + self.planes[1] * self.hidden)


class Counts(NamedTuple):
    """Counts of events in a number of steps; a lane is in use where its sum belongs to a row."""

    cycles: int
    words: int  # of weights, one weight a lane
    used: int  # additions by lanes that have a row
    starved: int  # cycles in which lanes wait for a word
    blocked: int  # cycles in which lanes wait for the shadow registers
    input_reads: int
    hidden_reads: int
    scale_reads: int  # a unit's scales and offsets
    partial_reads: int  # a unit's partial sums
    partial_writes: int
    cell_reads: int  # a unit's state before
    cell_writes: int
    hidden_writes: int
    lookups: int

    def plus(self, other: "Counts", times: int = 1) -> "Counts":
        """The sum with `times` times another."""
        return Counts(*(a + times * b for a, b in zip(self, other, strict=True)))


def groups(machine: Machine, cell: str, hidden: int) -> list[int]:
    """Units in each group of rows."""
    size = machine.lanes // PLANS[cell].gates
    return [min(size, hidden - first) for first in range(0, hidden, size)]


def count(machine: Machine, work: Workload, steps: int) -> Counts:
    """The counts of a sequence of `steps`."""
    total, ready = Counts(*[0] * len(Counts._fields)), 0
    for number in range(steps):
        step, after = _step(machine, work, ready)
        if after == ready:  # all further steps are alike
            return total.plus(step, steps - number)
        total, ready = total.plus(step), after
    return total


def _step(machine: Machine, work: Workload, ready: int) -> tuple[Counts, int]:
    """The counts of a step whose first word arrives in cycle `ready`, and that cycle of the next step."""
    plan, beat = PLANS[work.cell], machine.beat
    moved, drain, free = FIRST, 0, FIRST  # cycle of the last transfer, its drain, end of the last addition
    words = used = starved = blocked = 0
    sizes = groups(machine, work.cell, work.hidden)
    for size in sizes:
        for length in work.lengths:
            first = max(ready, moved)
            last = first + beat * (length - 1)
            starved += max(ready - free, 0) + (last - first - (length - 1))
            blocked += first - max(ready, free)
            moved, drain, free, ready = max(last + 1, moved + drain), max(size, LEAST), last + 1, last + beat
            words += length
            used += length * size * plan.gates
    length = moved + sizes[-1] + plan.latency + 1
    x, h = (p * n * len(sizes) for p, n in zip(work.planes, (work.lengths[0], work.hidden), strict=True))
    passes = sum(work.planes)
    unit = (passes, passes, passes - 1, int(plan.before != ""), int(plan.before == "c"), 1, plan.lookups)
    counts = Counts(length, words, used, starved, blocked, x, h, *(count * work.hidden for count in unit))
    return counts, max(ready - length, 0)


def seconds(machine: Machine, work: Workload, steps: int = 1) -> float:
    """Seconds of a sequence of `steps`."""
    return count(machine, work, steps).cycles / machine.clock_hz


def utilisation(machine: Machine, work: Workload, steps: int = 1) -> float:
    """Lane utilization: the share of the cycles of all lanes that add to a row."""
    counts = count(machine, work, steps)
    return counts.used / (counts.cycles * machine.lanes)
