"""The engine on other people's simulators: those that are found agree with the golden model and the closed form."""

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")

from lowbit import quantizers
from lowbit.hardware import accelerator, cycles, drawn, golden, image, program
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.rtl import simulators, system
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

WIDE = {"cell": "gru", "inputs": 3, "hidden": 5, "planes": (1, 2), "slots": 2}
STARVED = {"cell": "rnn", "inputs": 6, "hidden": 7, "symbols": True}
DRAWN = {
    "gru, 3 bits": (Machine("multiply(bits=3)", 7, act_bits=8), WIDE),
    "rnn, waiting for words": (Machine("binary", 6, act_bits=6, acc_bits=8, off_chip_bits_per_s=10**9), STARVED),
}


@pytest.fixture(scope="module")
def trained():
    """An engine of a trained network, and the text that it is tested on."""
    spec = RunSpec(quantizer="ternary", budget="smoke(updates=60, hidden=12, test_limit=500, valid_limit=500)")
    session = train.Session(spec)
    session.run()
    evaluate.calibrate(session.network, spec.data, spec.recipe, sample=False)
    machine = accelerator.carrying(Machine(lanes=16), quantizers.build("ternary"))
    text = next(iter(spec.data.alone("test", 60))).x.numpy()[:30].astype(np.int64)
    return program.assemble(session.network.layers[0], machine, None), text


def agrees(name, loaded, x, folder):
    outputs, taken = simulators.build(name, system.load(loaded, x[:, 0]), folder)()
    assert np.array_equal(outputs, golden.run(loaded, x)[0][:, 0])
    assert taken == cycles.count(loaded.machine, Workload.of(loaded), len(x)).cycles


@pytest.fixture
def present(name):
    """The name of a simulator that can run here."""
    if reason := simulators.lack(name):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.mark.slow
@pytest.mark.parametrize("name", simulators.SIMULATORS)
def test_a_trained_network_reads_its_test_text_alike_on_every_simulator(present, trained, tmp_path):
    agrees(present, *trained, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", simulators.SIMULATORS)
@pytest.mark.parametrize("which", DRAWN)
def test_engines_of_random_numbers_agree_on_every_simulator(present, which, tmp_path):
    machine, options = DRAWN[which]
    loaded = drawn.program(machine, seed=4, **options)
    agrees(present, loaded, drawn.stimulus(loaded, 5, seed=4), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icarus"])
def test_a_flipped_weight_code_is_seen_by_another_simulator(present, tmp_path):
    loaded = drawn.program(Machine(lanes=8, act_bits=6), "lstm", 3, 4, seed=1)
    x, words = drawn.stimulus(loaded, 3), image.words(loaded)
    words[2, 3] ^= 1
    outputs, _ = simulators.build(present, system.load(loaded, x[:, 0], words), tmp_path)()
    assert not np.array_equal(outputs, golden.run(loaded, x)[0][:, 0])


def test_what_a_simulator_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(simulators.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(simulators.importlib.util, "find_spec", lambda package: object())
    assert simulators.lack("icarus") == "there is no iverilog, no vvp"
    with pytest.raises(InputError, match="cannot simulate with cxxrtl: there is no g"):
        simulators.build("cxxrtl", None, tmp_path)
    with pytest.raises(InputError, match="no simulator 'vcs'; known: amaranth, "):
        simulators.build("vcs", None, tmp_path)


@pytest.mark.parametrize(("version", "works"), [("Verilator 5.006 2023-01-22", False), ("Verilator 5.048 2026", True)])
def test_a_verilator_that_is_known_to_be_wrong_is_refused(version, works, monkeypatch, tmp_path):
    monkeypatch.setattr(simulators.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(simulators.importlib.util, "find_spec", lambda package: object())
    for name, line in (("verilator", version), ("g++", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {line}\n")
        (tmp_path / name).chmod(0o755)
    assert ("computes wrongly" in simulators.lack("verilator")) == (not works)


def test_a_simulation_that_stops_early_is_no_result():
    loaded = drawn.program(Machine(lanes=8, act_bits=6), "lstm", 3, 4, seed=1)
    engine = system.load(loaded, drawn.stimulus(loaded, 1)[:, 0])
    outputs, taken = system.run(engine)
    told = "".join(f"{unit} {value % 64}\n" for unit, value in enumerate(outputs[0]))
    again, cycles_told = simulators.outcome(f"{told}done {taken}\n", engine)
    assert np.array_equal(again, outputs)
    assert cycles_told == taken
    with pytest.raises(InputError, match="stopped before"):
        simulators.outcome(told, engine)
