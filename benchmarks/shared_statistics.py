"""What sharing norm statistics over time, and rounding activations, costs a trained model of text.

    python benchmarks/shared_statistics.py dataset=ptb_char budget=cpu --quantizers binary ternary --symbols 20000

Bits per symbol of the packed model on the test split: as one stream, and in segments that each start at zero, where
the first steps weigh most. A run is recalled, and trained again where its network is not at hand. The record goes to
`results/benchmarks` after each row.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lowbit.inference import choose, deploy, fixed, model
from lowbit.inference.layer import FLOAT
from lowbit.speed import benchmarks, roofline
from lowbit.studies import spec as specs
from lowbit.training import evaluate, trained

KEPT = (0, 1, 2, 4, 8, 16, 10**6)  # first steps with statistics of their own; the last: all of them
STEPS = 100  # of a segment


def bits(logits: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log2 of what each symbol was given, (time *batch)."""
    z = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(z, y[..., None], axis=-1)[..., 0]
    return float((np.log(np.exp(z).sum(axis=-1)) - chosen).mean() / np.log(2))


def stream(packed: model.Model, codes: np.ndarray) -> float:
    """One sequence from its beginning to its end."""
    return bits(packed.run(codes[:-1], packed.start())[0], codes[1:])


def segments(packed: model.Model, codes: np.ndarray) -> float:
    """Segments side by side, each from the first state."""
    count = (len(codes) - 1) // STEPS
    x, y = (codes[at : at + count * STEPS].reshape(count, STEPS).T for at in (0, 1))
    return bits(packed.run(x, packed.start(batch=count))[0], y)


def whole(path: Path, act_bits: int, codes: np.ndarray) -> float:
    """In whole numbers alone, as a microcontroller would."""
    found = fixed.load(path, act_bits)
    state, logits = found.start(), []
    for symbol in codes[:-1]:
        y, state = found.step(int(symbol), state)
        logits.append(y / 2**12)
    return bits(np.array(logits), codes[1:])


def rows(run: specs.RunSpec, symbols: int) -> Iterator[dict]:
    """A row for each number of steps with statistics of their own, and of bits of activations."""
    network = trained.network(run)
    evaluate.calibrate(network, run.data, run.recipe, sample=False)
    codes = run.data.splits["test"][0][: symbols + 1].astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for kept in KEPT:
            deploy.write(network, run, path, kept)
            about = {"quantizer": run.quantizer, "kept": min(kept, run.recipe.steps), "bytes": path.stat().st_size}
            for act_bits in (FLOAT, *choose.BITS) if kept == 0 else (FLOAT,):
                packed = model.load(path, act_bits)
                row = about | {"act_bits": act_bits, "stream": stream(packed, codes)}
                if act_bits != FLOAT:
                    row["whole"] = whole(path, act_bits, codes[:2001])
                yield row | {"segments": segments(packed, codes)}


def main() -> None:
    """Tells as it goes, and files the record after each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="*", metavar="FIELD=VALUE", default=["dataset=ptb_char", "budget=cpu"])
    parser.add_argument("--quantizers", nargs="+", default=["binary", "ternary"])
    parser.add_argument("--symbols", type=int, default=20_000)
    options = parser.parse_args()
    given = dict(word.split("=", 1) for word in options.spec)
    runs = [specs.read(given | {"quantizer": quantizer}) for quantizer in options.quantizers]
    settings = {**dataclasses.asdict(runs[0]), "symbols": options.symbols, "steps": STEPS}
    settings |= {"quantizer": ", ".join(options.quantizers), "unit": runs[0].data.metric.unit}
    told = benchmarks.Benchmark("statistics", roofline.machine(), settings, {}, [], [], {"kept": []}, False)
    for run in runs:
        for row in rows(run, options.symbols):
            told.tables["kept"].append(row)
            print(row, flush=True)
            benchmarks.save(told)
    print(benchmarks.save(dataclasses.replace(told, complete=True)))


if __name__ == "__main__":
    main()
