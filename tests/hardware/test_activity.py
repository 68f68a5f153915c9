"""Activity with and without operands: gates against their functions, closed forms, and registers that converge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.hardware import activity, vectorless
from lowbit.hardware.activity import Netlist
from lowbit.hardware.cellbook import Cell, Output
from lowbit.hardware.vectorless import ASSUMED, Signal
from lowbit.registry import InputError

INPUTS = 10  # of which one turns in each cycle: each with the assumed density
FUNCTIONS = {"inv": "!A", "nand": "!(A*B)", "xor": "A^B", "aoi": "!((A*B)+C)"}


def gate(name):
    pins = [pin for pin in "ABC" if pin in FUNCTIONS[name]]
    return Cell(name, 1.0, 0.0, dict.fromkeys(pins, 0.0), {}, {"Y": Output(FUNCTIONS[name], (), ())}, None)


PINS = {"D": 0.0, "C": 0.0}
FLOP = {"Q": Output("IQ", (), ()), "N": Output("IQN", (), ())}
BOOK = {name: gate(name) for name in FUNCTIONS} | {
    "flop": Cell("flop", 1.0, 0.0, PINS, {}, FLOP, ("IQ", "IQN"), "D", "C"),
}


def wired(ports, *cells):
    module_cells = {
        str(at): {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}}
        for at, (kind, pins) in enumerate(cells)
    }
    return Netlist({"ports": {name: {"bits": bits} for name, bits in ports.items()}, "cells": module_cells}, BOOK)


def tree(seed, kinds):
    """Returns a netlist in which every net except the inputs is driven once and read once at most, and its last net."""
    random = np.random.default_rng(seed)
    free, cells, net = list(range(INPUTS)), [], INPUTS
    while len(free) > 1:
        kind = random.choice([kind for kind in kinds if len(BOOK[kind].inputs) <= len(free)])
        read = [free.pop(random.integers(len(free))) for _ in BOOK[kind].inputs]
        cells.append((kind, dict(zip(BOOK[kind].inputs, read, strict=True)) | {"Y": net}))
        free.append(net)
        net += 1
    return wired({"x": list(range(INPUTS))}, *cells), net - 1


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999))
def test_a_tree_of_xors_propagates_every_transition(seed):
    netlist, last = tree(seed, ["xor"])
    assert vectorless.assumed(netlist, {})[last] == pytest.approx((0.5, INPUTS * ASSUMED.density))


signals = st.builds(Signal, st.floats(0, 1), st.floats(0, 3))


@given(a=signals, b=signals, c=signals)
def test_gates_propagate_transitions_that_the_other_inputs_do_not_mask(a, b, c):
    given = {1: a, 2: b, 3: c}
    nand = vectorless.through("!(A*B)", {"A": 1, "B": 2}, given)
    assert nand == pytest.approx((1 - a.ones * b.ones, b.ones * a.density + a.ones * b.density))
    mux = vectorless.through("(S*A)+(!S*B)", {"A": 1, "B": 2, "S": 3}, given)
    differ = a.ones * (1 - b.ones) + b.ones * (1 - a.ones)
    assert mux.ones == pytest.approx(c.ones * a.ones + (1 - c.ones) * b.ones)
    assert mux.density == pytest.approx(c.ones * a.density + (1 - c.ones) * b.density + differ * c.density)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 999))
def test_the_estimate_is_exact_for_a_tree_whose_inputs_toggle_one_at_a_time(seed):
    """The inputs of every gate are independent and no two toggle at once, so the rule's assumptions hold."""
    netlist, _ = tree(seed, list(FUNCTIONS))
    random, cycles = np.random.default_rng(seed), 64 * 400
    turning = random.integers(INPUTS, size=cycles) == np.arange(INPUTS)[:, None]
    bits = (np.cumsum(turning, axis=1) + random.integers(2, size=(INPUTS, 1))) % 2 == 1
    before = {net: activity.pack(row[:-1]) for net, row in enumerate(bits)}
    after = {net: activity.pack(row[1:]) for net, row in enumerate(bits)}
    turns = activity.settled_toggles(netlist, before, after, activity.pack(np.ones(cycles - 1, bool)))
    for net, signal in vectorless.assumed(netlist, {}).items():
        assert turns[net] / cycles == pytest.approx(signal.density, abs=0.015)


def test_a_register_has_the_probability_of_its_input_and_toggles_once_a_cycle_at_most():
    delayed = wired({"x": [0]}, ("flop", {"D": 0, "C": 9, "Q": 1}), ("flop", {"D": 1, "C": 9, "N": 2}))
    signals = vectorless.assumed(delayed, {"x": 0})
    assert (signals[1], signals[2]) == (Signal(0.0, 0.0), Signal(1.0, 0.0))
    assert vectorless.assumed(delayed, {})[2] == pytest.approx(ASSUMED)
    counting = wired({"x": [0]}, ("xor", {"A": 0, "B": 1, "Y": 2}), ("flop", {"D": 2, "C": 9, "Q": 1}))
    assert vectorless.assumed(counting, {})[1] == pytest.approx((0.5, 1.0))
    assert vectorless.assumed(counting, {})[2].density == pytest.approx(1.0 + ASSUMED.density)


def test_probabilities_that_do_not_converge_are_refused(monkeypatch):
    monkeypatch.setattr(vectorless, "SWEEPS", 3)
    counting = wired({"x": [0]}, ("xor", {"A": 0, "B": 1, "Y": 2}), ("flop", {"D": 2, "C": 9, "Q": 1}))
    with pytest.raises(InputError, match="within 3 sweeps"):
        vectorless.assumed(counting, {})


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_gates_converge_to_their_functions_in_any_order(seed):
    random = np.random.default_rng(seed)
    gates = [
        ("nand", {"A": 0, "B": 1, "Y": 2}),
        ("inv", {"A": 2, "Y": 3}),
        ("nand", {"A": 3, "B": 4, "Y": 5}),
        ("inv", {"A": 1, "Y": 4}),
    ]
    netlist = wired({}, *(gates[at] for at in random.permutation(4)))
    bits = random.random((2, 100)) < 0.5
    nets = netlist.settle({net: activity.pack(row) for net, row in enumerate(bits)})
    expected = ~((bits[0] & bits[1]) & ~bits[1])
    assert np.array_equal(np.unpackbits(nets[5].view(np.uint8), bitorder="little")[:100], expected)


def events(raw, old, ticks):
    """Simulates a gate with an inertial delay, bit by bit: an edge passes if the input stays for the delay."""
    value, out = old, []
    history = [old] * ticks + list(raw) + [raw[-1]] * ticks
    for now in range(len(raw) + ticks):
        window = history[now : now + ticks]
        value = window[0] if len(set(window)) == 1 else value
        out.append(value)
    return out


@given(raw=st.lists(st.integers(0, 1), min_size=1, max_size=12), old=st.integers(0, 1), ticks=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_a_delay_filters_shorter_pulses(raw, old, ticks):
    words = np.array(raw, np.uint64)[:, None]
    out = np.empty((len(raw) + ticks, 1), np.uint64)
    activity.delay(words, np.array([old], np.uint64), ticks, out)
    assert (out[:, 0] & np.uint64(1)).tolist() == events(raw, old, ticks)
