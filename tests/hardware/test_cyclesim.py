"""The cycle model against the golden model in values, and against the closed form in cycles and accesses."""

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.hardware import cycles, cyclesim, golden, image, loader, synthetic
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import PLANS


@contextlib.contextmanager
def interpreted():
    """Runs the loops in Python: compilation takes longer than small shapes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "run", loader.interpreted)
        yield


LANES = ["binary", "ternary", "shift(span=4)", "odd(bits=2)", "multiply(bits=3)", "multiply"]


@settings(max_examples=80, deadline=None)
@given(
    lane=st.sampled_from(LANES),
    lanes=st.integers(4, 40),
    cell=st.sampled_from(sorted(PLANS)),
    inputs=st.integers(1, 9),
    hidden=st.integers(1, 13),
    symbols=st.booleans(),
    planes=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    beat=st.integers(1, 4),
    act_bits=st.integers(5, 12),
    narrow=st.booleans(),
    watched=st.sampled_from([0, 10_000]),
    seed=st.integers(0, 999),
)
def test_values_equal_the_golden_model_and_counts_the_closed_form(
    lane, lanes, cell, inputs, hidden, symbols, planes, beat, act_bits, narrow, watched, seed
):
    machine = Machine(lane=lane, lanes=lanes, act_bits=act_bits, acc_bits=act_bits + 2 if narrow else 0)
    slow = machine.word_bits * machine.clock_hz // beat if beat > 1 else 0
    machine = dataclasses.replace(machine, off_chip_bits_per_s=slow)
    assert machine.beat in (beat, beat + 1)
    program = synthetic.program(machine, cell, inputs, hidden, symbols, planes, slots=2, seed=seed)
    x = synthetic.stimulus(program, 4, seed=seed)
    with interpreted():
        run = cyclesim.simulate(program, x[:, 0], watched=watched)
    assert np.array_equal(run.outputs, golden.run(program, x)[0][:, 0])
    assert run.counts == cycles.count(machine, Workload.of(program), 4)


def test_compiled_loops_equal_those_of_python():
    program = synthetic.program(Machine(lanes=9), "gru", 3, 5, planes=(2, 1))
    x = synthetic.stimulus(program, 2)[:, 0]
    fast = cyclesim.simulate(program, x, watched=60)
    with interpreted():
        slow = cyclesim.simulate(program, x, watched=60)
    assert np.array_equal(fast.outputs, slow.outputs)
    assert fast.counts == slow.counts
    for one, other in zip(fast.trace, slow.trace, strict=True):
        assert np.array_equal(one, other)


def test_with_a_word_every_cycle_a_pass_waits_only_for_the_one_before():
    """The formula of the textbook case, whose numbers are easily checked by hand."""
    machine, work = Machine(lanes=100), Workload("lstm", 50, 512)
    groups = [25] * 20 + [12]
    lengths = [length for _ in groups for length in (1, 512)]
    drains = [0] + [size for size in groups for _ in range(2)]
    passes = sum(max(length, drain) for length, drain in zip(lengths, drains, strict=False))
    assert cycles.count(machine, work, 1).cycles == 2 + passes + 12 + 6 + 1
    assert cycles.count(machine, work, 7).cycles == 7 * cycles.count(machine, work, 1).cycles


@pytest.mark.parametrize("cell", sorted(PLANS))
def test_every_weight_is_used_once_a_step(cell):
    work = Workload(cell, 11, 30, symbols=False)
    assert cycles.count(Machine(), work, 3).used == 3 * work.weights


def test_more_lanes_are_never_slower_while_the_unit_keeps_up():
    work = Workload("lstm", 50, 256)
    seconds = [cycles.seconds(Machine(lanes=lanes), work) for lanes in (16, 32, 64, 128, 256)]
    assert seconds == sorted(seconds, reverse=True)
    assert cycles.utilisation(Machine(lanes=16), work) > 0.95


def test_a_trace_has_each_word_and_the_sums_that_it_changes():
    machine = Machine(lanes=8)
    program = synthetic.program(machine, "lstm", 4, 4, seed=1)
    x = synthetic.stimulus(program, 1)[:, 0]
    run = cyclesim.simulate(program, x, watched=200)
    trace, length = run.trace, run.counts.cycles
    assert trace.when("word").sum() == run.counts.words
    assert trace.when("blocked").sum() == run.counts.blocked
    assert trace.when("write").sum() == program.hidden
    first = np.flatnonzero(trace.when("word"))[:4]
    words = machine.arithmetic.decode(image.words(program))
    assert np.array_equal(trace.sums[first], np.cumsum(words[:4] * x[0][:, None], axis=0))
    moved = np.flatnonzero(trace.when("transfer"))[0]
    assert np.array_equal(trace.shadow[moved], trace.sums[first[3]])
    assert not trace.flags[length:].any()


@pytest.mark.parametrize("fault", ["a flipped weight code", "swapped gates", "a wrong address"])
def test_a_fault_in_the_memories_changes_the_outputs(fault):
    program = synthetic.program(Machine(lanes=12), "lstm", 6, 6, seed=3)
    x = synthetic.stimulus(program, 3)[:, 0]
    words = image.words(program)
    if fault == "a flipped weight code":
        words[4, 5] ^= 1
    elif fault == "swapped gates":
        words[:, [0, 1]] = words[:, [1, 0]]
    else:
        words[[2, 3]] = words[[3, 2]]
    healthy, faulty = cyclesim.simulate(program, x), cyclesim.simulate(program, x, words)
    assert not np.array_equal(healthy.outputs, faulty.outputs)
    assert healthy.counts.cycles == faulty.counts.cycles


def test_zero_weights_and_zero_activations_are_counted():
    program = synthetic.program(Machine(lanes=10), "rnn", 5, 7, seed=2)
    x = synthetic.stimulus(program, 1)[:, 0]
    x[0, 2] = 0
    program.start[0] = 1
    run = cyclesim.simulate(program, x)
    assert run.skipped == sum(int((sweep.weights == 0).sum()) for sweep in program.passes)
    assert run.quiet == len(cycles.groups(program.machine, "rnn", 7))
