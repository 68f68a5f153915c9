"""What sharing norm statistics over time, and rounding activations, costs a trained model of text.

    python benchmarks/shared_statistics.py dataset=ptb_char quantizer=binary budget=cpu --symbols 20000

Bits per symbol of the packed model on the test split: as one stream, and in segments that each start at zero, where
the first steps weigh most. The run is recalled, or trained where it has no record.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from lowbit import evaluate, store, trained
from lowbit import spec as specs
from lowbit.inference import choose, deploy, fixed, model

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
    found = fixed.Fixed(path, act_bits)
    state, logits = found.start(), []
    for symbol in codes[:-1]:
        y, state = found.step(int(symbol), state)
        logits.append(y / 2**12)
    return bits(np.array(logits), codes[1:])


def main() -> None:
    """Prints and writes one row a choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="+", metavar="FIELD=VALUE")
    parser.add_argument("--symbols", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    spec = specs.read(dict(word.split("=", 1) for word in options.spec))
    network = trained.network(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    codes = spec.data.splits["test"][0][: options.symbols + 1].astype(np.int64)
    rows = []

    def tell(kept: int, act_bits: int, score: dict[str, float]) -> None:
        rows.append({"kept": kept, "act_bits": act_bits, "bytes": path.stat().st_size, **score})
        print(rows[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for kept in KEPT:
            deploy.write(network, spec, path, kept)
            for act_bits in (32, *choose.BITS) if kept == 0 else (32,):
                packed = model.load(path, act_bits)
                tell(kept, act_bits, {"stream": stream(packed, codes), "segments": segments(packed, codes)})
            if kept == 0:
                for act_bits in choose.BITS:
                    tell(kept, act_bits, {"whole": whole(path, act_bits, codes[:2001])})
    if options.out:
        told = {"spec": spec.key, "symbols": len(codes) - 1, "machine": store.machine(), "rows": rows}
        store.write(options.out, json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
