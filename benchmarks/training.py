"""Training speed beside torch's own layers: one process, models in turn, ratios of each round.

    python benchmarks/training.py --out benchmarks/training.json

Every model does the same work: one update of a network with a readout at each step (or the last), its loss, Adam.
A ratio is the peer's time over ours in the same round, so that what slows the machine slows both. Time by the clock
and time of the processor differ where others use the machine; the second leaves out what the process waited.
"""

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lowbit import cells, kernels, models, quantizers, store
from lowbit.datasets import Recipe
from lowbit.recurrent import Design

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
HALF = "fused(products='bfloat16')"


@dataclasses.dataclass(frozen=True)
class Case:
    """One shape, our ways to train it, and torch's."""

    cell: str
    norm: str
    hidden: int
    steps: int = 100
    batch: int = 64
    symbols: int = 50  # 0: one feature a step and one class a sequence, as sequential MNIST
    quantizer: str = "ternary"
    ours: tuple[str, ...] = ("fused",)

    @property
    def name(self) -> str:
        """What was measured."""
        return f"{self.cell} {self.norm} {self.quantizer} {self.hidden} units, {self.steps} steps, batch {self.batch}"


LSTM = "lstm(normalize_cell=True)"
CASES = [
    *(Case(LSTM, "batch_step", hidden, ours=("fused", HALF)) for hidden in (128, 256, 512, 1000)),
    Case(LSTM, "batch_step", 512, quantizer="binary", ours=("fused", HALF)),
    Case(LSTM, "batch_step", 512, quantizer="full", ours=("fused", HALF)),
    Case(LSTM, "batch_step", 100, 784, 100, 0),
    Case(LSTM, "layer", 512),
    *(Case(cell, "batch_step", hidden) for cell in ("gru", "rnn") for hidden in (256, 512)),
    *(Case(cell, "none", 512, ours=("library",)) for cell in LAYERS),
    Case("lstm", "weight", 512, ours=("library",)),
]


class Peer(nn.Module):
    """torch's layer under a readout, in full precision and without a norm."""

    def __init__(self, case: Case):
        super().__init__()
        self.symbols = case.symbols
        self.layer = LAYERS[cells.build(case.cell).__class__.__name__.lower()](case.symbols or 1, case.hidden)
        self.readout = nn.Linear(case.hidden, case.symbols or 10)

    def forward(self, x):
        """Logits of each step, or of the last."""
        out, _ = self.layer(F.one_hot(x, self.symbols).float() if self.symbols else x)
        return self.readout(out if self.symbols else out[-1])


def ours(case: Case, kernel: str) -> nn.Module:
    """Our network for a case, run by one kernel."""
    design = Design(cells.build(case.cell), quantizers.build(case.quantizer), case.norm)
    recipe = Recipe(hidden=case.hidden, updates=1, steps=case.steps)
    task = "char-lm" if case.symbols else "classify"
    network = models.registry[task](case.symbols or 1, case.symbols or 10, recipe, design)
    for layer in network.recurrent().values():
        layer.kernels = (kernels.build(kernel), kernels.build("reference"))
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
    """The update of one model by its name: torch, or one of our kernels."""
    torch.manual_seed(0)
    return update(case, Peer(case) if name == "torch" else ours(case, name))


def timed(step: Callable[[], None]) -> tuple[float, float]:
    """Seconds of one call: by the clock, and of the processor."""
    began = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def measure(case: Case, rounds: int) -> dict:
    """Median and quartiles of seconds, and of the ratios to torch's layer and to the eager loop."""
    names = ["torch", *case.ours, *(["reference"] if case.norm not in ("none", "weight") else [])]
    steps = {name: build(case, name) for name in names}
    for step in steps.values():
        step()
        step()
    taken = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(timed(steps[name]))
    told = {"case": dataclasses.asdict(case), "threads": torch.get_num_threads(), "rounds": rounds}
    for i, clock in enumerate(("clock", "processor")):
        seconds = {name: np.array(values)[:, i] for name, values in taken.items()}
        told[clock] = {"seconds": {name: quartiles(values) for name, values in seconds.items()}}
        for peer in ("torch", "reference"):
            if peer in seconds:
                told[clock][f"times {peer}"] = {
                    name: quartiles(seconds[peer] / seconds[name]) for name in names if name not in (peer, "torch")
                }
    return told


def quartiles(values) -> list[float]:
    """First quartile, median, third quartile."""
    return [round(float(value), 5) for value in np.quantile(values, (0.25, 0.5, 0.75))]


def memory(case: Case, name: str) -> float:
    """MiB that the updates of one model add to the peak of its process, which has run a tiny one before."""
    small = dataclasses.replace(case, hidden=8, steps=4, batch=8)
    build(small, name)()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = build(case, name)
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def first_use(case: Case, name: str) -> float:
    """Seconds of the first update of a tiny network in this process."""
    return timed(build(dataclasses.replace(case, hidden=8, steps=4, batch=8), name))[0]


def alone(what: str, number: int, name: str, **environment: str) -> float:
    """A measurement in a process of its own."""
    words = [sys.executable, __file__, "--alone", what, str(number), name]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | environment)
    return float(done.stdout)


def main() -> None:
    """Measures, tells as it goes, and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        torch.set_num_threads(1)
        what, number, name = options.alone
        print({"memory": memory, "first_use": first_use}[what](CASES[int(number)], name))
        return
    torch.set_flush_denormal(True)  # else gradients that vanish over 784 steps slow torch's layer tenfold
    told = {"machine": store.machine(), "cases": []}
    chosen = [(i, case) for i, case in enumerate(CASES) if options.only in case.name]
    for number, case in chosen:
        for threads in options.threads:
            torch.set_num_threads(threads)
            entry = measure(case, options.rounds)
            told["cases"].append(entry)
            for clock in ("clock", "processor"):
                ratios = {key: value for key, value in entry[clock].items() if key.startswith("times")}
                print(case.name, f"{threads} threads", clock, ratios, flush=True)
        entry["peak_mib"] = {name: alone("memory", number, name) for name in ("torch", *case.ours)}
        print(case.name, "peak MiB", entry["peak_mib"], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        number, case = chosen[0]
        told["first_use_seconds"] = [alone("first_use", number, case.ours[0], NUMBA_CACHE_DIR=folder) for _ in range(2)]
    print("first use, then cached:", told["first_use_seconds"], flush=True)
    if options.out:
        store.write(store.Path(options.out), json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
