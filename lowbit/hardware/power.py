"""The energy of a mapped lane in a cycle, for its operands: gates, flip-flops and clock apart.

Two values form an interval: without glitches, where every net changes at most once a cycle, and with them. A third
assumes an activity instead of operands. All are of cells and the capacitances of their pins, without wires; leakage is
a separate power.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lowbit.hardware import activity, cellbook, golden, image, vectorless
from lowbit.hardware.activity import Netlist
from lowbit.hardware.libraries import Library
from lowbit.hardware.program import Program
from lowbit.registry import InputError


class Operands(NamedTuple):
    """The inputs and the sum of one lane, word by word."""

    x: Int64[np.ndarray, " words"]
    weight: Int64[np.ndarray, " words"]
    open: Int64[np.ndarray, " words"]
    sum: Int64[np.ndarray, " words"]  # before the word


class Energy(NamedTuple):
    """Energy a cycle."""

    gates_pj: float
    flops_pj: float  # without their clock
    clock_pj: float
    leakage_nw: float

    @property
    def total_pj(self) -> float:
        """All but leakage, which is a power."""
        return self.gates_pj + self.flops_pj + self.clock_pj


def operands(program: Program, x: Int64[np.ndarray, "time *inputs"], lane: int, most: int) -> Operands:
    """The first `most` words of a sequence for a lane; `lane_energy` checks the sums."""
    words, starts = image.words(program), image.starts(program)
    values = tuple(row[None] for row in program.start)
    rows: list[tuple[int, int, int]] = []
    for t, step in enumerate(x):
        for group in range(len(starts)):
            for at, sweep in enumerate(program.passes):
                columns = np.arange(sweep.weights.shape[1])
                vector = values[0][0] if sweep.recurrent else step
                if not sweep.recurrent and program.inputs is None:
                    columns, vector = np.array([step]), np.array([program.machine.symbol.one])
                codes = words[starts[group, at] + columns, lane]
                rows += zip(vector.tolist(), codes.tolist(), [1] + [0] * (len(columns) - 1), strict=True)
        if len(rows) >= most:
            break
        values = golden.step(program, step[None], values, t)
    act, code, opens = np.array(rows[:most]).T
    terms, sums, total = act * program.machine.arithmetic.decode(code), [], 0
    for term, fresh in zip(terms.tolist(), opens.tolist(), strict=True):
        sums.append(total)
        total = term if fresh else total + term
    return Operands(act, code, opens, np.array(sums))


def lane_energy(module: dict, library: Library, inputs: Operands, glitches: bool, words: int = 32) -> Energy:
    """The energy of a mapped lane for its operands; raises `InputError` where it computes another sum."""
    netlist = Netlist(module, cellbook.cells(library))
    cycles = len(inputs.x) - 1
    ports = inputs._asdict() | {"take": np.ones(cycles + 1, np.int64)}
    bits: dict[int, np.ndarray] = {}
    for port, nets in netlist.ports.items():
        values = ports.get(port, np.zeros(cycles + 1, np.int64))
        bits |= {net: (values >> at & 1).astype(bool) for at, net in enumerate(nets) if isinstance(net, int)}
    turns: dict[int, int] = {}
    measure = activity.all_toggles if glitches else activity.settled_toggles
    for first in range(0, cycles, 64 * words):
        part = slice(first, min(first + 64 * words, cycles))
        before = {net: activity.pack(values[:-1][part]) for net, values in bits.items()}
        after = {net: activity.pack(values[1:][part]) for net, values in bits.items()}
        mask = activity.pack(np.ones(part.stop - part.start, bool))
        for net, value in netlist.following(netlist.settle(before)).items():
            if ((value ^ after[net]) & mask).any():
                raise InputError("the mapped lane does not add up as the golden model does")
        for net, count in measure(netlist, before, after, mask).items():
            turns[net] = turns.get(net, 0) + count
    return _energy(netlist, library, turns, cycles)


def assumed_energy(module: dict, library: Library) -> Energy:
    """The energy of a mapped lane that adds in every cycle, with the activity that tools assume without operands."""
    netlist = Netlist(module, cellbook.cells(library))
    signals = vectorless.assumed(netlist, constants={"take": 1})
    return _energy(netlist, library, {net: signal.density for net, signal in signals.items()}, 1)


def _energy(netlist: Netlist, library: Library, turns: dict[int, int | float], cycles: int) -> Energy:
    half_v2 = library.voltage_v**2 / 2
    spent = dict.fromkeys(("gates", "flops", "clock"), 0.0)
    for cell, pins in netlist.cells:
        for pin, output in cell.outputs.items():
            if pin in pins:
                load = netlist.loads_f.get(pins[pin], 0.0)
                joule = output.energy_j(load) + half_v2 * load
                spent["flops" if cell.state else "gates"] += joule * turns.get(pins[pin], 0)
        for pin, farad in cell.inputs.items():
            if pin == cell.clock:
                spent["clock"] += 2 * cycles * (cell.taps[pin] + half_v2 * farad)
            else:
                spent["flops" if cell.state else "gates"] += cell.taps[pin] * turns.get(pins[pin], 0)
    for port, nets in netlist.ports.items():  # the driver of the lane charges its inputs
        if port not in ("clk", "sum"):
            spent["gates"] += sum(half_v2 * netlist.loads_f.get(net, 0.0) * turns.get(net, 0) for net in nets)
    leakage = sum(cell.leakage_w for cell, _ in netlist.cells)
    return Energy(*(1e12 * joule / cycles for joule in spent.values()), 1e9 * leakage)
