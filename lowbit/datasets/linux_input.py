"""The large program text in C that the papers use, for those who can download it."""

import dataclasses
import hashlib
from typing import ClassVar

from lowbit import datasets
from lowbit.datasets.document import Document
from lowbit.datasets.download import File
from lowbit.datasets.recipe import CPU_TEXT, SMOKE, Recipe
from lowbit.registry import InputError

KNOWN = 2_452_464  # bytes at the beginning whose checksum is known
KNOWN_SHA256 = "42f6281b3aaebf3e6f8ca2215e53960f8b2b322fdd9f04814931b250918a766a"


@datasets.register
@dataclasses.dataclass(frozen=True)
class LinuxInput(Document):
    """The sources of the Linux kernel as karpathy2015visualizing prepared them: 101 symbols, cut 90 / 5 / 5.

    The original of `linux_kernel`: ardakani2019learning uses it with this split, with 512 units (`paper`);
    ott2016recurrent has no such task. We never had this file whole. What is checked is its size, the name that
    git gives its content in a public repository, and the sha256 of its first 2,452,464 bytes, which we have
    seen; a file that differs is refused, and the error says by how much.
    """

    title: ClassVar[str] = "Linux kernel, Karpathy's text"
    reference: ClassVar[str] = "karpathy2015visualizing"
    licence: ClassVar[str] = "GPL-2.0"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "linux/linux_input.txt",
            "",
            6_206_996,
            ("https://cs.stanford.edu/people/karpathy/char-rnn/linux_input.txt",),
            git_sha1="6277447c2510ae2d0c4abb2a8dcc1fefaa40060b",
        ),
    )
    counts: ClassVar[dict[str, int]] = {"train": 5_586_296, "valid": 310_349, "test": 310_351, "outputs": 101}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": SMOKE,
        "cpu": CPU_TEXT,
        "paper": Recipe(hidden=512, updates=200 * 872, final_rate=1e-3),  # epochs, of the whole batches in one
    }

    def text(self) -> str:
        """The bytes of the file as Latin-1; raises `InputError` where the known beginning differs."""
        text = super().text()
        if hashlib.sha256(text[:KNOWN].encode("latin-1")).hexdigest() != KNOWN_SHA256:
            raise InputError(f"{self.title}: {self.files[0].name} does not begin as the known text does")
        return text
