"""A packed model on a machine: its program equals that of the network, and its record and pages agree."""

import dataclasses
import json

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")

from lowbit import paths
from lowbit.hardware import accelerator, cycles, golden, program
from lowbit.inference import deploy, programs
from lowbit.onchip import measure, record, stages
from lowbit.onchip.pair import Pair
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

SMALL = "smoke(hidden=16, updates=4, evaluate_every=4, calibration=2, batch=4, steps=8)"
COMMITTED = sorted(path.stem for path in (paths.SOURCE / "results" / "hardware").glob("*.json"))


def packed(cell="lstm", quantizer="ternary", bits=0, norm="batch"):
    """A network of random gains, and its pair with a machine, packed in the folder of pages."""
    spec = RunSpec(cell=cell, quantizer=quantizer, budget=SMALL, norm=norm)
    torch.manual_seed(0)
    network = train.build(spec)
    for layer_norm in network.norms():
        torch.nn.init.uniform_(layer_norm.gain, 0.1, 1.0)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    pair = Pair(f"markov-{cell}-{quantizer}", f"{quantizer}(lanes=12)")
    deploy.write(network, spec, pair.file, bits=bits)
    return pair, network


def symbols(steps=20, batch=3):
    return np.random.default_rng(0).integers(0, RunSpec().data.inputs, (steps, batch))


@pytest.mark.parametrize(("quantizer", "bits"), [("ternary", 0), ("binary", 0), ("full", 12)])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_a_packed_model_has_the_program_of_its_network(cell, quantizer, bits):
    pair, network = packed(cell, quantizer, bits)
    ours, theirs = pair.program(), program.assemble(network.layers[0], pair.accelerator, None)
    assert np.array_equal(ours.start, theirs.start)
    for a, b in zip(ours.passes, theirs.passes, strict=True):
        assert np.array_equal(a.weights, b.weights)
        assert np.array_equal(a.scale, b.scale)
    if cell == "gru":  # others add both shifts before they are packed
        assert all(np.array_equal(a.offset, b.offset) for a, b in zip(ours.passes, theirs.passes, strict=True))
    offsets = [sum(sweep.offset / 2.0**sweep.places for sweep in engine.passes) for engine in (ours, theirs)]
    np.testing.assert_allclose(*offsets, atol=0.1)  # of the last place of a pre-activation


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_stages_in_real_numbers_give_the_outputs_of_the_network(cell):
    pair, network = packed(cell)
    x = symbols()
    hidden = np.stack([step["hidden"] for step in stages.Real.of(pair.file).run(x)])
    layer, w = network.layers[0], network.layers[0].round(sample=False)
    with torch.no_grad():
        expected = layer(torch.from_numpy(x), None, w)[0].numpy()
    np.testing.assert_allclose(hidden, expected, atol=1e-4)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_integer_stages_equal_the_golden_model_and_each_bit_reduces_their_error(cell):
    pair, _ = packed(cell)
    x, errors = symbols(), []
    for bits in (6, 9, 12):
        machine = dataclasses.replace(pair.accelerator, act_bits=bits, table_bits=16)
        engine = pair.program(machine)
        hidden = np.stack([step["hidden"] for step in stages.whole(engine, x)])
        assert np.array_equal(hidden, machine.activation.real(golden.run(engine, x)[0]))
        errors.append(stages.errors(stages.Real.of(pair.file).run(x), stages.whole(engine, x)))
    for stage in errors[0]:
        assert errors[0][stage].rms > 3 * errors[1][stage].rms > 9 * errors[2][stage].rms


def test_findings_read_back_as_they_are_written(monkeypatch):
    monkeypatch.setattr(measure, "SIMULATED", {8: 1, 100: 1})
    monkeypatch.setattr(measure, "FAULTS", 10)
    monkeypatch.setattr(measure, "STEPS", 20)
    pair, _ = packed()
    findings = measure.measure(pair, 300)
    store.write(record.path(pair), record.text(findings))
    assert record.recall(pair) == findings
    assert record.pairs() == [pair]
    assert not store.scan().problems
    assert findings.activity["cycles"] == cycles.count(pair.accelerator, pair.work(), 300).cycles
    assert abs(findings.score["12"] - findings.score["real"]) < abs(findings.score["6"] - findings.score["real"]) + 0.01
    assert findings.faults["noticed"] > 5
    other, _ = packed(quantizer="binary")
    pair.file.write_bytes(other.file.read_bytes())
    with pytest.raises(InputError, match="another packed model"):
        record.recall(pair)


def test_the_lane_of_a_pair_has_its_name_in_the_ledger():
    assert Pair(machine="full").lane == "multiply"
    assert Pair(machine="bits8").lane == "multiply(bits=8)"


def test_the_error_of_a_missing_record_names_its_script():
    with pytest.raises(InputError, match="benchmarks.onchip"):
        record.recall(Pair())


def test_a_cell_that_the_datapath_lacks_is_refused(tmp_path):
    spec = RunSpec(cell="lstm(normalize_cell=True)", budget=SMALL)
    network = train.build(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    deploy.write(network, spec, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="the datapath has no cell"):
        programs.build(tmp_path / "m.safetensors", accelerator.build("ternary"))


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_record_matches_its_packed_model_and_the_closed_form_of_cycles(name, monkeypatch):
    monkeypatch.setenv("LOWBIT_HOME", str(paths.SOURCE))
    content = json.loads((paths.SOURCE / "results" / "hardware" / f"{name}.json").read_text())
    pair = Pair(content["network"], content["machine"])
    assert pair.key == name
    findings = record.recall(pair)
    work = pair.work()
    counts = cycles.count(pair.accelerator, work, findings.activity["symbols"])._asdict()
    assert {key: findings.activity[key] for key in counts} == counts
    for row in findings.hardware:
        machine = dataclasses.replace(pair.accelerator, lanes=row["lanes"])
        assert row["cycles"] == cycles.count(machine, work, row["steps"]).cycles
