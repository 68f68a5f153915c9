"""Questions with a gap about documents whose names are replaced by symbols."""

import array
import collections
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, Integer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit import paths
from lowbit.datasets import cache, metrics
from lowbit.datasets.base import EXAMPLE, SPLITS, Dataset, Shuffle, draws
from lowbit.datasets.metrics import Batch
from lowbit.datasets.varied import ALONE, shuffled
from lowbit.registry import InputError

QUESTION_STEPS = 12  # a shuffled question is padded to these at least, and statistics of a norm have as many
SYMBOLS_SEED = 5  # of the entity symbols in validation and test
ENTITY, GAP = "@entity", "@placeholder"  # the beginning of an entity's word, and the word for the gap

Example = tuple[list[str], list[str], str]  # the words of a document and of its question, and the answer
Arrays = tuple[np.ndarray, ...]


class Passage(NamedTuple):
    """Documents with one question each, time first, padded at their end."""

    document: Int[Tensor, "time batch"]
    lengths: Int[Tensor, " batch"]
    question: Int[Tensor, "words batch"]
    question_lengths: Int[Tensor, " batch"]
    candidates: Bool[Tensor, "batch entities"]  # the entities that are in the document


class Cloze(Dataset):
    """Documents with a question that has a gap; the answer is the entity in its place (hermann2015teaching).

    `read` of a subclass returns, for each split, answers (count), the words of all documents and the end of
    each document among them (count), and the same of the questions. Words are codes: entities from 0 in the
    order of their example, then the gap, then the unknown word, then the vocabulary.

    The symbols of the entities are drawn again for each example in every pass over train, and once in
    validation and test, so that only the document tells anything about a symbol. Shuffled examples are sorted
    by length within groups of 20 batches, as in A's code; they are padded to `steps` at least, so that a batch
    norm per step has statistics of all its steps.
    """

    task: ClassVar[str] = "cloze"
    symbols: ClassVar[bool] = True
    metric: ClassVar[metrics.Metric] = metrics.ERROR_PERCENT
    causal: ClassVar[bool] = False
    entities: ClassVar[int]  # symbols: as many as an example may have entities

    def example(self) -> dict[str, Arrays]:
        """Three entities among five of ten words, one of them left out in a question of three words and another."""
        generator = draws()

        def question() -> Example:
            names, words = ([f"{kind}{i}" for i in generator.permutation(10)] for kind in (ENTITY, "word"))
            document = [*names[:3], *words[:5]]
            return [document[i] for i in generator.permutation(8)], [*words[:3], GAP, names[0]], names[1]

        return encode({split: [question() for _ in range(count)] for split, count in EXAMPLE.items()}, self.entities)

    @property
    def inputs(self) -> int:
        """The size of the alphabet: entities, the gap, the unknown word, and the vocabulary."""
        return 1 + max(int(arrays[part].max()) for arrays in self.splits.values() for part in (1, 3))

    @property
    def outputs(self) -> int:
        """The number of entity symbols."""
        return self.entities

    def batches(self, split: str, batch: int, steps: int, generator: Shuffle = None, limit: int = 0) -> Iterator[Batch]:
        """Whole documents; in the order of length, or shuffled and padded to `steps` where a generator is given."""
        lengths = torch.from_numpy(np.diff(self.splits[split][2][: limit or None], prepend=0))
        if generator is None:
            parts, steps = lengths.argsort(stable=True).split(batch), 0
        else:
            parts = shuffled(lengths, batch, generator, split)
        fixed = None if split == "train" and generator is not None else self._fixed_symbols(split)
        for part in parts:
            symbols = draw_symbols(len(part), self.entities, generator) if fixed is None else fixed[part]
            yield self._batch(split, part, symbols, steps)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """The same in the order of length: nothing is carried from one example to the next."""
        return self.batches(split, batch, steps, limit=limit)

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """In batches: with population statistics no example depends on another."""
        return self.batches(split, ALONE, 0, limit=limit)

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Scores of any entity of the document, the most frequent, and the most frequent outside of the question.

        Ties are broken at random, and the expected error is returned (hermann2015teaching).
        """
        answers, documents, ends, questions, question_ends = self.splits["test"]
        answers = answers[: limit or None]
        hits = collections.Counter()
        for answer, document, question in zip(
            answers, np.split(documents, ends[:-1]), np.split(questions, question_ends[:-1]), strict=False
        ):
            counts = np.bincount(document[document < self.entities], minlength=self.entities)
            others = counts.copy()
            others[question[question < self.entities]] = 0
            for rule, score in (
                ("random", counts > 0),
                ("most frequent", counts),
                ("exclusive frequency", others if others.any() else counts),
            ):
                best = np.flatnonzero(score == score.max())
                hits[rule] += float(answer in best) / len(best)
        return {rule: 100.0 * (1 - total / len(answers)) for rule, total in hits.items()}

    def _fixed_symbols(self, split: str) -> Int[Tensor, "count entities"]:
        generator = torch.Generator().manual_seed(SYMBOLS_SEED)
        return draw_symbols(len(self.splits[split][0]), self.entities, generator)

    def _batch(
        self, split: str, chosen: Int[Tensor, " batch"], symbols: Int[Tensor, "batch entities"], steps: int
    ) -> Batch:
        answers, documents, ends, questions, question_ends = self.splits[split]
        document, lengths = self._padded(documents, ends, chosen, symbols, steps)
        question, question_lengths = self._padded(questions, question_ends, chosen, symbols, min(steps, QUESTION_STEPS))
        named = document.clamp(max=self.entities)
        candidates = torch.zeros(len(chosen), self.entities + 1, dtype=torch.bool).scatter_(1, named.T, True)
        y = symbols.gather(1, torch.from_numpy(answers)[chosen].long()[:, None])[:, 0]
        return Batch(Passage(document, lengths, question, question_lengths, candidates[:, :-1]), y)

    def _padded(
        self,
        words: Integer[np.ndarray, " words"],
        ends: Integer[np.ndarray, " count"],
        chosen: Int[Tensor, " batch"],
        symbols: Int[Tensor, "batch entities"],
        least: int,
    ) -> tuple[Int[Tensor, "time batch"], Int[Tensor, " batch"]]:
        """Texts side by side with the symbols of their entities, and their lengths; padding is the unknown word."""
        texts = [torch.from_numpy(words[ends[i - 1] if i else 0 : ends[i]]).long() for i in chosen.tolist()]
        lengths = torch.tensor([len(text) for text in texts])
        x = pad_sequence(texts, padding_value=self.entities + 1)
        x = F.pad(x, (0, 0, 0, max(least - len(x), 0)), value=self.entities + 1)
        named = symbols.T.gather(0, x.clamp(max=self.entities - 1))
        return torch.where(x < self.entities, named, x), lengths

    def _count(self, splits: dict[str, Arrays]) -> int:
        return self.entities


def draw_symbols(count: int, entities: int, generator: torch.Generator) -> Int[Tensor, "count entities"]:
    """A random order of the symbols for each example: the symbol of its first entity, of its second, ..."""
    return torch.rand(count, entities, generator=generator).argsort(1)


def encode(splits: dict[str, Iterable[Example]], entities: int, most: int = 0) -> dict[str, Arrays]:
    """Examples as the arrays of `Cloze`; the vocabulary is the `most` frequent words of train, or all of them.

    Raises `InputError` for an example with more entities than there are symbols.
    """
    first, vocabulary = entities + 2, {}
    encoded = {split: _encode(examples, entities, vocabulary) for split, examples in splits.items()}
    _, documents, _, questions, _ = encoded["train"]
    size = first + len(vocabulary)
    counts = (np.bincount(documents, minlength=size) + np.bincount(questions, minlength=size))[first:]
    order = (-counts).argsort(kind="stable")[: min(most or len(counts), np.count_nonzero(counts))]
    table = np.full(size, entities + 1, np.int32)
    table[:first] = np.arange(first)
    table[first + order] = first + np.arange(len(order))
    return {
        split: (answers, table[documents], ends, table[questions], question_ends)
        for split, (answers, documents, ends, questions, question_ends) in encoded.items()
    }


def _encode(examples: Iterable[Example], entities: int, vocabulary: dict[str, int]) -> Arrays:
    """The arrays of a split with the codes of `vocabulary`, to which new words are added."""
    answers, words, ends = array.array("i"), (array.array("i"), array.array("i")), ([], [])
    for *texts, answer in examples:
        names: dict[str, int] = {}
        for text, codes, end in zip(texts, words, ends, strict=True):
            for word in text:
                if word.startswith(ENTITY):
                    codes.append(names.setdefault(word, len(names)))
                elif word == GAP:
                    codes.append(entities)
                else:
                    codes.append(vocabulary.setdefault(word, entities + 2 + len(vocabulary)))
            end.append(len(codes))
        answers.append(names.setdefault(answer, len(names)))
        if len(names) > entities:
            raise InputError(f"an example has {len(names)} entities, there are symbols for {entities}")
    arrays = (answers, words[0], ends[0], words[1], ends[1])
    return tuple(np.array(part, kind) for part, kind in zip(arrays, (np.int32, np.int32, np.int64) * 2, strict=False))


def cached(name: str, sources: Iterable[bytes], compute: Callable[[], dict[str, Arrays]]) -> dict[str, Arrays]:
    """The arrays of `compute`, cached in a file by the contents of `sources`; raises `InputError`."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(source).digest() for source in sources)).hexdigest()
    arrays = cache.arrays(
        paths.raw() / "cloze" / f"{name}-{digest[:16]}.npz",
        lambda: {f"{split}{i}": part for split, parts in compute().items() for i, part in enumerate(parts)},
    )
    return {split: tuple(arrays[f"{split}{i}"] for i in range(5)) for split in SPLITS}
