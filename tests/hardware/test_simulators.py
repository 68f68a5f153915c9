"""The engine on other simulators: all installed ones agree with the golden model and the closed form."""

import importlib.util
import sys

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")

from lowbit import paths, quantizers
from lowbit.hardware import accelerator, cycles, golden, image, program, synthetic
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.rtl import system
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

SCRIPT = importlib.util.spec_from_file_location("rtl_simulators", paths.SOURCE / "benchmarks" / "rtl_simulators.py")
simulators = importlib.util.module_from_spec(SCRIPT)
SCRIPT.loader.exec_module(simulators)

WIDE = {"cell": "gru", "inputs": 3, "hidden": 5, "planes": (1, 2), "slots": 2}
STARVED = {"cell": "rnn", "inputs": 6, "hidden": 7, "symbols": True}
RANDOM = {
    "gru, 3 bits": (Machine("multiply(bits=3)", 7, act_bits=8), WIDE),
    "rnn, waiting for words": (Machine("binary", 6, act_bits=6, acc_bits=8, off_chip_bits_per_s=10**9), STARVED),
}
LSTM = synthetic.program(Machine(lanes=8, act_bits=6), "lstm", 3, 4, seed=1)
EVERY = pytest.mark.parametrize("name", simulators.SIMULATORS)


@pytest.fixture(scope="module")
def trained():
    """An engine of a trained network, and its test text."""
    spec = RunSpec(quantizer="ternary", budget="smoke(updates=60, hidden=12, test_limit=500, valid_limit=500)")
    session = train.Session(spec)
    session.run()
    evaluate.calibrate(session.network, spec.data, spec.recipe, sample=False)
    machine = accelerator.with_lane_for(Machine(lanes=16), quantizers.build("ternary"))
    text = next(iter(spec.data.alone("test", 60))).x.numpy()[:30].astype(np.int64)
    return program.assemble(session.network.layers[0], machine, None), text


@pytest.fixture
def present(name):
    """The name of a simulator that can run here."""
    if reason := simulators.lack(name):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Makes a folder the whole search path of programs, and every package seem installed."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: object())
    return tmp_path


def agrees(name, engine, x, folder):
    outputs, count = simulators.build(name, system.load(engine, x[:, 0]), folder)()
    assert np.array_equal(outputs, golden.run(engine, x)[0][:, 0])
    assert count == cycles.count(engine.machine, Workload.of(engine), len(x)).cycles


@pytest.mark.slow
@EVERY
def test_every_simulator_agrees_on_the_test_text_of_a_trained_network(present, trained, tmp_path):
    agrees(present, *trained, tmp_path)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("case", RANDOM)
def test_every_simulator_agrees_on_random_engines(present, case, tmp_path):
    machine, options = RANDOM[case]
    engine = synthetic.program(machine, seed=4, **options)
    agrees(present, engine, synthetic.stimulus(engine, 5, seed=4), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icarus"])
def test_a_changed_weight_code_changes_the_outputs_of_another_simulator(present, tmp_path):
    x, words = synthetic.stimulus(LSTM, 3), image.words(LSTM)
    words[2, 3] ^= 1
    outputs, _ = simulators.build(present, system.load(LSTM, x[:, 0], words), tmp_path)()
    assert not np.array_equal(outputs, golden.run(LSTM, x)[0][:, 0])


def test_the_error_of_a_missing_simulator_names_what_it_needs(bare):
    assert simulators.lack("icarus") == "there is no iverilog, no vvp"
    with pytest.raises(InputError, match="cannot simulate with cxxrtl: there is no g"):
        simulators.build("cxxrtl", None, bare)
    with pytest.raises(InputError, match="no simulator 'vcs'; known: amaranth, "):
        simulators.build("vcs", None, bare)


@pytest.mark.parametrize(("version", "works"), [("Verilator 5.006 2023-01-22", False), ("Verilator 5.048 2026", True)])
def test_a_verilator_with_a_known_error_is_refused(version, works, bare):
    for name, line in (("verilator", version), ("g++", "")):
        (bare / name).write_text(f"#!/bin/sh\necho {line}\n")
        (bare / name).chmod(0o755)
    assert ("computes wrongly" in simulators.lack("verilator")) == (not works)


def test_a_simulation_that_stops_early_is_an_error():
    engine = system.load(LSTM, synthetic.stimulus(LSTM, 1)[:, 0])
    outputs, count = system.run(engine)
    lines = "".join(f"{unit} {value % 64}\n" for unit, value in enumerate(outputs[0]))
    again, reported = simulators.outcome(f"{lines}done {count}\n", engine)
    assert np.array_equal(again, outputs)
    assert reported == count
    with pytest.raises(InputError, match="stopped before"):
        simulators.outcome(lines, engine)
