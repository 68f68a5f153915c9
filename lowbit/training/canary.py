"""Canaries: the numbers of a few updates of a kind of run at a tiny size, on synthetic data.

Training loop, network and evaluations are those of real runs. Code that moves, or changes its names, computes the same.
What no tiny run reaches is for `lowbit verify`: how files are read, and what validation decides after many updates.
"""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator

import numpy as np
import torch

from lowbit import datasets, quantizers
from lowbit.datasets import Dataset, Recipe
from lowbit.layers import kernels
from lowbit.studies import provenance, schema
from lowbit.studies.spec import RunSpec
from lowbit.training.updates import Updates

SIZES = {"hidden": 24, "updates": 4, "evaluate_every": 2, "calibration": 2}
MOST = {"layers": 2, "embedding": 8, "batch": 4, "steps": 8, "valid_limit": 45, "test_limit": 45}
PACKAGES = ("torch", "numpy", "scipy", "llvmlite")  # those that draw, round or compile

_computed: dict[tuple, schema.Canary] = {}  # in this process, by kind


def canary(spec: RunSpec) -> schema.Canary:
    """The canary of a run, and of all that differ from it in seed, sizes and number of updates alone.

    It runs on the CPU in one thread, and leaves torch's random state and threads as they are.
    """
    recipe = tiny(spec)
    kind = (spec.dataset, spec.cell, spec.quantizer, spec.norm, spec.quantized, spec.activations, recipe)
    if kind not in _computed:
        with _apart():
            _computed[kind] = _compute(spec, recipe)
    return _computed[kind]


def tiny(spec: RunSpec) -> Recipe:
    """The recipe of a run with all its choices, at the size of a canary."""
    recipe = spec.recipe
    most = {name: min(getattr(recipe, name), value) for name, value in MOST.items()}
    units = quantizers.build(spec.quantizer).units(SIZES["hidden"])
    return dataclasses.replace(recipe, **{**SIZES, "hidden": units, **most})


def stand_in(dataset: str) -> Dataset:
    """A dataset of drawn splits, whose first score is its loss: a share of few mistakes would hide small changes."""
    data = datasets.build(dataset)
    vars(data).update(splits=data.example(), metric=data.loss, further=(data.metric, *data.further))
    return data


class TinyRun(Updates):
    """A run without checkpoints."""

    def _keep(self) -> None:
        """Writes nothing."""


def _compute(spec: RunSpec, recipe: Recipe) -> schema.Canary:
    data = stand_in(spec.dataset)
    run = TinyRun(dataclasses.replace(spec, seed=0), data, recipe, torch.device("cpu"))
    run.run()
    metrics = run.scores()
    scores = {f"train {point['update']}": point["train_nats"] for point in run.curve}
    scores |= {f"valid {point['update']}": point["valid"] for point in run.curve}
    scores |= {"as published": metrics["as_published"], "deployed": metrics["deployed"]}
    scores |= {"sampled": metrics["sampled"]["mean"], **metrics["further"], **data.baselines(recipe.test_limit)}
    arrays = [weights.numpy() for weights in run.network.state_dict().values()]
    arrays += [np.array([*scores.values(), *metrics["sampled"]["values"], metrics["sampled"]["std"]])]
    digests = sorted(hashlib.sha256(array.tobytes()).digest() for array in arrays)  # whatever their names and order
    names = run.ran.union(layer.kernel_name for layer in run.network.recurrent().values())
    return {
        "sha256": hashlib.sha256(b"".join(digests)).hexdigest()[:16],
        "scores": schema.numbers(scores),
        "platform": {**_platform(), "kernels": " ".join(sorted(names))},
    }


@functools.cache
def _platform() -> dict[str, str]:
    """Processor, instruction sets and versions: on one platform the same code gives the same bits."""
    instructions = [torch.backends.cpu.get_cpu_capability()]
    with contextlib.suppress(ImportError):  # without llvmlite nothing is compiled
        from lowbit.compiled import processor

        name, features = processor()
        instructions += [name, hashlib.sha256(features.encode()).hexdigest()[:8]]
    versions = {name: provenance.version(name) for name in PACKAGES}
    return {"processor": provenance.processor(), "instructions": " ".join(instructions), **versions}


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Runs in one thread with gradients, and restores threads and random state afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices), torch.enable_grad(), kernels.flush_denormals():
            yield
    finally:
        torch.set_num_threads(threads)
