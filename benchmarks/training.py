"""Compares the training speed of our layers with torch's own: one process, models in turn, seconds of each round.

    python benchmarks/training.py

Every model does the same work: one update of a network with a readout at each step (or the last), its loss, Adam.
The record is saved in `results/benchmarks` after each case, so an interruption loses one case at most. With one thread,
times are processor times of this process, to which other programs add little; with more threads they are wall times.
"""

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import lowbit

LSTM = "lstm(normalize_cell=True)"
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
HALF = "fused(products='bfloat16')"
EAGER = 1.5  # the target for every fused loop against the loop under autograd
MEMORY = 1.3  # the target for peak memory, times that of torch's layer
FIRST_USE = {"empty": 20.0, "filled": 0.5}  # targets in seconds beyond imports: with compilation, and without
ROUNDS = 5  # at least, regardless of time


@dataclasses.dataclass(frozen=True)
class Case:
    """One shape of a layer, our kernels with their targets against torch's layer, and the peers."""

    cell: str
    norm: str
    hidden: int
    ours: tuple[tuple[str, float | None], ...] = (("fused", None),)
    steps: int = 100
    batch: int = 64
    symbols: int = 50  # 0: one feature a step and one class a sequence, as sequential MNIST
    quantizer: str = "ternary"
    threads: tuple[int, ...] = (1,)
    memory: bool = False  # whether peak memory is measured

    @property
    def name(self) -> str:
        """Describes the case in words."""
        return f"{self.cell} {self.norm} {self.quantizer} {self.hidden} units, {self.steps} steps, batch {self.batch}"

    @property
    def groups(self) -> dict[str, str]:
        """Every contestant and its group."""
        peers = {"torch": "torch"}
        if self.norm not in ("none", "weight"):
            peers["reference"] = "eager"
        if (self.cell, self.norm, self.hidden) == (LSTM, "batch_step", 512) and self.quantizer in ("binary", "ternary"):
            peers["brevitas"] = "brevitas"
        return peers | {name: "ours" for name, _ in self.ours}

    @property
    def bars(self) -> dict[str, dict[str, float]]:
        """Targets for our kernels: how many times faster than each group they are with one thread."""
        eager = {"eager": EAGER} if "reference" in self.groups else {}
        return {name: eager | ({"torch": bar} if bar else {}) for name, bar in self.ours}


def first_case(hidden: int, half: float | None) -> Case:
    """Returns the main case: a ternary LSTM with batch norm per step and a normalized cell."""
    return Case(LSTM, "batch_step", hidden, (("fused", 1.0), (HALF, half)), threads=(1, 2), memory=True)


CASES = [
    first_case(256, None),
    first_case(512, 1.7),
    first_case(1000, 2.0),
    Case(LSTM, "batch_step", 100, (("fused", 1.0),), 784, 100, 0, memory=True),
    *(Case(cell, "batch_step", hidden, (("fused", 0.9),)) for cell in ("gru", "rnn") for hidden in (256, 512)),
    *(Case(cell, "none", 512, (("library", 0.95),), memory=True) for cell in LAYERS),
    Case("lstm", "weight", 512, (("library", None),)),
    Case(LSTM, "layer", 512),
    Case(LSTM, "batch_step", 512, (("fused", None), (HALF, None)), quantizer="binary"),
    Case(LSTM, "batch_step", 512, (("fused", None), (HALF, None)), quantizer="full"),
    Case(LSTM, "batch_step", 128, (("fused", None), (HALF, None))),
]


class Peer(nn.Module):
    """A layer of torch, or one with the same interface, with a readout and without a norm."""

    def __init__(self, case: Case, layer: nn.Module):
        super().__init__()
        self.symbols, self.layer = case.symbols, layer
        self.readout = nn.Linear(case.hidden, case.symbols or 10)

    def forward(self, x):
        """Returns the logits of each step, or of the last."""
        out, _ = self.layer(F.one_hot(x, self.symbols).float() if self.symbols else x)
        return self.readout(out if self.symbols else out[-1])


def plain(case: Case) -> nn.Module:
    """Returns torch's own layer, in float32."""
    layer = LAYERS[case.cell.partition("(")[0]]
    return Peer(case, layer(case.symbols or 1, case.hidden))


def brevitas(case: Case) -> nn.Module:
    """Returns the quantized LSTM of Brevitas with our levels, no norm, and all but its weights in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas import quant
        from brevitas.nn import QuantLSTM

    weights = getattr(quant, f"Signed{case.quantizer.capitalize()}WeightPerTensorConst")
    others = ("bias", "io", "gate_acc", "sigmoid", "tanh", "cell_state")
    plain = {f"{name}_quant": None for name in others}
    return Peer(case, QuantLSTM(case.symbols or 1, case.hidden, weight_quant=weights, **plain))


def ours(case: Case, kernel: str) -> nn.Module:
    """Returns our network for a case, run by one kernel."""
    cell, quantizer = lowbit.layers.cells.build(case.cell), lowbit.quantizers.build(case.quantizer)
    design = lowbit.layers.Design(cell, quantizer, case.norm)
    recipe = lowbit.datasets.Recipe(hidden=case.hidden, updates=1, steps=case.steps)
    task = "char-lm" if case.symbols else "classify"
    network = lowbit.layers.networks.registry[task](case.symbols or 1, case.symbols or 10, recipe, design)
    for layer in network.recurrent().values():
        layer.kernels = (lowbit.layers.kernels.build(kernel),)  # fails where it does not agree with the reference
    return network


def update(case: Case, network: nn.Module) -> Callable[[], None]:
    """Returns a function that makes one update of a network."""
    generator = torch.Generator().manual_seed(0)
    if case.symbols:
        x, y = torch.randint(case.symbols, (2, case.steps, case.batch), generator=generator)
    else:
        x = torch.rand(case.steps, case.batch, 1, generator=generator)
        y = torch.randint(10, (case.batch,), generator=generator)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=True)

    def step() -> None:
        outputs = network(x)
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        optimizer.zero_grad()
        F.cross_entropy(outputs.flatten(0, -2), y.flatten()).backward()
        optimizer.step()

    return step


def build(case: Case, name: str) -> Callable[[], None]:
    """Returns the update of one contestant."""
    torch.manual_seed(0)
    peer = {"torch": plain, "brevitas": brevitas}.get(name)
    return update(case, peer(case) if peer else ours(case, name))


def here(case: Case) -> tuple[Case, list[str]]:
    """Returns the case with the kernels that this machine can run, and messages about the others."""
    lacking = {name: lowbit.layers.kernels.build(name).missing() for name, _ in case.ours}
    kernels = tuple((name, target) for name, target in case.ours if not lacking[name])
    return dataclasses.replace(case, ours=kernels), [f"{name}: {need}" for name, need in lacking.items() if need]


def measure(case: Case, threads: int, rounds: int, seconds: float) -> tuple[lowbit.speed.Case, list[str]]:
    """Measures a case; returns it with the peers that are absent. Rounds end after `seconds`."""
    torch.set_num_threads(threads)
    steps, absent = {}, []
    for name in case.groups:
        try:
            steps[name] = build(case, name)
        except ModuleNotFoundError as error:
            absent.append(f"{name}: {error.name} is not installed")
    for step in steps.values():
        step()
        step()
    names, taken = list(steps), {name: [] for name in steps}
    clock = time.process_time if threads == 1 else time.perf_counter
    until = time.perf_counter() + seconds
    for turn in range(rounds):
        if turn >= ROUNDS and time.perf_counter() > until:
            break
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(timed(steps[name], clock))
    about = {name: getattr(case, name) for name in ("cell", "norm", "quantizer", "hidden", "steps", "batch", "symbols")}
    notes = {name: {"group": case.groups[name]} for name in names}
    return lowbit.speed.Case(about, threads, taken, notes, case.bars if threads == 1 else {}), absent


def timed(step: Callable[[], None], clock: Callable[[], float]) -> float:
    """Returns the seconds of one call, in whole microseconds."""
    began = clock()
    step()
    return round(clock() - began, 6)


def memory(case: Case, name: str) -> float:
    """Returns the MiB that updates of one model add to the peak of its process, after those of a tiny model."""
    build(dataclasses.replace(case, hidden=8, steps=4, batch=8), name)()
    before = lowbit.studies.provenance.peak_memory_mb()
    step = build(case, name)
    step()
    step()
    return lowbit.studies.provenance.peak_memory_mb() - before


def first_use(case: Case, name: str) -> float:
    """Returns the seconds of the first update of a tiny network in this process."""
    return timed(build(dataclasses.replace(case, hidden=8, steps=4, batch=8), name), time.perf_counter)


def alone(measurement: Callable[[Case, str], float], number: int, name: str, **environment: str) -> tuple[float, float]:
    """Returns the seconds of the imports, and a measurement, of a separate process with one thread."""
    code = (
        "import time; began = time.perf_counter(); import training; print(time.perf_counter() - began);"
        f"training.torch.set_num_threads(1); print(training.{measurement.__name__}(training.CASES[{number}], {name!r}))"
    )
    settings = {"cwd": Path(__file__).parent, "env": os.environ | environment, "check": True}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **settings)
    imports, value = map(float, process.stdout.split())
    return imports, value


def starts(repeats: int = 3) -> list[dict]:
    """Measures the first update of a process, with and without compilation."""
    number, name = 0, CASES[0].ours[0][0]
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [alone(first_use, number, name, NUMBA_CACHE_DIR=folder) for _ in range(1 + repeats)]
    later = [statistics.median(values) for values in zip(*others, strict=True)]
    keys = ("import_seconds", "seconds")
    return [
        {"cache": cache, "bar": FIRST_USE[cache], **dict(zip(keys, (round(value, 3) for value in values), strict=True))}
        for cache, values in (("empty", first), ("filled", later))
    ]


def run(options: argparse.Namespace) -> None:
    """Measures every case, prints the results, and saves the record after each."""
    torch.set_num_threads(1)
    settings = {"rounds": options.rounds, "seconds": options.seconds, "memory_bar": MEMORY}
    machine, limits = lowbit.speed.machine(), lowbit.speed.limits()
    benchmark = lowbit.speed.Benchmark("training", machine, settings, limits, [], [], {}, False)
    torch.set_flush_denormal(True)  # else gradients that vanish over 784 steps slow torch's layer tenfold
    chosen = [(number, case, threads) for number, case in enumerate(CASES) for threads in case.threads]
    for number, case, threads in sorted(chosen, key=lambda entry: entry[2]):
        if options.only not in case.name or threads > min(options.threads, os.cpu_count()):
            continue
        case, lacking = here(case)
        entry, absent = measure(case, threads, options.rounds, options.seconds)
        if case.memory and threads == 1:
            for name in entry.names("torch") + entry.names("ours"):
                entry.notes[name]["peak_mib"] = round(alone(memory, number, name)[1], 1)
        benchmark.absent[:] = sorted({*benchmark.absent, *lacking, *absent})
        benchmark.cases.append(entry)
        file = lowbit.speed.save(benchmark)
        ratios = {name: entry.ratio(name, "torch").median for name in entry.names("ours")}
        print(f"{case.name}, {threads} threads, times torch:", ratios, flush=True)
    benchmark.tables["first_use"] = starts()
    lowbit.speed.save(dataclasses.replace(benchmark, complete=True))
    print("first use:", *benchmark.tables["first_use"], "\nleft out:", benchmark.absent or "nothing", f"\n{file}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of a case, at most")
    parser.add_argument("--seconds", type=float, default=20, help=f"of a case, once it has {ROUNDS} rounds")
    parser.add_argument("--threads", type=int, default=2, help="at most")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
