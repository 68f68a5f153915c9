"""Scores: what a network is trained on and what a table shows, each a mean over points of a summed amount."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lowbit.datasets import ctc
from lowbit.registry import InputError

IGNORED = -1  # a target that is padding: no loss and no point


class Batch(NamedTuple):
    """Sequences side by side, time first; padding is at their end."""

    x: Any  # symbols (time batch), features (time batch inputs), or what the network of a task takes
    # What the task asks for: (time batch) a target a step, (batch) one a sequence, (batch labels) a labelling,
    # (time batch keys) which keys sound; padding is -1.
    y: Tensor
    fresh: bool = True  # whether the state starts at zero; else it goes on from the batch before
    lengths: Tensor | None = None  # (batch) steps of each sequence; none: all are whole

    def to(self, device) -> "Batch":
        """The same batch with all its tensors on a device."""
        return _move(self, device)


def _move(told: Any, device) -> Any:
    if isinstance(told, Tensor):
        return told.to(device)
    if isinstance(told, tuple):
        return type(told)(*(_move(part, device) for part in told))
    return told


def cross_entropy(outputs: Float[Tensor, "*points symbols"], batch: Batch) -> Float[Tensor, ""]:
    """The summed cross entropy in nats of the targets that are no padding."""
    return F.cross_entropy(outputs.flatten(0, -2), batch.y.flatten(), reduction="sum", ignore_index=IGNORED)


def mistakes(outputs: Float[Tensor, "*points classes"], batch: Batch) -> Float[Tensor, ""]:
    """How many points the likeliest class misses."""
    return ((outputs.argmax(-1) != batch.y) & (batch.y != IGNORED)).sum().to(outputs.dtype)


def squared(outputs: Float[Tensor, "batch 1"], batch: Batch) -> Float[Tensor, ""]:
    """The summed squares of what one number a sequence is off."""
    return (outputs[:, 0] - batch.y).square().sum()


def targets(batch: Batch) -> int:
    """How many targets are no padding."""
    return int((batch.y != IGNORED).sum())


def same(mean: float) -> float:
    """The mean itself."""
    return mean


def bits(nats: float) -> float:
    """Nats in bits."""
    return nats / math.log(2)


def percent(share: float) -> float:
    """A share of one in hundredths."""
    return 100.0 * share


def perplexity(nats: float) -> float:
    """As many equally likely choices as would be as hard; infinite past what a number holds."""
    return math.exp(nats) if nats < 700 else math.inf


def of_surprise(score: float) -> float:
    """The standard deviation of one point of a mean surprise: as of an exponential distribution, the mean itself."""
    return score


def of_choices(score: float) -> float:
    """The same in the unit of a perplexity."""
    return score * math.log(max(score, 1.0))


def of_mistakes(score: float) -> float:
    """The same of a share in hundredths: binomial, and from a half on that of a half, as edits can pass the whole.

    >>> of_mistakes(20.0), of_mistakes(120.0)
    (40.0, 50.0)
    """
    share = min(score / 100, 0.5)
    return 100 * math.sqrt(share * (1 - share))


def of_squares(score: float) -> float:
    """The same of a mean square: as of squared normal numbers."""
    return math.sqrt(2) * score


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score: the mean over points of a summed amount, in its unit; lower is better for all of ours."""

    name: str
    unit: str
    total: Callable[[Any, Batch], Tensor]  # of network outputs and a batch, summed over its points
    scale: Callable[[float], float]  # from the mean to the score
    points: Callable[[Batch], int] = targets
    deviation: Callable[[float], float] = of_surprise  # of one point, in the unit of the score, at that score
    places: int = 3  # decimals that a score is printed with

    def __call__(self, total: float, points: int) -> float:
        """The score of `points` predictions whose amounts sum to `total`."""
        return self.scale(total / points)


share = functools.partial(Metric, scale=percent, deviation=of_mistakes, places=1)  # of points that are mistaken

NATS = Metric("nats", "nats", cross_entropy, same)
BITS_PER_CHARACTER = Metric("bpc", "bits per character", cross_entropy, bits)
PERPLEXITY = Metric("perplexity", "perplexity per word", cross_entropy, perplexity, deviation=of_choices, places=1)
ERROR_PERCENT = share("error_percent", "% wrong", mistakes)


def alignment_nats(outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """The summed negative log chance of the labellings, over all alignments (graves2006connectionist).

    Its mean is over labels, so that long sequences weigh as much as they are long. It is infinite where a
    sequence has too few frames for its labels: no zero hides that.
    """
    known = batch.y != IGNORED
    steps = batch.lengths
    if steps is None:
        steps = torch.full((outputs.shape[1],), len(outputs), device=outputs.device)
    return F.ctc_loss(
        outputs.log_softmax(-1), batch.y.clamp(min=0), steps, known.sum(1), blank=ctc.BLANK, reduction="sum"
    )


def edits(references: list[str], hypotheses: list[str]) -> int:
    """How many words must be replaced, left out or put in; raises `InputError` without jiwer."""
    try:
        import jiwer
    except ImportError:
        raise InputError("error rates need jiwer; install it with: pip install 'lowbit[audio]'") from None
    found = jiwer.process_words(references, hypotheses)
    return found.substitutions + found.deletions + found.insertions


def label_edits(decode: ctc.Decode, outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """How many labels of what is decoded must be edited."""
    said = decode(outputs, batch.lengths)
    return outputs.new_tensor(edits([spelled(each) for each in labellings(batch)], [spelled(each) for each in said]))


def word_edits(decode: ctc.Decode, outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """How many words, between spaces, of what is decoded must be edited."""
    said = decode(outputs, batch.lengths)
    return outputs.new_tensor(edits([worded(each) for each in labellings(batch)], [worded(each) for each in said]))


def labellings(batch: Batch) -> list[list[int]]:
    """The labels of each sequence."""
    return [labels[labels != IGNORED].tolist() for labels in batch.y]


def spelled(labels: list[int]) -> str:
    """Every label as a word of its own."""
    return " ".join(map(str, labels))


def worded(labels: list[int]) -> str:
    """Labels as words: joined but for the label that is the space.

    >>> worded([3, 4, 1, 5])
    '3-4 5'
    """
    runs = itertools.groupby(labels, ctc.SPACE.__ne__)
    return " ".join("-".join(map(str, run)) for is_word, run in runs if is_word)


def words(batch: Batch) -> int:
    """How many words there are."""
    return sum(len(worded(labels).split()) for labels in labellings(batch))


def wrong(decode: ctc.Decode, outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """How many sequences are not decoded to the letter."""
    pairs = zip(decode(outputs, batch.lengths), labellings(batch), strict=True)
    return outputs.new_tensor(sum(said != labels for said, labels in pairs))


def sequences(batch: Batch) -> int:
    """How many sequences there are."""
    return len(batch.y)


NATS_PER_LABEL = Metric("label_nats", "nats per label", alignment_nats, same)
LABEL_ERROR = share("label_error_percent", "% label errors", functools.partial(label_edits, ctc.greedy))
LABEL_ERROR_BEAM = share("label_error_percent_beam", "% label errors", functools.partial(label_edits, ctc.beam))
WORD_ERROR = share("word_error_percent", "% word errors", functools.partial(word_edits, ctc.greedy), points=words)
WORD_ERROR_BEAM = share(
    "word_error_percent_beam", "% word errors", functools.partial(word_edits, ctc.beam), points=words
)
SEQUENCE_ERROR = share(
    "sequence_error_percent", "% wrong sequences", functools.partial(wrong, ctc.greedy), points=sequences
)
SQUARED_ERROR = Metric("squared_error", "mean squared error", squared, same, sequences, of_squares, 4)


def key_nats(outputs: Float[Tensor, "time batch keys"], batch: Batch) -> Float[Tensor, ""]:
    """The cross entropy in nats of every key's sounding or not, summed over keys and frames that are no padding."""
    known = (batch.y != IGNORED).to(outputs.dtype)
    return F.binary_cross_entropy_with_logits(outputs, batch.y.clamp(min=0), known, reduction="sum")


def frames(batch: Batch) -> int:
    """How many frames are no padding."""
    return int((batch.y[..., 0] != IGNORED).sum())


NATS_PER_FRAME = Metric("frame_nats", "nats per frame", key_nats, same, frames)
