"""Whether products in bfloat16 harm what is learned: the same runs with both products of the fused loop.

    python benchmarks/bfloat16.py dataset=ptb_char quantizer=ternary "budget=brief(hidden=256)" --seeds 3

Each seed is trained twice from the same first weights on the same batches; validation and test are by the same code.
The record goes to `results/benchmarks` after each seed. No record of a run is read or filed.
"""

import argparse
import dataclasses
import os
import sys
import tempfile

import torch

from lowbit import paths
from lowbit.layers import kernels
from lowbit.speed import benchmarks, roofline
from lowbit.studies import spec
from lowbit.training import train

PRODUCTS = ("float32", "bfloat16")


def trained(run: spec.RunSpec, products: str) -> tuple[list[dict], dict]:
    """The curve of a run and its scores."""
    session = train.Session(run)
    for layer in session.network.recurrent().values():
        layer.kernels = (kernels.build(f"fused(products={products!r})"), kernels.build("reference"))
    session.run(train.progress(run) if sys.stderr.isatty() else None)
    ran = session.ran
    assert ran == {kernels.canonical(f"fused(products={products!r})")}, f"trained by {ran}"
    record = session.record()
    train.checkpoint_path(run).unlink()
    about = {"products": products, "seed": run.seed}
    columns = ("update", "train_nats", "valid")
    curve = [about | {name: point[name] for name in columns} for point in record.curve]
    return curve, about | {"deployed": record.metrics["deployed"], "seconds": record.seconds}


def main() -> None:
    """Trains, tells as it goes, and files the record after each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = ["dataset=ptb_char", "quantizer=ternary", "budget=brief(hidden=256)"]
    parser.add_argument("spec", nargs="*", metavar="FIELD=VALUE", default=words)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = spec.read(options.spec)
    settings = {**dataclasses.asdict(run), "seeds": options.seeds, "unit": run.data.metric.unit}
    tables = {"curves": [], "scores": []}
    told = benchmarks.Benchmark("bfloat16", roofline.machine(), settings, {}, [], [], tables, False)
    home = {"LOWBIT_DATA": str(paths.raw()), "LOWBIT_HOME": str(paths.root())}
    with tempfile.TemporaryDirectory() as folder, kernels.flush_denormals():
        for seed in range(options.seeds):
            for products in PRODUCTS:
                os.environ |= home | {"LOWBIT_HOME": folder}  # its checkpoints are no one's
                curve, score = trained(dataclasses.replace(run, seed=seed), products)
                os.environ |= home
                tables["curves"] += curve
                tables["scores"].append(score)
                print(score, flush=True)
            benchmarks.save(told)
    print(benchmarks.save(dataclasses.replace(told, complete=True)))


if __name__ == "__main__":
    main()
