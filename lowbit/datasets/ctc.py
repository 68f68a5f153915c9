"""Connectionist temporal classification: from scores of every frame to a sequence of labels (graves2006connectionist).

An alignment names a label or the blank at every frame; it says the labels that are left when repeats are merged
and then blanks left out. The chance of a labelling is the sum over all alignments that say it.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

BLANK = 0  # labels count from 1
SPACE = 1  # the label between words, where labels are characters
WIDTH = 8  # labellings that a beam search keeps from frame to frame

Lengths = Int[Tensor, " batch"] | None  # frames of each sequence; none: all are whole
Decode = Callable[[Float[Tensor, "time batch labels"], Lengths], list[list[int]]]


def greedy(scores: Float[Tensor, "time batch labels"], lengths: Lengths = None) -> list[list[int]]:
    """What the likeliest alignment of each sequence says.

    >>> import torch
    >>> greedy(torch.eye(3)[[1, 1, 0, 1, 2, 0]][:, None])
    [[1, 1, 2]]
    """
    alignments = scores.argmax(-1).T.tolist()
    ends = [len(scores)] * len(alignments) if lengths is None else lengths.tolist()
    return [said(alignment[:end]) for alignment, end in zip(alignments, ends, strict=True)]


def said(alignment: list[int]) -> list[int]:
    """The labels of an alignment: repeats merged, then blanks left out.

    >>> said([0, 2, 2, 0, 2, 1])
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

    After every frame the `width` likeliest beginnings are kept; where those are all that are possible, the
    chances are exact. Alignments of a beginning that end in a blank are counted apart: only they let its last
    label be said again.
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
        for row, prefix in enumerate(prefixes):  # one that another one grows into is the same labelling
            parent = rows.get(prefix[:-1]) if prefix else None
            if parent is not None:
                stay_label[row] = np.logaddexp(stay_label[row], longer[parent, prefix[-1]])
                longer[parent, prefix[-1]] = -np.inf
        total = np.concatenate((np.logaddexp(stay_blank, stay_label), longer.ravel()))
        best = np.argsort(-total, kind="stable")[:width]
        best = best[total[best] > -np.inf]
        kept, grown = best[best < len(prefixes)], best[best >= len(prefixes)] - len(prefixes)
        parents, labels = np.divmod(grown, len(frame))
        prefixes = [prefixes[row] for row in kept] + [
            (*prefixes[row], int(added)) for row, added in zip(parents, labels, strict=True)
        ]
        blank = np.concatenate((stay_blank[kept], np.full(len(grown), -np.inf)))
        label = np.concatenate((stay_label[kept], longer.ravel()[grown]))
    both = np.logaddexp(blank, label)
    return [(prefixes[row], float(both[row])) for row in np.argsort(-both, kind="stable")]
