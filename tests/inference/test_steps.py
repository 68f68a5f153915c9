"""A step in one compiled call is a step of a run, and what is written in one call is written step by step."""

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("safetensors")

import lowbit
from lowbit.inference import deploy, model
from lowbit.registry import InputError
from lowbit.training import evaluate, train

SMALL = "smoke(hidden=20, updates=4, evaluate_every=4, calibration=2, batch=4, steps=8)"


@pytest.fixture
def pack(tmp_path):
    def pack(separate_steps=0, bits=8, **choices):
        spec = lowbit.RunSpec(**{"budget": SMALL, **choices})
        network = train.build(spec)
        evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
        deploy.write(network, spec, tmp_path / "m.safetensors", separate_steps)
        return model.load(tmp_path / "m.safetensors", bits)

    return pack


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("cell", ["gru", "lstm", "lstm(normalize_cell=True)", "rnn"])
@pytest.mark.parametrize("layers", [1, 3])
def test_steps_give_the_states_and_logits_of_one_run(layers, cell, bits, pack):
    packed = pack(5, bits, cell=cell, budget=SMALL.replace(")", f", layers={layers})"))
    assert packed.whole
    x = np.arange(24).reshape(8, 3) * 7 % packed.about["inputs"]
    y, end = packed.run(x, packed.start(batch=3))
    state, alone = packed.start(batch=3), packed.start()
    for n in range(len(x)):
        logits, state = packed.step(x[n], state)
        single, alone = packed.step(int(x[n, 0]), alone)
        np.testing.assert_allclose(logits, y[n], atol=2e-6)
        np.testing.assert_allclose(single, y[n, 0], atol=2e-6)
    for memory, expected, one in zip(state.layers, end.layers, alone.layers, strict=True):
        np.testing.assert_array_equal(memory, expected)
        np.testing.assert_array_equal(one, expected[0])
    assert state.t == end.t == alone.t


def test_a_step_leaves_the_state_before_as_it_is(pack):
    packed = pack()
    _, before = packed.run(np.array([1, 2]), packed.start())
    copies = [memory.copy() for memory in before.layers]
    first, after = packed.step(3, before)
    packed.step(4, after)
    again, _ = packed.step(3, before)
    np.testing.assert_array_equal(first, again)
    for memory, copied in zip(before.layers, copies, strict=True):
        np.testing.assert_array_equal(memory, copied)


@pytest.mark.parametrize("choices", [{}, {"cell": "gru"}, {"budget": SMALL.replace(")", ", layers=2)")}], ids=str)
def test_what_is_written_in_one_call_is_written_step_by_step(choices, pack, monkeypatch):
    packed = pack(**choices)
    monkeypatch.setattr(model, "AT_ONCE", 7)
    at_once = packed.generate(np.array([0, 1]), 40, temperature=0.7, seed=5)
    packed.whole = False
    np.testing.assert_array_equal(packed.generate(np.array([0, 1]), 40, temperature=0.7, seed=5), at_once)


def test_a_wrong_symbol_or_state_is_refused(pack):
    packed = pack()
    for symbol in (-1, packed.about["inputs"], 10**30):
        with pytest.raises(InputError, match="knows symbols from 0|takes one symbol"):
            packed.step(symbol, packed.start())
    with pytest.raises(InputError, match="takes one symbol"):
        packed.step(np.zeros(3, np.float32), packed.start())
    with pytest.raises(InputError, match="takes one symbol"):
        packed.step(0, packed.start(batch=2))
    other = pack(budget=SMALL.replace("hidden=20", "hidden=24"))
    with pytest.raises(InputError, match="state is of another model"):
        packed.step(0, other.start())


@pytest.mark.parametrize("choices", [{"quantizer": "full"}, {"bits": 32}], ids=str)
def test_a_model_without_whole_numbers_steps_as_well(choices, pack):
    packed = pack(**choices)
    x = np.arange(6) % packed.about["inputs"]
    y, _ = packed.run(x, packed.start())
    state = packed.start()
    for n, symbol in enumerate(x.tolist()):
        logits, state = packed.step(symbol, state)
        np.testing.assert_allclose(logits, y[n], atol=2e-6)
