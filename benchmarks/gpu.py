"""What a GPU box is asked in minutes, without network or Jupyter: proof, speed, and the start of the widest runs.

    python benchmarks/gpu.py FOLDER --seconds 540

First the kernel that the device gets is compared with the reference in float64, values and gradients, for every cell.
Then an update of a ternary LSTM is timed beside torch's own layer, in turn. Then full precision, ternary and binary
weights train at the same time at the budget `long` until the time is up. FOLDER becomes a `LOWBIT_HOME`: records and
checkpoints lie there, `lowbit import FOLDER` takes both, and the same command goes on. Without a GPU all of it runs on
the processor; `--hidden 16 --seconds 60 --dataset markov --budget smoke` shows that it does.
"""

import argparse
import copy
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn
from training import Case, plain

import lowbit

CELLS = ("rnn", "rnn(activation='relu')", "gru", "gru(reset='cho2014')", "lstm", "lstm(normalize_cell=True)")
NORMS = ("none", "batch_step")
VALUES, GRADIENTS = 1e-4, 2e-3  # largest differences, relative to the largest value
ROUNDS = 15


def prove(device: torch.device) -> dict[str, float]:
    """Returns the largest relative difference of values and gradients for each cell and norm."""
    return {f"{cell} {norm}": difference(cell, norm, device) for cell in CELLS for norm in NORMS}


def difference(cell: str, norm: str, device: torch.device) -> float:
    """Compares one layer with its copy in float64 under the reference; raises `AssertionError` beyond the limits."""
    torch.manual_seed(0)
    design = lowbit.layers.Design(lowbit.layers.cells.build(cell), lowbit.quantizers.build("full"), norm)
    layer = lowbit.layers.recurrent.Recurrent(5, 32, design, 12).to(device)
    twin = copy.deepcopy(layer).double()
    layer.kernels, twin.kernels = lowbit.layers.kernels.fastest(), (lowbit.layers.kernels.build("reference"),)
    x = torch.randn(12, 16, 5, device=device)
    results = []
    for model, batch in ((layer, x), (twin, x.double())):
        outputs, _ = model(batch)
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        results.append((outputs, *torch.autograd.grad(outputs.square().sum(), learned, allow_unused=True)))
    worst = 0.0
    for place, (ours, exact) in enumerate(zip(*results, strict=True)):
        if exact is not None:
            apart = ((ours.double() - exact).abs().max() / exact.abs().max().clamp_min(1)).item()
            assert apart <= (GRADIENTS if place else VALUES), f"{cell} {norm}: {apart:.1e} apart"
            worst = max(worst, apart)
    return worst


def time_updates(spec: lowbit.RunSpec, device: torch.device) -> dict[str, float]:
    """Returns the median seconds of an update of ours and of torch's layer, in turn, after five of each."""
    data, recipe = spec.data, spec.recipe
    ours = lowbit.training.train.build(spec).to(device)
    for layer in ours.recurrent().values():
        layer.kernels = lowbit.layers.kernels.fastest()
    peer = plain(Case("lstm", "none", recipe.hidden, symbols=data.inputs)).to(device)
    models = {"lowbit": ours, "torch": peer}
    logits = {"lowbit": lambda x: ours(x)[0], "torch": peer}
    optimizers = {name: torch.optim.Adam(model.parameters(), fused=True) for name, model in models.items()}
    x = torch.randint(data.inputs, (recipe.steps, recipe.batch), device=device)
    seconds = {name: [] for name in models}
    for _ in range(5 + ROUNDS):
        for name in models:
            synchronize(device)
            start = time.perf_counter()
            optimizers[name].zero_grad()
            nn.functional.cross_entropy(logits[name](x).flatten(0, 1), x.flatten()).backward()
            optimizers[name].step()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[5:]) for name, values in seconds.items()}


def synchronize(device: torch.device) -> None:
    """Waits for the work of a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def train(specs: list[lowbit.RunSpec], folder: Path, deadline: float) -> dict[str, int]:
    """Trains runs at the same time until they end or the time is up; returns the exit status of each."""
    environment = {**os.environ, "LOWBIT_HOME": str(folder), "LOWBIT_DATA": str(lowbit.paths.raw())}
    command = [sys.executable, "-m", "lowbit", "train"]
    runs = {spec.key: subprocess.Popen(command + lowbit.studies.spec.words(spec), env=environment) for spec in specs}
    while time.monotonic() < deadline and any(run.poll() is None for run in runs.values()):
        time.sleep(1)
    for run in runs.values():
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
    return {key: run.wait() for key, run in runs.items()}


def specs(dataset: str, budget: str, hidden: int) -> list[lowbit.RunSpec]:
    """Returns the runs of the study `long` in another width, or on other data."""
    recipes = lowbit.studies.recipes
    return [
        lowbit.RunSpec(
            dataset, quantizer=name, norm=norm, budget=recipes.changed(budget, hidden=hidden, **candidates[0])
        )
        for (name, norm), candidates in recipes.CANDIDATES.items()
    ]


def main() -> None:
    """Runs the three parts, prints each, and saves the first two in FOLDER/benchmarks/gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=540, help="of all three parts (default: 540)")
    parser.add_argument("--hidden", type=int, default=1000, help="units (default: 1000, as in A)")
    parser.add_argument("--dataset", default="ptb_char")
    parser.add_argument("--budget", default="long")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    runs = specs(options.dataset, options.budget, options.hidden)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "the processor"
    report = {"device": name, "torch": torch.__version__, "differences": prove(device)}
    print(json.dumps(report, indent=1), flush=True)
    report["seconds of an update"] = time_updates(runs[1], device)
    print(report["seconds of an update"], flush=True)
    file = options.folder / "benchmarks" / "gpu.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(train(runs, options.folder.absolute(), deadline))


if __name__ == "__main__":
    main()
