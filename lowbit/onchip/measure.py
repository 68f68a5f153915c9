"""A packed network on a machine, run on the test text of its dataset: scores, errors, activity, comparisons."""

import dataclasses
import importlib.util
import time

import numpy as np
from jaxtyping import Float, Int64

from lowbit import datasets
from lowbit.hardware import cycles, cyclesim, golden, image
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import Program
from lowbit.inference import model
from lowbit.onchip import stages
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.registry import InputError
from lowbit.studies import provenance

SCORED = (6, 7, 8, 10, 12)  # bits of activations
COMPARED = (6, 7, 8, 9, 10, 11, 12, 14, 16)
SYMBOLS = 12_000  # of the text for scores and activity
STREAMS, STEPS = 8, 250  # for errors by stage
SIMULATED = {20: 1, 40: 1, 100: 4, 200: 2}  # steps in a simulator of hardware, by lanes
FAULTS = 50


def measure(pair: Pair, symbols: int = SYMBOLS) -> Findings:
    """All findings; raises `InputError` where the data are missing or any two models of the engine differ."""
    began = time.monotonic()
    packed = model.load(pair.file, 32)
    data = datasets.build(packed.spec["dataset"])
    (text,) = data.splits["test"]
    text = text[: symbols + 1].astype(np.int64)
    program = pair.program()
    check, activity = _stepped(program, text[:-1])
    checks, hardware = _simulated(pair, text)
    return Findings(
        pair.network,
        pair.machine,
        pair.digest,
        {"dataset": packed.spec["dataset"], "split": "test", "sha256": data.digest},
        {"unit": data.metric.unit, "symbols": symbols} | _scores(pair, packed, text),
        _errors(pair, text[: STREAMS * STEPS].reshape(STREAMS, STEPS).T),
        {"symbols": symbols, **activity},
        [check, *checks],
        hardware,
        _faults(program, text[:20]),
        {"seconds": round(time.monotonic() - began, 1), **provenance.machine()},
    )


def _scores(pair: Pair, packed: model.Model, text: Int64[np.ndarray, " time"]) -> dict[str, float]:
    real = stages.Real.of(pair.file).run(text[:-1, None])
    scores = {"real": _bits(packed, np.concatenate([step["hidden"] for step in real]), text[1:])}
    for bits in SCORED:
        machine = dataclasses.replace(pair.accelerator, act_bits=bits)
        outputs, _ = golden.run(pair.program(machine), text[:-1, None])
        scores[str(bits)] = _bits(packed, machine.activation.real(outputs[:, 0]), text[1:])
    return scores


def _bits(packed: model.Model, h: Float[np.ndarray, "time hidden"], following: Int64[np.ndarray, " time"]) -> float:
    """Bits a symbol of the text, with the readout on the host."""
    logits = h @ packed.readout.T.astype(np.float64) + packed.bias
    logits -= logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(following)), following]
    return float(nats.mean() / np.log(2))


def _errors(pair: Pair, streams: Int64[np.ndarray, "time batch"]) -> dict[str, dict]:
    """Errors by bits of activations, then by stage."""
    errors = {}
    for bits in COMPARED:
        program = pair.program(dataclasses.replace(pair.accelerator, act_bits=bits))
        by_stage = stages.errors(stages.Real.of(pair.file).run(streams), stages.whole(program, streams))
        errors[str(bits)] = {stage: error._asdict() for stage, error in by_stage.items()}
    return errors


def _check(name: str, steps: int, outputs: Int64[np.ndarray, "time hidden"], count: int) -> dict[str, str | int]:
    """The entry of a comparison in which all values are equal."""
    reference = "golden model, closed form"
    return {"what": name, "against": reference, "steps": steps, "values": outputs.size, "cycles": count}


def _stepped(program: Program, text: Int64[np.ndarray, " time"]) -> tuple[dict, dict]:
    """The model of every register against the golden model and the closed form."""
    outputs, _ = golden.run(program, text[:, None])
    run = cyclesim.simulate(program, text)
    counts = cycles.count(program.machine, Workload.of(program), len(text))
    if not np.array_equal(run.outputs, outputs[:, 0]) or run.counts != counts:
        raise InputError("the model of every register differs from the golden model or from the closed form")
    check = _check("every register", len(text), run.outputs, counts.cycles)
    return check, {**counts._asdict(), "skipped": run.skipped, "quiet": run.quiet}


def _simulated(pair: Pair, text: Int64[np.ndarray, " time"]) -> tuple[list[dict], list[dict]]:
    """The hardware in Amaranth's simulator, where it is installed, with more lanes and fewer."""
    if importlib.util.find_spec("amaranth") is None:
        return [], []
    from lowbit.hardware.rtl import system

    checks, rows = [], []
    for lanes, steps in (SIMULATED | {pair.accelerator.lanes: SIMULATED[100]}).items():
        machine = dataclasses.replace(pair.accelerator, lanes=lanes)
        program = pair.program(machine)
        outputs, count = system.run(system.load(program, text[:steps]))
        expected = golden.run(program, text[:steps, None])[0][:, 0]
        if not np.array_equal(outputs, expected) or count != cycles.count(machine, pair.work(), steps).cycles:
            raise InputError(f"the hardware with {lanes} lanes differs from its models")
        rows.append({"lanes": lanes, "steps": steps, "cycles": count})
        checks.append(_check(f"hardware of {lanes} lanes, Amaranth's simulator", steps, outputs, count))
    return checks, rows


def _faults(program: Program, text: Int64[np.ndarray, " time"]) -> dict[str, int]:
    """Recurrent weight codes replaced by those of other weights, one at a time; counts changed outputs."""
    random, lane = np.random.default_rng(0), program.machine.arithmetic
    healthy, outputs = image.words(program), cyclesim.simulate(program, text).outputs
    first, rows = int(image.starts(program)[0, -1]), program.plan.gates * image.units(program)
    noticed = 0
    for _ in range(FAULTS):
        words = healthy.copy()
        at, place = first + int(random.integers(program.hidden)), int(random.integers(rows))
        words[at, place] = random.choice(np.flatnonzero(lane.values != lane.values[words[at, place]]))
        noticed += not np.array_equal(cyclesim.simulate(program, text, words).outputs, outputs)
    return {"weights changed": FAULTS, "noticed": noticed, "symbols": len(text)}
