"""Handwritten digits, read one pixel a step: a long memory test."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from lowbit import datasets
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.sequences import Sequences

HOSTS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
ORDER_SEED = 784  # of the one permutation of the pixels


def mnist(name: str, sha256: str, size: int) -> File:
    """One of the four files, packed at each host."""
    return File(f"mnist/{name}-ubyte", sha256, size, tuple(f"{host}{name}-ubyte.gz" for host in HOSTS))


# The settings of A's released code: 200 epochs of 500 batches.
# The first pixels of all images are black: without noise in the first state a batch has no variance there, and
# gradients through the norm overflow.
PAPER = Recipe(hidden=100, updates=200 * 500, batch=100, steps=784, start="noisy", rate=4e-3, final_rate=1e-3)
# About an hour and a half on one core: fifteen epochs. Forget biases of 1, as in A, leave half of the digits wrong
# after 2,500 updates; lengths up to the whole image leave a third wrong after 250.
LONG = dataclasses.replace(
    PAPER,
    updates=12_000,
    batch=64,
    chrono=784,
    rate=2e-3,
    final_rate=1e-4,
    clip_norm=1.0,
    evaluate_every=500,
    valid_limit=2_000,
)
BRIEF = dataclasses.replace(PAPER, updates=500, rate=1e-2, clip_masters=True, evaluate_every=100, calibration=8)


@datasets.register
@dataclasses.dataclass(frozen=True)
class MnistSeq(Sequences):
    """MNIST (lecun1998gradient) as sequences: 784 steps of one input in [0, 1], row by row.

    The last 10,000 of the 60,000 training images are the validation split: the 50,000 / 10,000 / 10,000 of
    ardakani2019learning. ott2016recurrent has no such task. `permuted=True` takes the pixels in one random
    order, the same for all images (le2015simple); neither paper does.
    """

    title: ClassVar[str] = "Sequential MNIST"
    reference: ClassVar[str] = "lecun1998gradient"
    licence: ClassVar[str] = "commonly given as CC BY-SA 3.0; no licence file upstream"
    files: ClassVar[tuple[File, ...]] = (
        mnist("train-images-idx3", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016),
        mnist("train-labels-idx1", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008),
        mnist("t10k-images-idx3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016),
        mnist("t10k-labels-idx1", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008),
    )
    counts: ClassVar[dict[str, int]] = {"train": 50_000, "valid": 10_000, "test": 10_000, "outputs": 10}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(
            SMOKE, hidden=16, updates=8, steps=784, evaluate_every=4, calibration=2, valid_limit=32, test_limit=32
        ),
        "cpu": dataclasses.replace(BRIEF, valid_limit=500, test_limit=2_000),
        "long": LONG,
        "paper": PAPER,
    }

    permuted: bool = False  # pixels in a fixed random order

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Images, a pixel a step, and their digits."""
        images, digits, test_images, test_digits = (rows(fetch(file).read_bytes()) for file in self.files)
        x, y, cut = self._sequences(images), digits[:, 0], self.counts["train"]
        test = self._sequences(test_images), test_digits[:, 0]
        return {"train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]), "test": test}

    def _sequences(self, images: UInt8[np.ndarray, "count pixels"]) -> np.ndarray:
        if self.permuted:
            order = np.random.Generator(np.random.PCG64(ORDER_SEED)).permutation(images.shape[1])
            images = images.take(order, axis=1)
        return (images / np.float32(255))[:, :, None]


def rows(idx: bytes) -> UInt8[np.ndarray, "count items"]:
    """The bytes of an idx file by its first axis; a header of four bytes, and of four for each axis, is before them."""
    count = int.from_bytes(idx[4:8])
    return np.frombuffer(bytearray(idx), np.uint8, offset=4 + 4 * idx[3]).reshape(count, -1)
