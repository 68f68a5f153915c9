"""Connectionist temporal classification: from scores of every frame to a sequence of labels (graves2006connectionist).

An alignment has a label or the blank at every frame; its labelling are the labels that remain when repeats are
merged and then blanks removed. The chance of a labelling is the sum over all its alignments.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

BLANK = 0  # labels count from 1
SPACE = 1  # the label between words, where labels are characters
WIDTH = 8  # labellings in a beam search from frame to frame

Lengths = Int[Tensor, " batch"] | None  # frames of each sequence; none: all are whole
Decode = Callable[[Float[Tensor, "time batch labels"], Lengths], list[list[int]]]


def greedy(scores: Float[Tensor, "time batch labels"], lengths: Lengths = None) -> list[list[int]]:
    """The labelling of the likeliest alignment of each sequence.

    >>> import torch
    >>> greedy(torch.eye(3)[[1, 1, 0, 1, 2, 0]][:, None])
    [[1, 1, 2]]
    """
    alignments = scores.argmax(-1).T.tolist()
    ends = [len(scores)] * len(alignments) if lengths is None else lengths.tolist()
    return [labelling(alignment[:end]) for alignment, end in zip(alignments, ends, strict=True)]


def labelling(alignment: list[int]) -> list[int]:
    """The labels of an alignment: repeats merged, then blanks removed.

    >>> labelling([0, 2, 2, 0, 2, 1])
    [2, 2, 1]
    """
    before = [BLANK, *alignment]
    return [label for last, label in zip(before, alignment, strict=False) if label not in (BLANK, last)]


def beam(scores: Float[Tensor, "time batch labels"], lengths: Lengths = None) -> list[list[int]]:
    """The likeliest labelling of each sequence that a beam of `WIDTH` finds; there is no language model."""
    chances = scores.double().log_softmax(-1).cpu().numpy()
    ends = [len(scores)] * scores.shape[1] if lengths is None else lengths.tolist()
    return [list(search(chances[:end, i])[0][0]) for i, end in enumerate(ends)]


def search(log_chances: Float[np.ndarray, "time labels"], width: int = WIDTH) -> list[tuple[tuple[int, ...], float]]:
    """Labellings with the logarithms of their chances, likeliest first, by prefix beam search (hannun2014first).

    After every frame the `width` likeliest prefixes remain; where those are all that are possible, the chances
    are exact. Alignments of a prefix that end in a blank are counted apart: only they can repeat its last label.
    """
    prefixes: list[tuple[int, ...]] = [()]
    blank, label = np.zeros(1), np.full(1, -np.inf)  # of alignments so far that end in the blank, in a label
    for frame in log_chances:
        both = np.logaddexp(blank, label)
        last = np.array([prefix[-1] if prefix else BLANK for prefix in prefixes])
        longer = both[:, None] + frame
        again = np.flatnonzero(last)
        longer[again, last[again]] = blank[again] + frame[last[again]]
        longer[:, BLANK] = -np.inf
        stay_blank, stay_label = both + frame[BLANK], label + np.where(last, frame[last], -np.inf)
        rows = {prefix: row for row, prefix in enumerate(prefixes)}
        for row, prefix in enumerate(prefixes):  # a prefix extended by a label may equal another one
            parent = rows.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stay_label[row] = np.logaddexp(stay_label[row], longer[parent, prefix[-1]])
                longer[parent, prefix[-1]] = -np.inf
        total = np.concatenate((np.logaddexp(stay_blank, stay_label), longer.ravel()))
        best = np.argsort(-total, kind="stable")[:width]
        best = best[total[best] > -np.inf]
        same, extended = best[best < len(prefixes)], best[best >= len(prefixes)] - len(prefixes)
        parents, labels = np.divmod(extended, len(frame))
        prefixes = [prefixes[row] for row in same] + [
            (*prefixes[row], int(last)) for row, last in zip(parents, labels, strict=True)
        ]
        blank = np.concatenate((stay_blank[same], np.full(len(extended), -np.inf)))
        label = np.concatenate((stay_label[same], longer.ravel()[extended]))
    both = np.logaddexp(blank, label)
    return [(prefixes[row], float(both[row])) for row in np.argsort(-both, kind="stable")]
