"""Measures what a trained model of text loses by shared norm statistics and by rounded activations.

    python benchmarks/shared_statistics.py dataset=ptb_char budget=cpu --quantizers binary ternary --symbols 20000

The loss is in bits per symbol of the packed model on the test split, read as one stream, and in segments that each
start at zero, where the first steps weigh most. A run is recalled, or trained again where its weights are not on file.
The record is saved in `results/benchmarks` after each row.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import lowbit

KEPT = (0, 1, 2, 4, 8, 16, 10**6)  # first steps with separate statistics; the last: all steps
FLOAT, BITS = lowbit.inference.layer.FLOAT, lowbit.inference.choose.BITS  # of activations
STEPS = 100  # of a segment


def bits(logits: np.ndarray, y: np.ndarray) -> float:
    """Returns the mean of -log2 of the probability of each symbol, (time *batch)."""
    z = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(z, y[..., None], axis=-1)[..., 0]
    return float((np.log(np.exp(z).sum(axis=-1)) - chosen).mean() / np.log(2))


def stream(packed: lowbit.inference.Model, codes: np.ndarray) -> float:
    """Returns the bits per symbol of one sequence, from beginning to end."""
    return bits(packed.run(codes[:-1], packed.start())[0], codes[1:])


def segments(packed: lowbit.inference.Model, codes: np.ndarray) -> float:
    """Returns the bits per symbol of segments in one batch, each from the initial state."""
    count = (len(codes) - 1) // STEPS
    x, y = (codes[at : at + count * STEPS].reshape(count, STEPS).T for at in (0, 1))
    return bits(packed.run(x, packed.start(batch=count))[0], y)


def whole(path: Path, act_bits: int, codes: np.ndarray) -> float:
    """Returns the bits per symbol in integer arithmetic alone, as on a microcontroller."""
    network = lowbit.inference.fixed.load(path, act_bits)
    state, logits = network.start(), []
    for symbol in codes[:-1]:
        y, state = network.step(int(symbol), state)
        logits.append(y / 2**12)
    return bits(np.array(logits), codes[1:])


def rows(run: lowbit.RunSpec, symbols: int) -> Iterator[dict]:
    """Yields a row for each number of steps with separate statistics, and for each width of activations."""
    network = lowbit.training.trained.network(run)
    lowbit.training.evaluate.calibrate(network, run.data, run.recipe, sample=False)
    codes = run.data.splits["test"][0][: symbols + 1].astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for kept in KEPT:
            lowbit.inference.write(network, run, path, kept)
            about = {"quantizer": run.quantizer, "kept": min(kept, run.recipe.steps), "bytes": path.stat().st_size}
            for act_bits in (FLOAT, *BITS) if kept == 0 else (FLOAT,):
                packed = lowbit.load(path, act_bits)
                row = about | {"act_bits": act_bits, "stream": stream(packed, codes)}
                if act_bits != FLOAT:
                    row["whole"] = whole(path, act_bits, codes[:2001])
                yield row | {"segments": segments(packed, codes)}


def main() -> None:
    """Measures every row, prints it, and saves the record after it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="*", metavar="FIELD=VALUE", default=["dataset=ptb_char", "budget=cpu"])
    parser.add_argument("--quantizers", nargs="+", default=["binary", "ternary"])
    parser.add_argument("--symbols", type=int, default=20_000)
    options = parser.parse_args()
    fields = [word for word in options.spec if not word.startswith("quantizer=")]
    runs = [lowbit.studies.spec.read([*fields, f"quantizer={quantizer}"]) for quantizer in options.quantizers]
    settings = {**dataclasses.asdict(runs[0]), "symbols": options.symbols, "steps": STEPS}
    settings |= {"quantizer": ", ".join(options.quantizers), "unit": runs[0].data.metric.unit}
    benchmark = lowbit.speed.Benchmark("statistics", lowbit.speed.machine(), settings, {}, [], [], {"kept": []}, False)
    for run in runs:
        for row in rows(run, options.symbols):
            benchmark.tables["kept"].append(row)
            print(row, flush=True)
            lowbit.speed.save(benchmark)
    print(lowbit.speed.save(dataclasses.replace(benchmark, complete=True)))


if __name__ == "__main__":
    main()
