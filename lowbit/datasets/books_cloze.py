"""Questions with a gap about passages of English novels."""

import collections
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import books, cloze
from lowbit.datasets.base import SPLITS
from lowbit.datasets.cloze import ENTITY, GAP, Cloze, Example
from lowbit.datasets.download import File
from lowbit.datasets.recipe import SMOKE, Recipe

WORDS = 2000  # of the vocabulary
LEAST, LONGEST = 20, 50  # words of a passage
LEAST_ENTITIES, MOST_ENTITIES = 3, 6  # of a passage
BESIDE, SHORTEST = 4, 5  # words of a quotation: on either side of the gap at most, in all at least
ORDER_SEED = 1851  # of the order of the examples of a split

FREQUENT = 5  # occurrences of a name within sentences, at least
RARELY = {"small": 0.05, "article": 0.1}  # occurrences for each of those, at most: in small letters, after an article
ARTICLES = frozenset(("the", "a", "an", "this", "that", "these", "those", "no", "some", "every", "any"))

# Words with capitals that are no names by themselves.
NO_NAMES = """
    mr mrs miss ms dr doctor sir lady lord dame madam madame mademoiselle monsieur don dona signor signora herr frau
    captain colonel general major lieutenant sergeant professor judge inspector reverend saint squire master mistress
    king queen prince princess duke duchess earl count countess baron baroness aunt uncle cousin father mother
    brother sister grandfather grandmother god heaven chapter christmas easter
    monday tuesday wednesday thursday friday saturday sunday
    january february march april may june july august september october november december
"""
TITLES = frozenset(NO_NAMES.split())
PLAIN = {"“": '"', "”": '"', "’": "'", "‘": "'", "—": " -- ", "_": "", "*": "", "\r": ""}
HEADING = re.compile(r"\n[ \t]*#.*")
SHORTENED = re.compile(r"(Mr|Mrs|Ms|Dr|St|Messrs|Mme|Mlle|Capt|Col|Gen|Lieut|Rev|Hon|Esq|Jr|Prof)\.")
PARAGRAPH = re.compile(r"\n\s*\n")
END = re.compile(r"""[.!?]["']? (?=["'(]?[A-Z])""")  # of a sentence
# A search that starts at a capital and looks back is several times faster than one that starts before it.
CAPITAL = re.compile(r"[A-Z][a-z]+")
WITHIN = re.compile(r"[A-Z](?<=[a-z,;] .)[a-z]+(?:(?='s)|\b(?!'))")  # a capitalized word within a sentence
WORD = re.compile(r"""[A-Za-z]+(?:'(?!s\b)[A-Za-z]+)*|'s\b|[0-9]+|[.,;:!?"'()]|--""")


def prose(book: str) -> str:
    """A book without its headings, with one kind of quote and dash, and no period after `Mr` and the like."""
    text = book.partition("-------")[2]
    for symbol, plain in PLAIN.items():
        text = text.replace(symbol, plain)
    return SHORTENED.sub(r"\1", HEADING.sub("", text))


def names(text: str) -> dict[str, int]:
    """Words that are spelled like names, and their numbers of occurrences within sentences."""
    words = text.split()
    text, common = " ".join(words), collections.Counter(words)
    within, article = collections.Counter(), collections.Counter()
    for match in WITHIN.finditer(text):
        word, start = match.group(), match.start()
        within[word] += 1
        article[word] += text[text.rfind(" ", 0, start - 1) + 1 : start - 1] in ARTICLES
    return {
        word: count
        for word, count in within.items()
        if count >= FREQUENT
        and len(word) > 2
        and word.lower() not in TITLES
        and common[word.lower()] <= RARELY["small"] * count
        and article[word] <= RARELY["article"] * count
    }


def sentences(text: str, counts: dict[str, int]) -> Iterator[list[str]]:
    """The words of the sentences with names, of which `counts` has the occurrences."""
    for paragraph in PARAGRAPH.split(text):
        if counts.keys().isdisjoint(CAPITAL.findall(paragraph)):
            continue
        for sentence in END.sub(r"\g<0>\n", " ".join(paragraph.split())).split("\n"):
            if not counts.keys().isdisjoint(CAPITAL.findall(sentence)):
                yield anonymous(sentence, counts)


def anonymous(sentence: str, counts: dict[str, int]) -> list[str]:
    """The words in small letters; consecutive names are one entity, that of the most frequent."""
    words: list[str] = []
    for is_name, run in itertools.groupby(WORD.findall(sentence), counts.__contains__):
        if is_name:
            words.append(ENTITY + max(run, key=counts.get))
        else:
            words.extend(word.lower() for word in run)
    return words


def passages(sentences: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Consecutive sentences, as few as have enough entities; none is in two passages."""
    passage: collections.deque[list[str]] = collections.deque()
    for sentence in sentences:
        passage.append(sentence)
        while sum(map(len, passage)) > LONGEST:
            passage.popleft()
        words = list(itertools.chain(*passage))
        entities = len({word for word in words if word.startswith(ENTITY)})
        if len(words) >= LEAST and entities >= LEAST_ENTITIES:
            if entities <= MOST_ENTITIES:
                yield list(passage)
            passage.clear()


def examples(book: str) -> Iterator[Example]:
    """A question for each name in a passage: the words around it in its sentence, with a gap."""
    text = prose(book)
    for passage in passages(sentences(text, names(text))):
        document = list(itertools.chain(*passage))
        for sentence in passage:
            for i, answer in enumerate(sentence):
                quoted = sentence[max(i - BESIDE, 0) : i + BESIDE + 1]
                if answer.startswith(ENTITY) and len(quoted) >= SHORTEST:
                    yield document, [GAP if word == answer else word for word in quoted], answer


SHORT = dataclasses.replace(SMOKE, embedding=16, updates=10, evaluate_every=5, calibration=4)


@datasets.register
@dataclasses.dataclass(frozen=True)
class BooksCloze(Cloze):
    """Passages of novels, and a quotation from each with a name left out, to be chosen from the passage.

    A substitute for `cnn_qa` of our own making, from 216 novels in the public domain; no paper has it. A passage has
    consecutive ones of those sentences of a novel that have names, with three names at least in 50 words at most.
    For each occurrence of a name there is a question: up to four words on either side of it, within its sentence,
    and a gap for every mention of that name. Names are recognised by their spelling; consecutive ones are one
    entity. Entities are symbols, drawn again in every pass over train as in hermann2015teaching; train, validation
    and test are of different books.

    A question quotes its passage word for word, where the summaries of CNN must be understood: errors are much
    lower than on `cnn_qa` and say nothing of it. The vocabulary is the 2000 most frequent words of train.
    """

    title: ClassVar[str] = "Gaps in English novels"
    reference: ClassVar[str] = "hill2016goldilocks"
    licence: ClassVar[str] = books.LICENCE
    files: ClassVar[tuple[File, ...]] = (books.ARCHIVE,)
    entities: ClassVar[int] = MOST_ENTITIES
    counts: ClassVar[dict[str, int]] = {"train": 82_480, "valid": 15_455, "test": 7_534, "outputs": MOST_ENTITIES}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SHORT, steps=LONGEST, valid_limit=32, test_limit=32),
        "cpu": Recipe(
            hidden=64,
            embedding=64,
            updates=1500,
            steps=LONGEST,
            rate=3e-3,
            final_rate=5e-4,
            clip_norm=5.0,
            evaluate_every=250,
            valid_limit=1000,
        ),
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Of every ten books in their order, eight are for training, one for validation, one for the test."""
        code = [Path(module).read_bytes() for module in (books.__file__, cloze.__file__, __file__)]
        return cloze.cached("books", [books.ARCHIVE.sha256.encode(), *code], self._compute)

    def _compute(self) -> dict[str, tuple[np.ndarray, ...]]:
        parts: dict[str, list[Example]] = {split: [] for split in SPLITS}
        for i, book in enumerate(books.texts().values()):
            parts[{8: "valid", 9: "test"}.get(i % 10, "train")].extend(examples(book))
        order = np.random.Generator(np.random.PCG64(ORDER_SEED))
        shuffled = {split: [part[i] for i in order.permutation(len(part))] for split, part in parts.items()}
        return cloze.encode(shuffled, self.entities, WORDS)
