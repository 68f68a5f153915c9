"""Questions with a gap about passages of English novels."""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets
from lowbit.datasets import books, cloze
from lowbit.datasets.cloze import ENTITY, GAP, Cloze, Example
from lowbit.datasets.download import File
from lowbit.datasets.recipe import SMOKE, Recipe

WORDS = 2000  # of the vocabulary
LEAST, LONGEST = 20, 50  # words of a passage
LEAST_ENTITIES, MOST_ENTITIES = 3, 6  # of a passage
BESIDE, SHORTEST = 4, 5  # words of a quotation: on either side of the gap at most, in all at least
ORDER_SEED = 1851  # of the order of the examples of a split

FREQUENT = 5  # times at least that a name stands within a sentence
RARELY = {"small": 0.05, "article": 0.1}  # at most so often for each such time: in small letters, after an article
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
WITHIN = re.compile(r"[A-Z](?<=[a-z,;] .)[a-z]+(?:(?='s)|\b(?!'))")  # a word with a capital that opens no sentence
WORD = re.compile(r"""[A-Za-z]+(?:'(?!s\b)[A-Za-z]+)*|'s\b|[0-9]+|[.,;:!?"'()]|--""")


def prose(book: str) -> str:
    """A book without its headings, with one kind of quote and dash, and no period after `Mr` and the like."""
    text = book.partition("-------")[2]
    for symbol, plain in PLAIN.items():
        text = text.replace(symbol, plain)
    return SHORTENED.sub(r"\1", HEADING.sub("", text))


def names(text: str) -> dict[str, int]:
    """Words that are names by how they are written, and how often they stand within a sentence."""
    words = text.split()
    text, common = " ".join(words), collections.Counter(words)
    within, article = collections.Counter(), collections.Counter()
    for found in WITHIN.finditer(text):
        word, start = found.group(), found.start()
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


def naming(text: str, known: dict[str, int]) -> Iterator[list[str]]:
    """The words of the sentences that name someone."""
    for paragraph in PARAGRAPH.split(text):
        if known.keys().isdisjoint(CAPITAL.findall(paragraph)):
            continue
        for sentence in END.sub(r"\g<0>\n", " ".join(paragraph.split())).split("\n"):
            if not known.keys().isdisjoint(CAPITAL.findall(sentence)):
                yield anonymous(sentence, known)


def anonymous(sentence: str, known: dict[str, int]) -> list[str]:
    """The words in small letters; names behind one another are one entity, that of the most frequent."""
    words: list[str] = []
    run: list[str] = []
    for word in [*WORD.findall(sentence), ""]:
        if word in known:
            run.append(word)
            continue
        if run:
            words.append(ENTITY + max(run, key=known.get))
            run = []
        words.append(word.lower())
    return words[:-1]


def passages(sentences: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Sentences behind one another, as few as name enough; none is in two passages."""
    held: collections.deque[list[str]] = collections.deque()
    for sentence in sentences:
        held.append(sentence)
        while sum(map(len, held)) > LONGEST:
            held.popleft()
        words = [word for each in held for word in each]
        found = len({word for word in words if word.startswith(ENTITY)})
        if len(words) >= LEAST and found >= LEAST_ENTITIES:
            if found <= MOST_ENTITIES:
                yield list(held)
            held.clear()


def examples(book: str) -> Iterator[Example]:
    """A question for each place of a passage where a name stands: what is around it in its sentence, with a gap."""
    text = prose(book)
    for passage in passages(naming(text, names(text))):
        document = [word for sentence in passage for word in sentence]
        for sentence in passage:
            for i, answer in enumerate(sentence):
                quoted = sentence[max(i - BESIDE, 0) : i + BESIDE + 1]
                if answer.startswith(ENTITY) and len(quoted) >= SHORTEST:
                    yield document, [GAP if word == answer else word for word in quoted], answer


@datasets.register
@dataclasses.dataclass(frozen=True)
class BooksCloze(Cloze):
    """Passages of novels, and a quotation from each with a name left out, to be chosen from the passage.

    A stand-in for `cnn_qa` of our own making, from 216 novels in the public domain; no paper has it. A passage is
    of the sentences of a novel that name someone, those between them left out, and names three at least in 50 words
    at most. For each place where a name stands there is a question: up to four words on either side of it, within
    its sentence, and every mention of that name a gap. Names are told by how they are written; those behind one
    another are one entity. Entities are symbols, dealt anew in every pass over train as in hermann2015teaching;
    train, validation and test are of different books.

    The words of a question stand in the passage as they are, so that reading can find each answer, where the
    summaries of CNN must be understood: errors are much lower than on `cnn_qa` and say nothing of it. The vocabulary
    is the 2000 most frequent words of train.
    """

    title: ClassVar[str] = "Gaps in English novels"
    reference: ClassVar[str] = "hill2016goldilocks"
    licence: ClassVar[str] = books.LICENCE
    files: ClassVar[tuple[File, ...]] = (books.ARCHIVE,)
    entities: ClassVar[int] = MOST_ENTITIES
    counts: ClassVar[dict[str, int]] = {"train": 82_480, "valid": 15_455, "test": 7_534, "outputs": MOST_ENTITIES}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(
            SMOKE,
            embedding=16,
            updates=10,
            steps=LONGEST,
            evaluate_every=5,
            calibration=4,
            valid_limit=32,
            test_limit=32,
        ),
        "cpu": Recipe(
            hidden=64,
            embedding=64,
            updates=1500,
            batch=64,
            steps=LONGEST,
            rate=3e-3,
            final_rate=5e-4,
            clip_norm=5.0,
            evaluate_every=250,
            calibration=16,
            valid_limit=1000,
        ),
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Of every ten books in their order, eight are for training, one for validation, one for the test."""
        rule = [Path(module.__file__).read_bytes() for module in (books, cloze)] + [Path(__file__).read_bytes()]
        return cloze.kept("books", [books.ARCHIVE.sha256.encode(), *rule], self._make)

    def _make(self) -> dict[str, tuple[np.ndarray, ...]]:
        found: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
        for i, book in enumerate(books.texts().values()):
            found[{8: "valid", 9: "test"}.get(i % 10, "train")].extend(examples(book))
        order = np.random.Generator(np.random.PCG64(ORDER_SEED))
        shuffled = {split: [part[i] for i in order.permutation(len(part))] for split, part in found.items()}
        return cloze.encode(shuffled, self.entities, WORDS)
