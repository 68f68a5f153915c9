"""Questions with a gap about documents whose names are symbols: what all such datasets share."""

import array
import collections
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, Integer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowbit import metrics, paths
from lowbit.datasets.base import EXAMPLE, SPLITS, Dataset, Shuffle, draws
from lowbit.datasets.varied import ALONE, shuffled
from lowbit.metrics import Batch
from lowbit.registry import InputError

QUESTION_STEPS = 12  # a shuffled question is padded to these at least, and statistics go no further
SYMBOLS_SEED = 5  # of how entity symbols are dealt in validation and test
ENTITY, GAP = "@entity", "@placeholder"  # how an entity's word begins, and the word for the gap

Example = tuple[list[str], list[str], str]  # the words of a document and of its question, and the answer
Arrays = tuple[np.ndarray, ...]


class Passage(NamedTuple):
    """Documents with a question each, time first; padding is at their end."""

    document: Int[Tensor, "time batch"]
    lengths: Int[Tensor, " batch"]
    question: Int[Tensor, "words batch"]
    question_lengths: Int[Tensor, " batch"]
    candidates: Bool[Tensor, "batch entities"]  # the entities that are in the document


class Cloze(Dataset):
    """Documents with a question that has a gap; the answer is the entity that stands there (hermann2015teaching).

    A leaf's `read` gives, for each split, answers (count), the words of all documents behind one another and
    where each ends (count), and the same of the questions. Words are codes: entities from 0 in the order of
    their example, then the gap, then the unknown word, then the vocabulary.

    The symbols of the entities are dealt anew for each example in every pass over train, and once and for all
    in validation and test, so that nothing can be known of a symbol but what the document says. Shuffled
    examples are sorted by length within groups of 20 batches, as in A's code; their padding runs along to
    `steps` at least, so that a batch norm sees each of its slots.
    """

    task: ClassVar[str] = "cloze"
    symbols: ClassVar[bool] = True
    metric: ClassVar[metrics.Metric] = metrics.ERROR_PERCENT
    causal: ClassVar[bool] = False
    entities: ClassVar[int]  # symbols that are dealt: as many as an example may have

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
        """Whole documents side by side, padded to `steps` at least; shuffled where a generator is given."""
        if generator is None:
            yield from self._feed(split, batch, limit)
            return
        _, _, ends, _, _ = self.splits[split]
        lengths = torch.from_numpy(np.diff(ends[: limit or len(ends)], prepend=0))
        dealt = None if split == "train" else self._symbols(split)
        for part in shuffled(lengths, batch, generator, split):
            symbols = deal(len(part), self.entities, generator) if dealt is None else dealt[part]
            yield self._batch(split, part, symbols, steps)

    def streams(self, split: str, batch: int, steps: int, limit: int = 0) -> Iterator[Batch]:
        """The same in the order of length: nothing is carried from one example to the next."""
        return self._feed(split, batch, limit)

    def alone(self, split: str, limit: int = 0) -> Iterator[Batch]:
        """Side by side, which is one by one: with population statistics no example touches another."""
        return self._feed(split, ALONE, limit)

    def baselines(self, limit: int = 0) -> dict[str, float]:
        """Any entity of the document; the most frequent; the most frequent that is not in the question, if any.

        Ties are broken at random, and the expected error is given (hermann2015teaching).
        """
        answers, documents, ends, questions, question_ends = self.splits["test"]
        answers = answers[: limit or None]
        right = collections.Counter()
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
                right[rule] += float(answer in best) / len(best)
        return {rule: 100.0 * (1 - total / len(answers)) for rule, total in right.items()}

    def _feed(self, split: str, batch: int, limit: int) -> Iterator[Batch]:
        _, _, ends, _, _ = self.splits[split]
        lengths = np.diff(ends[: limit or len(ends)], prepend=0)
        dealt = self._symbols(split)
        for part in torch.from_numpy(lengths.argsort(kind="stable")).split(batch):
            yield self._batch(split, part, dealt[part], 0)

    def _symbols(self, split: str) -> Int[Tensor, "count entities"]:
        generator = torch.Generator().manual_seed(SYMBOLS_SEED)
        return deal(len(self.splits[split][0]), self.entities, generator)

    def _batch(
        self, split: str, picked: Int[Tensor, " batch"], symbols: Int[Tensor, "batch entities"], steps: int
    ) -> Batch:
        answers, documents, ends, questions, question_ends = self.splits[split]
        document, lengths = self._padded(documents, ends, picked, symbols, steps)
        question, question_lengths = self._padded(questions, question_ends, picked, symbols, min(steps, QUESTION_STEPS))
        named = torch.where(document < self.entities, document, self.entities)
        candidates = torch.zeros(len(picked), self.entities + 1, dtype=torch.bool).scatter_(1, named.T, True)
        y = symbols.gather(1, torch.from_numpy(answers)[picked].long()[:, None])[:, 0]
        return Batch(Passage(document, lengths, question, question_lengths, candidates[:, :-1]), y)

    def _padded(
        self,
        words: Integer[np.ndarray, " words"],
        ends: Integer[np.ndarray, " count"],
        picked: Int[Tensor, " batch"],
        symbols: Int[Tensor, "batch entities"],
        least: int,
    ) -> tuple[Int[Tensor, "time batch"], Int[Tensor, " batch"]]:
        """Texts side by side with the symbols of their entities, and their lengths; padding is the unknown word."""
        texts = [torch.from_numpy(words[ends[i - 1] if i else 0 : ends[i]]).long() for i in picked.tolist()]
        lengths = torch.tensor([len(text) for text in texts])
        x = pad_sequence(texts, padding_value=self.entities + 1)
        x = F.pad(x, (0, 0, 0, max(least - len(x), 0)), value=self.entities + 1)
        named = symbols.T.gather(0, x.clamp(max=self.entities - 1))
        return torch.where(x < self.entities, named, x), lengths

    def _count(self, splits: dict[str, Arrays]) -> int:
        return self.entities


def deal(count: int, entities: int, generator: torch.Generator) -> Int[Tensor, "count entities"]:
    """A random order of the symbols for each example: the symbol of its first entity, of its second, ..."""
    return torch.rand(count, entities, generator=generator).argsort(1)


def encode(splits: dict[str, Iterable[Example]], entities: int, most: int = 0) -> dict[str, Arrays]:
    """Examples as the arrays of `Cloze`; the vocabulary is the `most` frequent words of train, or all of them.

    Raises `InputError` for an example with more entities than there are symbols.
    """
    first, known = entities + 2, {}
    spelled = {split: _spell(examples, entities, known) for split, examples in splits.items()}
    _, documents, _, questions, _ = spelled["train"]
    size = first + len(known)
    counts = (np.bincount(documents, minlength=size) + np.bincount(questions, minlength=size))[first:]
    order = (-counts).argsort(kind="stable")[: min(most or len(counts), np.count_nonzero(counts))]
    table = np.full(size, entities + 1, np.int32)
    table[:first] = np.arange(first)
    table[first + order] = first + np.arange(len(order))
    return {
        split: (answers, table[documents], ends, table[questions], question_ends)
        for split, (answers, documents, ends, questions, question_ends) in spelled.items()
    }


def _spell(examples: Iterable[Example], entities: int, known: dict[str, int]) -> Arrays:
    """The arrays of a split, in which words have the codes of `known`, where new ones are entered."""
    answers, words, ends = array.array("i"), (array.array("i"), array.array("i")), ([], [])
    for *texts, answer in examples:
        own: dict[str, int] = {}
        for text, codes, end in zip(texts, words, ends, strict=True):
            for word in text:
                if word.startswith(ENTITY):
                    codes.append(own.setdefault(word, len(own)))
                else:
                    codes.append(entities if word == GAP else known.setdefault(word, entities + 2 + len(known)))
            end.append(len(codes))
        answers.append(own.setdefault(answer, len(own)))
        if len(own) > entities:
            raise InputError(f"an example has {len(own)} entities, there are symbols for {entities}")
    (documents, questions), (document_ends, question_ends) = words, ends
    found = (answers, documents, document_ends, questions, question_ends)
    return tuple(np.array(part, kind) for part, kind in zip(found, (np.int32, np.int32, np.int64) * 2, strict=False))


def kept(name: str, made_of: Iterable[bytes], make: Callable[[], dict[str, Arrays]]) -> dict[str, Arrays]:
    """What `make` gives, made once for each `made_of` and kept in a file; raises `InputError`."""
    digest = hashlib.sha256()
    for part in made_of:
        digest.update(hashlib.sha256(part).digest())
    path = paths.raw() / "cloze" / f"{name}-{digest.hexdigest()[:16]}.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes())) as found:
            return {split: tuple(found[f"{split}{i}"] for i in range(5)) for split in SPLITS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there, or spoilt: once more
        made = make()
        _keep(path, {f"{split}{i}": part for split, parts in made.items() for i, part in enumerate(parts)})
        return made


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes under another name first, so that `path` never holds a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            np.savez(out, **arrays)
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; LOWBIT_DATA may name another folder") from None
