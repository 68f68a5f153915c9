"""Losses and scores: means over points of a summed amount."""

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
    """Sequences in parallel, time first, padded at their end."""

    x: Any  # symbols (time batch), features (time batch inputs), or other inputs of the network of a task
    # Targets: (time batch) one a step, (batch) one a sequence, (batch labels) a labelling, (time batch keys) the
    # keys that sound; padding is -1.
    y: Tensor
    fresh: bool = True  # whether the state starts at zero; else it goes on from the batch before
    lengths: Tensor | None = None  # (batch) steps of each sequence; none: all are whole

    def to(self, device) -> "Batch":
        """The same batch with all its tensors on a device."""
        return _move(self, device)


def _move(value: Any, device) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_move(part, device) for part in value))
    return value.to(device) if isinstance(value, Tensor) else value


def cross_entropy(outputs: Float[Tensor, "*points symbols"], batch: Batch) -> Float[Tensor, ""]:
    """The summed cross entropy in nats of the targets that are no padding."""
    return F.cross_entropy(outputs.flatten(0, -2), batch.y.flatten(), reduction="sum", ignore_index=IGNORED)


def mistakes(outputs: Float[Tensor, "*points classes"], batch: Batch) -> Float[Tensor, ""]:
    """The number of points that the likeliest class misses."""
    return ((outputs.argmax(-1) != batch.y) & (batch.y != IGNORED)).sum().to(outputs.dtype)


def squared(outputs: Float[Tensor, "batch 1"], batch: Batch) -> Float[Tensor, ""]:
    """The summed squares of the errors of one number a sequence."""
    return (outputs[:, 0] - batch.y).square().sum()


def targets(batch: Batch) -> int:
    """The number of targets that are no padding."""
    return int((batch.y != IGNORED).sum())


def same(mean: float) -> float:
    """The mean itself; also the standard deviation of one point of a mean surprise, as of exponential numbers."""
    return mean


def bits(nats: float) -> float:
    """Nats in bits."""
    return nats / math.log(2)


def percent(share: float) -> float:
    """A share of one in hundredths."""
    return 100.0 * share


def perplexity(nats: float) -> float:
    """The number of equally likely choices of the same entropy; infinite where it overflows."""
    return math.exp(nats) if nats < 700 else math.inf


def of_choices(score: float) -> float:
    """The standard deviation of one point, in the unit of a perplexity."""
    return score * math.log(max(score, 1.0))


def of_mistakes(score: float) -> float:
    """The same of a share in hundredths: binomial; above a half that of a half, as edits can exceed the total.

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
    deviation: Callable[[float], float] = same  # of one point, in the unit of the score, at that score
    places: int = 3  # decimals that a score is printed with

    def __call__(self, total: float, points: int) -> float:
        """The score of `points` predictions whose amounts sum to `total`."""
        return self.scale(total / points)


share = functools.partial(Metric, scale=percent, deviation=of_mistakes, places=1)  # of points that are wrong

NATS = Metric("nats", "nats", cross_entropy, same)
BITS_PER_CHARACTER = Metric("bpc", "bits per character", cross_entropy, bits)
PERPLEXITY = Metric("perplexity", "perplexity per word", cross_entropy, perplexity, deviation=of_choices, places=1)
ERROR_PERCENT = share("error_percent", "% wrong", mistakes)


def alignment_nats(outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """The summed negative log chance of the labellings, over all alignments (graves2006connectionist).

    Its mean is over labels, so that long sequences weigh as much as they are long. It is infinite where a
    sequence has too few frames for its labels: no zero hides that.
    """
    labels = (batch.y != IGNORED).sum(1)
    steps = batch.lengths
    if steps is None:
        steps = torch.full((outputs.shape[1],), len(outputs), device=outputs.device)
    return F.ctc_loss(outputs.log_softmax(-1), batch.y.clamp(min=0), steps, labels, blank=ctc.BLANK, reduction="sum")


def edits(references: list[str], hypotheses: list[str]) -> int:
    """The number of words to replace, delete or insert; raises `InputError` without jiwer."""
    try:
        import jiwer
    except ImportError:
        raise InputError("error rates need jiwer; install it with: pip install 'lowbit[audio]'") from None
    counts = jiwer.process_words(references, hypotheses)
    return counts.substitutions + counts.deletions + counts.insertions


def label_edits(
    write: Callable, decode: ctc.Decode, outputs: Float[Tensor, "time batch labels"], batch: Batch
) -> Float[Tensor, ""]:
    """The number of edits from the decoded labels to the targets, in units of the words that `write` makes of them."""
    decoded = decode(outputs, batch.lengths)
    return outputs.new_tensor(edits([*map(write, labellings(batch))], [*map(write, decoded)]))


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
    """The number of words."""
    return sum(len(worded(labels).split()) for labels in labellings(batch))


def wrong(decode: ctc.Decode, outputs: Float[Tensor, "time batch labels"], batch: Batch) -> Float[Tensor, ""]:
    """The number of sequences with an error."""
    pairs = zip(decode(outputs, batch.lengths), labellings(batch), strict=True)
    return outputs.new_tensor(sum(decoded != labels for decoded, labels in pairs))


def sequences(batch: Batch) -> int:
    """The number of sequences."""
    return len(batch.y)


NATS_PER_LABEL = Metric("label_nats", "nats per label", alignment_nats, same)
greedy_labels, beam_labels = (functools.partial(label_edits, spelled, decode) for decode in (ctc.greedy, ctc.beam))
greedy_words, beam_words = (functools.partial(label_edits, worded, decode) for decode in (ctc.greedy, ctc.beam))
LABEL_ERROR = share("label_error_percent", "% label errors", greedy_labels)
LABEL_ERROR_BEAM = share("label_error_percent_beam", "% label errors", beam_labels)
WORD_ERROR = share("word_error_percent", "% word errors", greedy_words, points=words)
WORD_ERROR_BEAM = share("word_error_percent_beam", "% word errors", beam_words, points=words)
SEQUENCE_ERROR = share(
    "sequence_error_percent", "% wrong sequences", functools.partial(wrong, ctc.greedy), points=sequences
)
SQUARED_ERROR = Metric("squared_error", "mean squared error", squared, same, sequences, of_squares, 4)


def key_nats(outputs: Float[Tensor, "time batch keys"], batch: Batch) -> Float[Tensor, ""]:
    """The cross entropy in nats of the state of every key, summed over keys and frames that are no padding."""
    weight = (batch.y != IGNORED).to(outputs.dtype)
    return F.binary_cross_entropy_with_logits(outputs, batch.y.clamp(min=0), weight, reduction="sum")


def frames(batch: Batch) -> int:
    """The number of frames that are no padding."""
    return int((batch.y[..., 0] != IGNORED).sum())


NATS_PER_FRAME = Metric("frame_nats", "nats per frame", key_nats, same, frames)
