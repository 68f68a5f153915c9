"""One long novel, by bytes or by characters."""

import dataclasses
from typing import ClassVar

from lowbit import datasets
from lowbit.datasets.document import Document
from lowbit.datasets.download import File
from lowbit.datasets.recipe import BRIEF_TEXT, CPU_TEXT, LONG_TEXT, SMOKE, Recipe
from lowbit.registry import InputError


@datasets.register
@dataclasses.dataclass(frozen=True)
class Warpeace(Document):
    """Tolstoy's "War and Peace" in English, as karpathy2015visualizing prepared it; cut 80 / 10 / 10.

    The file's bytes are 3,258,246 symbols of 87 kinds, a byte order mark and carriage returns among them: the
    reading of the paper that made it, and ours. The released code of ardakani2019learning has 83 symbols:
    the text decoded and rid of carriage returns, 3,196,213 characters, which `symbols=83` gives. How that
    code was fed is not published, so the 83 and its split are inferred from the count. Scores of the two
    readings are no score of each other: a return is a symbol that costs nothing. ott2016recurrent has no
    such task.
    """

    title: ClassVar[str] = "War and Peace"
    reference: ClassVar[str] = "karpathy2015visualizing"
    licence: ClassVar[str] = "public domain (Project Gutenberg 2600)"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "warpeace/warpeace_input.txt",
            "fb66ba999dafe24017cdd59e04c56d385a9c8466993d374fd4c6f08b2142985e",
            3_258_246,
            ("https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",),
        ),
    )
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": SMOKE,
        "brief": BRIEF_TEXT,
        "cpu": CPU_TEXT,
        "long": LONG_TEXT,
        "paper": Recipe(hidden=512, updates=200 * 407, final_rate=1e-3),  # epochs, of the whole batches in one
    }

    symbols: int = 87  # bytes; or 83: decoded, without carriage returns, as in A's code

    def __post_init__(self):
        if self.symbols not in (83, 87):
            raise InputError(f"{self.title} has no reading of {self.symbols} symbols; known: 83, 87")

    @property
    def counts(self) -> dict[str, int]:
        """Symbols of each split in the chosen reading: eight tenths, one tenth, and the rest."""
        total = {83: 3_196_213, 87: 3_258_246}[self.symbols]
        train, valid = total * 8 // 10, total // 10
        return {"train": train, "valid": valid, "test": total - train - valid, "outputs": self.symbols}

    def text(self) -> str:
        """The bytes of the file as Latin-1, or its characters without carriage returns."""
        text = super().text()
        return text if self.symbols == 87 else text.encode("latin-1").decode().replace("\r", "")
