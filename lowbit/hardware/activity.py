"""What a mapped netlist does with given operands: every net in every cycle, 64 cycles a word, and how often it turns.

Values of registers come from outside, so that all cycles are evaluated at once; what the netlist computes for the
next edge is then compared with the registers a cycle later, which makes every run a proof of the netlist too.
"""

import numpy as np
from jaxtyping import Bool, UInt64

from lowbit.hardware import loader
from lowbit.hardware.cellbook import Cell
from lowbit.hardware.liberty import function

Nets = dict[int, np.ndarray]  # a bit a cycle, in words
ONES = ~np.uint64(0)


def pack(bits: Bool[np.ndarray, " cycles"]) -> UInt64[np.ndarray, " words"]:
    """A bit a cycle, the first cycle lowest, padded with zeros."""
    octets = np.packbits(bits, bitorder="little")
    return np.pad(octets, (0, -len(octets) % 8)).view(np.uint64)


def count(words: UInt64[np.ndarray, "..."]) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(words).sum())


class Netlist:
    """A mapped design without its hierarchy; gates in the order in which they can be evaluated."""

    def __init__(self, told: dict, book: dict[str, Cell]):
        self.ports = {name: port["bits"] for name, port in told["ports"].items()}
        self.cells = [
            (book[cell["type"]], {pin: bits[0] for pin, bits in cell["connections"].items()})
            for cell in told["cells"].values()
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
        order, seen, stack = [], set(), [*drivers]
        while stack:
            net = stack[-1]
            if net in seen or net not in drivers:
                stack.pop()
                continue
            cell, pin, pins = drivers[net]
            waiting = [pins[name] for name in cell.inputs if pins[name] in drivers and pins[name] not in seen]
            if waiting:
                stack += waiting
            else:
                seen.add(net)
                order.append((cell, pin, pins, net))
        return order

    def settle(self, given: Nets) -> Nets:
        """Every net when all gates have settled."""
        nets = dict(given)
        shape = next(iter(given.values())).shape
        nets |= {"0": np.zeros(shape, np.uint64), "1": np.full(shape, ONES), "x": np.zeros(shape, np.uint64)}
        for cell, pin, pins, net in self.gates:
            text = cell.outputs[pin].function
            nets[net] = function(text)({name: nets[pins[name]] for name in cell.inputs}) if cell.inputs else nets[text]
        return nets

    def following(self, nets: Nets) -> Nets:
        """What each flip-flop takes at the next edge, by the net that it drives with its value."""
        return {
            pins[pin]: function(cell.next)({name: nets[pins[name]] for name in cell.inputs})
            for cell, pins in self.flops
            for pin, output in cell.outputs.items()
            if pin in pins and output.function == cell.state[0]
        }


def settled_toggles(netlist: Netlist, before: Nets, after: Nets, mask: UInt64[np.ndarray, " words"]) -> dict[int, int]:
    """How often each net differs from the cycle before: no glitches."""
    old, new = netlist.settle(before), netlist.settle(after)
    return {net: count((old[net] ^ new[net]) & mask) for net in new if isinstance(net, int)}


def all_toggles(netlist: Netlist, before: Nets, after: Nets, mask: UInt64[np.ndarray, " words"]) -> dict[int, int]:
    """How often each net turns when every gate has its delay and swallows pulses that are shorter.

    Inputs and registers change at once after the edge; time goes in halves of the shortest delay.
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
        held = {name: _lasting(waves[pins[name]], length) for name in cell.inputs}
        raw = np.ascontiguousarray(function(cell.outputs[pin].function)(held))
        waves[net] = np.empty((length + ticks, raw.shape[1]), np.uint64)
        loader.run("activity.delay", raw, old[net], ticks, waves[net])
        wave = np.concatenate((old[net][None], waves[net]))
        turns[net] = count((wave[1:] ^ wave[:-1]) & mask)
    return turns


def _lasting(wave: np.ndarray, length: int) -> np.ndarray:
    """A wave that keeps its last value."""
    return np.concatenate((wave, np.repeat(wave[-1:], length - len(wave), axis=0))) if len(wave) < length else wave


def delay(raw, old, ticks, out):
    """Fills `out` with `raw` later by so many ticks, without what does not last as long; all was `old` before."""
    length, words = raw.shape
    for word in range(words):
        held = old[word]
        for now in range(len(out)):
            first = max(now - ticks, 0)
            ones = old[word] if now < ticks else raw[min(first, length - 1), word]
            zeros = ~ones
            for then in range(first, min(now, length)):
                ones &= raw[then, word]
                zeros &= ~raw[then, word]
            held = (held & ~zeros) | ones
            out[now, word] = held
