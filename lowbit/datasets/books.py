"""English novels in the public domain: the archive of `books27` and `books_cloze`."""

import re
from pathlib import Path

from lowbit import paths
from lowbit.datasets import archives
from lowbit.datasets.download import File, fetch

COMMIT = "944882722e9a96fa6cf2739dc2ea757e101f412f"
LICENCE = "public domain: the authors died before 1933, the works appeared before 1929"


def order() -> list[str]:
    """The 216 books by file name, in the random order of `data/books_order.txt`."""
    return (paths.SOURCE / "data" / "books_order.txt").read_text(encoding="utf-8").splitlines()


def assemble(archive: Path) -> bytes:
    """The books of `order`, and the order itself, out of a zip file of the repository, as a tar file."""
    contents = archives.members(archive, "|".join(map(re.escape, order())))
    return archives.pack(contents | {"order.txt": "".join(f"{name}\n" for name in order()).encode()})


ARCHIVE = File(
    "books/classic_books_en.tar",
    "ecb8ec8b2c9258904d74eda71a55d03b5da1faf91fef19be9fe3fbe26e46f2f4",
    116_213_760,
    (f"https://github.com/mlschmitt/classic-books-markdown/archive/{COMMIT}.zip",),
    extract=assemble,
)


def texts() -> dict[str, str]:
    """Every book by its name, author/title.md, in `order`; raises `InputError` where the archive cannot be had."""
    contents = archives.unpack(fetch(ARCHIVE))
    return {name: contents[name].decode("utf-8") for name in order()}
