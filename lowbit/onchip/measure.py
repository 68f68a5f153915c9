"""A packed network on a machine, run on the test text of its dataset: scores, errors, activity, comparisons."""

import dataclasses
import importlib.util
import time
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int64

from lowbit import datasets
from lowbit.hardware import cycles, cyclesim, golden, image
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import PLANS, Program
from lowbit.inference import model
from lowbit.onchip import stages
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Check, Findings
from lowbit.registry import InputError
from lowbit.studies import provenance

SCORED = (6, 7, 8, 10, 12)  # bits of activations
COMPARED = (6, 7, 8, 9, 10, 11, 12, 14, 16)
SYMBOLS = 12_000  # of the text that is scored, stepped through and compared
STREAMS, STEPS = 8, 250  # side by side, for errors by stage
SIMULATED = {20: 1, 40: 1, 100: 4, 200: 2}  # steps in a simulator of hardware, by lanes
FAULTS = 50


def measure(pair: Pair, symbols: int = SYMBOLS) -> Findings:
    """Everything; raises `InputError` where the data are missing or any two tellings differ."""
    began = time.monotonic()
    told = model.load(pair.file, 32)
    data = datasets.build(told.spec["dataset"])
    (text,) = data.splits["test"]
    text = text[: symbols + 1].astype(np.int64)
    program = pair.program()
    side = text[: STREAMS * STEPS].reshape(STREAMS, STEPS).T
    checks, activity = _stepped(program, text[:-1])
    simulated, hardware = _simulated(pair, text)
    return Findings(
        pair.network,
        pair.machine,
        pair.digest,
        {"dataset": told.spec["dataset"], "split": "test", "sha256": data.digest},
        {"unit": data.metric.unit, "symbols": symbols} | _scores(pair, told, text),
        {str(bits): _errors(pair, side, bits) for bits in COMPARED},
        {"symbols": symbols, **activity},
        [dataclasses.asdict(each) for each in (*checks, *simulated)],
        hardware,
        _faults(program, text[:20]),
        {"seconds": round(time.monotonic() - began, 1), **provenance.machine()},
    )


def _scores(pair: Pair, told: model.Model, text: Int64[np.ndarray, " time"]) -> dict[str, float]:
    real = stages.Real.of(pair.file).run(text[:-1, None])
    found = {"real": _bits(told, np.concatenate([each["hidden"] for each in real]), text[1:])}
    for bits in SCORED:
        machine = dataclasses.replace(pair.built, act_bits=bits)
        outputs, _ = golden.run(pair.program(machine), text[:-1, None])
        found[str(bits)] = _bits(told, machine.activation.real(outputs[:, 0]), text[1:])
    return found


def _bits(told: model.Model, h: Float[np.ndarray, "time hidden"], following: Int64[np.ndarray, " time"]) -> float:
    """Bits that the text takes a symbol, with the readout on the host."""
    logits = h @ told.readout.T.astype(np.float64) + told.bias
    logits -= logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(following)), following]
    return float(nats.mean() / np.log(2))


def _errors(pair: Pair, side: Int64[np.ndarray, "time batch"], bits: int) -> dict[str, dict]:
    program = pair.program(dataclasses.replace(pair.built, act_bits=bits))
    found = stages.errors(stages.Real.of(pair.file).run(side), stages.whole(program, side))
    return {stage: each._asdict() for stage, each in found.items()}


def _stepped(program: Program, text: Int64[np.ndarray, " time"]) -> tuple[list[Check], dict]:
    """The model of every register against the golden model and the closed form."""
    outputs, _ = golden.run(program, text[:, None])
    found = cyclesim.simulate(program, text)
    counted = cycles.count(program.machine, Workload.of(program), len(text))
    if not np.array_equal(found.outputs, outputs[:, 0]) or found.counts != counted:
        raise InputError("the model of every register differs from the golden model or from the closed form")
    check = Check("every register", "golden model, closed form", len(text), outputs.size, counted.cycles)
    return [check], {**counted._asdict(), "skipped": found.skipped, "quiet": found.quiet}


def _simulated(pair: Pair, text: Int64[np.ndarray, " time"]) -> tuple[list[Check], list[dict]]:
    """The hardware in Amaranth's simulator, where it is installed, with more lanes and fewer."""
    if importlib.util.find_spec("amaranth") is None:
        return [], []
    from lowbit.hardware.rtl import system

    checks, told = [], []
    for machine, steps in _machines(pair.built):
        program = pair.program(machine)
        outputs, taken = system.run(system.load(program, text[:steps]))
        expected = golden.run(program, text[:steps, None])[0][:, 0]
        counted = cycles.count(machine, Workload.of(program), steps).cycles
        if not np.array_equal(outputs, expected) or taken != counted:
            raise InputError(f"the hardware with {machine.lanes} lanes differs from its models")
        told.append({"lanes": machine.lanes, "steps": steps, "cycles": taken})
        name = f"hardware of {machine.lanes} lanes, Amaranth's simulator"
        checks.append(Check(name, "golden model, closed form", steps, outputs.size, taken))
    return checks, told


def _machines(machine: Machine) -> Iterator[tuple[Machine, int]]:
    for lanes, steps in (SIMULATED | {machine.lanes: SIMULATED[100]}).items():
        yield dataclasses.replace(machine, lanes=lanes), steps


def _faults(program: Program, text: Int64[np.ndarray, " time"]) -> dict[str, int]:
    """Codes of recurrent weights exchanged for those of other weights, one at a time."""
    random, lane = np.random.default_rng(0), program.machine.arithmetic
    right = image.words(program)
    outputs = cyclesim.simulate(program, text).outputs
    gates, starts = PLANS[program.cell].gates, image.starts(program)
    noticed = 0
    for _ in range(FAULTS):
        words, column = right.copy(), int(random.integers(program.hidden))
        at, place = int(starts[0, -1]) + column, int(random.integers(gates * image.units(program)))
        others = np.flatnonzero(lane.values != lane.values[words[at, place]])
        words[at, place] = random.choice(others)
        noticed += not np.array_equal(cyclesim.simulate(program, text, words).outputs, outputs)
    return {"weights changed": FAULTS, "noticed": noticed, "symbols": len(text)}
