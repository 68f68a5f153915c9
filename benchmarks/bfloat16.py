"""Compares training with bfloat16 products to training with float32 products: the same runs with both.

    python benchmarks/bfloat16.py dataset=ptb_char quantizer=ternary "budget=brief(hidden=256)" --seeds 3

Each seed is trained twice, from the same initial weights and on the same batches; the same code evaluates both runs.
The record is saved in `results/benchmarks` after each seed. No record of a run is read or saved.
"""

import argparse
import dataclasses
import os
import sys
import tempfile

import torch

import lowbit

PRODUCTS = ("float32", "bfloat16")
kernels = lowbit.layers.kernels


def trained(run: lowbit.RunSpec, products: str) -> tuple[list[dict], dict]:
    """Trains a run; returns its learning curve and its scores."""
    session = lowbit.training.train.Session(run)
    for layer in session.network.recurrent().values():
        layer.kernels = (kernels.build(f"fused(products={products!r})"), kernels.build("reference"))
    session.run(lowbit.progress(run) if sys.stderr.isatty() else None)
    assert session.ran == {kernels.canonical(f"fused(products={products!r})")}, f"trained by {session.ran}"
    record = session.record()
    lowbit.training.train.checkpoint_path(run).unlink()
    about = {"products": products, "seed": run.seed}
    columns = ("update", "train_nats", "valid")
    curve = [about | {name: point[name] for name in columns} for point in record.curve]
    return curve, about | {"deployed": record.metrics["deployed"], "seconds": record.seconds}


def main() -> None:
    """Trains every seed, prints the scores, and saves the record after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ["dataset=ptb_char", "quantizer=ternary", "budget=brief(hidden=256)"]
    parser.add_argument("spec", nargs="*", metavar="FIELD=VALUE", default=default)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = lowbit.studies.spec.read(options.spec)
    settings = {**dataclasses.asdict(run), "seeds": options.seeds, "unit": run.data.metric.unit}
    tables = {"curves": [], "scores": []}
    benchmark = lowbit.speed.Benchmark("bfloat16", lowbit.speed.machine(), settings, {}, [], [], tables, False)
    home = {"LOWBIT_DATA": str(lowbit.paths.raw()), "LOWBIT_HOME": str(lowbit.paths.root())}
    with tempfile.TemporaryDirectory() as folder, kernels.flush_denormals():
        for seed in range(options.seeds):
            for products in PRODUCTS:
                os.environ |= home | {"LOWBIT_HOME": folder}  # checkpoints are temporary
                curve, score = trained(dataclasses.replace(run, seed=seed), products)
                os.environ |= home
                tables["curves"] += curve
                tables["scores"].append(score)
                print(score, flush=True)
            lowbit.speed.save(benchmark)
    print(lowbit.speed.save(dataclasses.replace(benchmark, complete=True)))


if __name__ == "__main__":
    main()
