"""Activity of a mapped netlist with real operands: every net in every cycle, 64 cycles a word, and its toggles.

The values of registers are inputs, so that all cycles are evaluated at once. The caller compares what the netlist
computes for the next edge with the registers a cycle later, so that every run also checks the netlist.
"""

import graphlib

import numpy as np
from jaxtyping import Bool, UInt64

from lowbit.hardware import loader
from lowbit.hardware.cellbook import Cell
from lowbit.hardware.liberty import function

Nets = dict[int, np.ndarray]  # by number of the net: a bit a cycle, in words
ONES = ~np.uint64(0)


def pack(bits: Bool[np.ndarray, " cycles"]) -> UInt64[np.ndarray, " words"]:
    """Bits in words, the first cycle lowest, padded with zeros."""
    octets = np.packbits(bits, bitorder="little")
    return np.pad(octets, (0, -len(octets) % 8)).view(np.uint64)


def count(words: UInt64[np.ndarray, "..."]) -> int:
    """The number of bits that are set."""
    return int(np.bitwise_count(words).sum())


class Netlist:
    """A mapped design without its hierarchy; gates in the order in which they can be evaluated."""

    def __init__(self, module: dict, book: dict[str, Cell]):
        self.ports = {name: port["bits"] for name, port in module["ports"].items()}
        self.cells = [
            (book[cell["type"]], {pin: bits[0] for pin, bits in cell["connections"].items()})
            for cell in module["cells"].values()
        ]
        self.flops = [(cell, pins) for cell, pins in self.cells if cell.state]
        self.loads_f: dict[int, float] = {}
        for cell, pins in self.cells:
            for pin, farad in cell.inputs.items():
                self.loads_f[pins[pin]] = self.loads_f.get(pins[pin], 0.0) + farad
        self.gates = self._ordered()

    def _ordered(self) -> list[tuple[Cell, str, dict, int]]:
        drivers = {
            pins[pin]: (cell, pin, pins)
            for cell, pins in self.cells
            if not cell.state
            for pin in cell.outputs
            if pin in pins
        }
        sources = {net: [pins[name] for name in cell.inputs] for net, (cell, _, pins) in drivers.items()}
        order = graphlib.TopologicalSorter(sources).static_order()
        return [(*drivers[net], net) for net in order if net in drivers]

    def settle(self, inputs: Nets) -> Nets:
        """Every net when all gates have settled."""
        nets = dict(inputs)
        shape = next(iter(inputs.values())).shape
        nets |= {"0": np.zeros(shape, np.uint64), "1": np.full(shape, ONES), "x": np.zeros(shape, np.uint64)}
        for cell, pin, pins, net in self.gates:
            text = cell.outputs[pin].function
            nets[net] = function(text)({name: nets[pins[name]] for name in cell.inputs}) if cell.inputs else nets[text]
        return nets

    def following(self, nets: Nets) -> Nets:
        """The value of each flip-flop after the next edge, by the net of its output."""
        return {
            pins[pin]: function(cell.next)({name: nets[pins[name]] for name in cell.inputs})
            for cell, pins in self.flops
            for pin, output in cell.outputs.items()
            if pin in pins and output.function == cell.state[0]
        }


def settled_toggles(netlist: Netlist, before: Nets, after: Nets, mask: UInt64[np.ndarray, " words"]) -> dict[int, int]:
    """Changes of each net from one cycle to the next, without glitches."""
    old, new = netlist.settle(before), netlist.settle(after)
    return {net: count((old[net] ^ new[net]) & mask) for net in new if isinstance(net, int)}


def all_toggles(netlist: Netlist, before: Nets, after: Nets, mask: UInt64[np.ndarray, " words"]) -> dict[int, int]:
    """Changes of each net, glitches included: gates have inertial delays, which swallow shorter pulses.

    Inputs and registers change at once after the edge. The time step is half of the shortest delay.
    """
    delays = {net: cell.outputs[pin].delay_s(netlist.loads_f.get(net, 0.0)) for cell, pin, _, net in netlist.gates}
    tick = min(delay for delay in delays.values() if delay > 0) / 2
    old = netlist.settle(before)
    turns = {net: count((before[net] ^ after[net]) & mask) for net in after}
    waves = {net: after[net][None] for net in after} | {name: old[name][None] for name in "01x"}
    for cell, pin, pins, net in netlist.gates:
        if not cell.inputs:
            waves[net] = old[net][None]
            continue
        ticks = max(1, round(delays[net] / tick))
        length = max(len(waves[pins[name]]) for name in cell.inputs)
        values = {name: _extended(waves[pins[name]], length) for name in cell.inputs}
        raw = np.ascontiguousarray(function(cell.outputs[pin].function)(values))
        waves[net] = np.empty((length + ticks, raw.shape[1]), np.uint64)
        loader.run("activity.delay", raw, old[net], ticks, waves[net])
        wave = np.concatenate((old[net][None], waves[net]))
        turns[net] = count((wave[1:] ^ wave[:-1]) & mask)
    return turns


def _extended(wave: np.ndarray, length: int) -> np.ndarray:
    """A wave of that length, its last value repeated."""
    return np.pad(wave, ((0, length - len(wave)), (0, 0)), mode="edge")


def delay(raw, old, ticks, out):
    """Fills `out` with `raw` delayed by `ticks`, without shorter pulses; `old` is the value before `raw`."""
    length, words = raw.shape
    for word in range(words):
        state = old[word]
        for now in range(len(out)):
            first = max(now - ticks, 0)
            ones = old[word] if now < ticks else raw[min(first, length - 1), word]
            zeros = ~ones
            for then in range(first, min(now, length)):
                ones &= raw[then, word]
                zeros &= ~raw[then, word]
            state = (state & ~zeros) | ones
            out[now, word] = state
