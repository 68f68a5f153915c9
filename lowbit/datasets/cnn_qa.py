"""Questions with a gap about news of CNN: the published set."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets, paths
from lowbit.datasets import archives, cloze
from lowbit.datasets.cloze import Cloze, Example
from lowbit.datasets.download import File, fetch
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.registry import InputError

ADDRESS = "https://cs.nyu.edu/~kcho/DMQA/"
FOLDERS = {"train": "training", "valid": "validation", "test": "test"}
MOST = 1 << 36  # bytes of all questions
EPOCH = 380_298 // 32  # whole batches

# The settings of A's released code.
PAPER = Recipe(
    hidden=256, embedding=200, updates=80 * EPOCH, batch=32, steps=400, rate=3e-3, final_rate=1e-3, evaluate_every=1000
)


@datasets.register
@dataclasses.dataclass(frozen=True)
class CnnQa(Cloze):
    """News of CNN, and its editors' summaries sentence by sentence, each with a name left out (hermann2015teaching).

    380,298 questions for training, 3,924 for validation, 3,198 for the test, with names as symbols already; here
    they are drawn again from 550, as A's code does. ardakani2019learning has this task with the attentive reader
    (`paper`); ott2016recurrent has not. The vocabulary is all words of train. Documents are whole, 2000 words at
    most; statistics of a batch norm go as far as 400 words, the rest share those of the last. `books_cloze` stands
    in where the set is not at hand.

    The archive `cnn.tgz`, the questions and not the stories, is linked from https://cs.nyu.edu/~kcho/DMQA/. Its
    host gives large files only to those who confirm: where the download fails, fetch it with a browser and put it
    into the data folder as `cnn_qa/cnn.tgz`. Its checksum is the one that ParlAI checks (miller2017parlai); its
    size nobody gives, ours is only a bound.
    """

    title: ClassVar[str] = "CNN questions"
    reference: ClassVar[str] = "hermann2015teaching"
    licence: ClassVar[str] = "none stated for the texts, which are CNN's; for research"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "cnn_qa/cnn.tgz",
            "9405beb90c9267e7769c86fa42720b7e479bcf38c64217c0d3f456ce8cd122ce",
            1_000_000_000,
            ("https://drive.google.com/uc?export=download&confirm=t&id=0BwmD_VLjROrfTTljRDVZMFJnVWM",),
        ),
    )
    entities: ClassVar[int] = 550
    counts: ClassVar[dict[str, int]] = {"train": 380_298, "valid": 3_924, "test": 3_198, "outputs": 550}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(
            SMOKE, embedding=16, updates=4, evaluate_every=2, calibration=2, valid_limit=16, test_limit=16
        ),
        "cpu": dataclasses.replace(
            PAPER, hidden=64, embedding=64, updates=500, steps=200, evaluate_every=250, valid_limit=500, test_limit=500
        ),
        "paper": PAPER,
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """The questions of the archive; computed in minutes the first time, then cached."""
        (file,) = self.files
        try:
            archive = fetch(file)
        except InputError as error:
            place = paths.raw() / file.name
            raise InputError(
                f"{error}; or download cnn.tgz, the questions, with a browser from {ADDRESS} and put it at {place}"
            ) from None
        code = [Path(module).read_bytes() for module in (cloze.__file__, __file__)]

        def compute() -> dict[str, tuple[np.ndarray, ...]]:
            return cloze.encode({split: questions(archive, folder) for split, folder in FOLDERS.items()}, self.entities)

        return cloze.cached("cnn", [file.sha256.encode(), *code], compute)


def questions(archive: Path, folder: str) -> Iterator[Example]:
    """The questions of a folder of the archive, in its order; raises `InputError` where it is damaged."""
    try:
        for name, read in archives.files(archive, MOST):
            if f"questions/{folder}/" in name and name.endswith(".question"):
                yield question(name, read().decode("utf-8"))
    except archives.DAMAGE as error:
        raise InputError(f"{archive} cannot be read: {error}") from None


def question(name: str, text: str) -> Example:
    """One file: address, document, question, answer and names of the entities, with an empty line after each.

    Raises `InputError` for anything else.
    """
    parts = text.split("\n\n", 4)
    if len(parts) != 5 or cloze.GAP not in parts[2].split() or not parts[3].startswith(cloze.ENTITY):
        raise InputError(f"{name} is no question: an address, a document, a question, its answer and the entities")
    _, document, words, answer, _ = parts
    return document.split(), words.split(), answer.strip()
