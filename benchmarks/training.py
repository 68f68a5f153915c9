"""Training speed beside torch's own layers: one process, models in turn, the seconds of each round.

    python benchmarks/training.py

Every model does the same work: one update of a network with a readout at each step (or the last), its loss, Adam.
The record goes to `results/benchmarks` after each case, so that what ends this leaves what is done. With one thread
a time is the processor's time for this process, to which other programs add little; with more it is the clock's.
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

from lowbit import quantizers
from lowbit.datasets import Recipe
from lowbit.layers import cells, kernels, networks
from lowbit.layers.recurrent import Design
from lowbit.speed import benchmarks, roofline
from lowbit.studies import provenance

LSTM = "lstm(normalize_cell=True)"
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
HALF = "fused(products='bfloat16')"
EAGER = 1.5  # the bar of every fused loop against the loop under autograd
MEMORY = 1.3  # the bar of peak memory, times that of torch's layer
FIRST_USE = {"empty": 20.0, "filled": 0.5}  # the bars of seconds beyond imports, compiling and after
ROUNDS = 5  # at least, however long they take


@dataclasses.dataclass(frozen=True)
class Case:
    """One shape, our ways to train it with their bars against torch's layer, and its peers."""

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
        """What is measured."""
        return f"{self.cell} {self.norm} {self.quantizer} {self.hidden} units, {self.steps} steps, batch {self.batch}"

    @property
    def groups(self) -> dict[str, str]:
        """Every contestant and the group it stands for."""
        peers = {"torch": "torch"}
        if self.norm not in ("none", "weight"):
            peers["reference"] = "eager"
        if (self.cell, self.norm, self.hidden) == (LSTM, "batch_step", 512) and self.quantizer in ("binary", "ternary"):
            peers["brevitas"] = "brevitas"
        return peers | {name: "ours" for name, _ in self.ours}

    @property
    def bars(self) -> dict[str, dict[str, float]]:
        """How many times faster than a group each of ours was to be, with one thread."""
        eager = {"eager": EAGER} if "reference" in self.groups else {}
        return {name: eager | ({"torch": bar} if bar else {}) for name, bar in self.ours}


def first_case(hidden: int, half: float | None) -> Case:
    """The layer of the bars: an LSTM with norms of every step and of the cell, ternary weights."""
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
    """A layer of torch, or made like one, under a readout and without a norm."""

    def __init__(self, case: Case, layer: nn.Module):
        super().__init__()
        self.symbols, self.layer = case.symbols, layer
        self.readout = nn.Linear(case.hidden, case.symbols or 10)

    def forward(self, x):
        """Logits of each step, or of the last."""
        out, _ = self.layer(F.one_hot(x, self.symbols).float() if self.symbols else x)
        return self.readout(out if self.symbols else out[-1])


def plain(case: Case) -> nn.Module:
    """torch's own layer, in float32."""
    return Peer(case, LAYERS[cells.build(case.cell).__class__.__name__.lower()](case.symbols or 1, case.hidden))


def brevitas(case: Case) -> nn.Module:
    """The quantized LSTM of Brevitas with our levels, no norm, and all but its weights in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas import quant
        from brevitas.nn import QuantLSTM

    weights = getattr(quant, f"Signed{case.quantizer.capitalize()}WeightPerTensorConst")
    others = ("bias", "io", "gate_acc", "sigmoid", "tanh", "cell_state")
    plain = {f"{name}_quant": None for name in others}
    return Peer(case, QuantLSTM(case.symbols or 1, case.hidden, weight_quant=weights, **plain))


def ours(case: Case, kernel: str) -> nn.Module:
    """Our network for a case, run by one kernel."""
    design = Design(cells.build(case.cell), quantizers.build(case.quantizer), case.norm)
    recipe = Recipe(hidden=case.hidden, updates=1, steps=case.steps)
    task = "char-lm" if case.symbols else "classify"
    network = networks.registry[task](case.symbols or 1, case.symbols or 10, recipe, design)
    for layer in network.recurrent().values():
        layer.kernels = (kernels.build(kernel),)  # which fails where it does not agree with the reference
    return network


def update(case: Case, network: nn.Module) -> Callable[[], None]:
    """One update of a network."""
    draw = torch.Generator().manual_seed(0)
    if case.symbols:
        x, y = torch.randint(case.symbols, (2, case.steps, case.batch), generator=draw)
    else:
        x = torch.rand(case.steps, case.batch, 1, generator=draw)
        y = torch.randint(10, (case.batch,), generator=draw)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=True)

    def step() -> None:
        outputs = network(x)
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        optimizer.zero_grad()
        F.cross_entropy(outputs.flatten(0, -2), y.flatten()).backward()
        optimizer.step()

    return step


def build(case: Case, name: str) -> Callable[[], None]:
    """The update of one contestant."""
    torch.manual_seed(0)
    made = {"torch": plain, "brevitas": brevitas}.get(name)
    return update(case, made(case) if made else ours(case, name))


def here(case: Case) -> tuple[Case, list[str]]:
    """The case with those of ours that this machine can run, and what is left out."""
    lacking = {name: kernels.build(name).missing() for name, _ in case.ours}
    able = tuple(each for each in case.ours if not lacking[each[0]])
    return dataclasses.replace(case, ours=able), [f"{name}: {need}" for name, need in lacking.items() if need]


def measure(case: Case, threads: int, rounds: int, seconds: float) -> tuple[benchmarks.Case, list[str]]:
    """The contest of a case, and the peers that are absent; rounds end when `seconds` have passed."""
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
    return benchmarks.Case(about, threads, taken, notes, case.bars if threads == 1 else {}), absent


def timed(step: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds of one call, in whole microseconds."""
    began = clock()
    step()
    return round(clock() - began, 6)


def memory(case: Case, name: str) -> float:
    """MiB that the updates of one model add to the peak of its process, which has run a tiny one before."""
    build(dataclasses.replace(case, hidden=8, steps=4, batch=8), name)()
    before = provenance.peak_memory_mb()
    step = build(case, name)
    step()
    step()
    return provenance.peak_memory_mb() - before


def first_use(case: Case, name: str) -> float:
    """Seconds of the first update of a tiny network in this process."""
    return timed(build(dataclasses.replace(case, hidden=8, steps=4, batch=8), name), time.perf_counter)


def alone(what: Callable[[Case, str], float], number: int, name: str, **environment: str) -> tuple[float, float]:
    """Seconds of the imports, and a measurement with one thread, of a process of its own."""
    code = (
        "import time; began = time.perf_counter(); import training; print(time.perf_counter() - began);"
        f"training.torch.set_num_threads(1); print(training.{what.__name__}(training.CASES[{number}], {name!r}))"
    )
    settings = {"cwd": Path(__file__).parent, "env": os.environ | environment, "check": True}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **settings)
    imports, found = map(float, done.stdout.split())
    return imports, found


def starts(repeats: int = 3) -> list[dict]:
    """The first update of a process where nothing is compiled yet, and after that."""
    number, name = 0, CASES[0].ours[0][0]
    with tempfile.TemporaryDirectory() as folder:
        told = [alone(first_use, number, name, NUMBA_CACHE_DIR=folder) for _ in range(1 + repeats)]
    later = [statistics.median(each) for each in zip(*told[1:], strict=True)]
    keys = ("import_seconds", "seconds")
    return [
        {"cache": cache, "bar": FIRST_USE[cache], **dict(zip(keys, (round(each, 3) for each in found), strict=True))}
        for cache, found in (("empty", told[0]), ("filled", later))
    ]


def run(options: argparse.Namespace) -> None:
    """Measures, tells as it goes, and files the record after each case."""
    torch.set_num_threads(1)
    settings = {"rounds": options.rounds, "seconds": options.seconds, "memory_bar": MEMORY}
    told = benchmarks.Benchmark("training", roofline.machine(), settings, roofline.limits(), [], [], {}, False)
    torch.set_flush_denormal(True)  # else gradients that vanish over 784 steps slow torch's layer tenfold
    chosen = [(number, case, threads) for number, case in enumerate(CASES) for threads in case.threads]
    for number, case, threads in sorted(chosen, key=lambda each: each[2]):
        if options.only not in case.name or threads > min(options.threads, os.cpu_count()):
            continue
        case, lacking = here(case)
        entry, absent = measure(case, threads, options.rounds, options.seconds)
        if case.memory and threads == 1:
            for name in entry.names("torch") + entry.names("ours"):
                entry.notes[name]["peak_mib"] = round(alone(memory, number, name)[1], 1)
        told.absent[:] = sorted({*told.absent, *lacking, *absent})
        told.cases.append(entry)
        file = benchmarks.save(told)
        ratios = {name: entry.ratio(name, "torch").median for name in entry.names("ours")}
        print(f"{case.name}, {threads} threads, times torch:", ratios, flush=True)
    told.tables["first_use"] = starts()
    benchmarks.save(dataclasses.replace(told, complete=True))
    print("first use:", *told.tables["first_use"], "\nleft out:", told.absent or "nothing", f"\n{file}")


def main() -> None:
    """Reads the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of a case, at most")
    parser.add_argument("--seconds", type=float, default=20, help=f"of a case, once it has {ROUNDS} rounds")
    parser.add_argument("--threads", type=int, default=2, help="at most")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
