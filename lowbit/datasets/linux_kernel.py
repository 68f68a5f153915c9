"""A large program text in C, put together from the public sources of Linux."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from lowbit import datasets, paths
from lowbit.datasets import archives
from lowbit.datasets.document import Document
from lowbit.datasets.download import File
from lowbit.datasets.recipe import CPU_TEXT, LONG_TEXT, SMOKE, Recipe

RELEASE = "linux-4.1.5"
HOSTS = ("https://cdn.kernel.org", "https://www.kernel.org")


def order(names: Iterable[str]) -> list[str]:
    """First the files of `data/linux_kernel_order.txt` as they stand there, then the rest by sha1 of their names.

    The list is what the known beginning of Karpathy's file shows of its order.
    """
    names = set(names)
    known = (paths.SOURCE / "data" / "linux_kernel_order.txt").read_text().split()
    rest = sorted(names.difference(known), key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    return [name for name in known if name in names] + rest


def assemble(archive: Path) -> bytes:
    """All `kernel/**/*.[ch]` of the release in `archive` behind one another, in our order."""
    contents = {
        name.removeprefix(f"{RELEASE}/"): read()
        for name, read in archives.files(archive)
        if name.startswith(f"{RELEASE}/kernel/") and name.endswith((".c", ".h"))
    }
    return b"".join(contents[name] for name in order(contents))


@datasets.register
@dataclasses.dataclass(frozen=True)
class LinuxKernel(Document):
    """The folder `kernel` of Linux 4.1.5 as one text of 101 kinds of bytes, cut 90 / 5 / 5.

    A substitute, similar but not equal: karpathy2015visualizing made a text of 6,206,996 characters, also of 101
    kinds, of the same folder of an early 4.1 release candidate, its files in a random order;
    ardakani2019learning uses it with this split. That text cannot be assembled again from a release, so ours
    has the files of 4.1.5, in Karpathy's order as far as it is known (113 files, two fifths of the text). The
    papers' scores are not comparable with ours in the third digit. ott2016recurrent has no such task.
    """

    title: ClassVar[str] = "Linux kernel 4.1.5"
    reference: ClassVar[str] = "karpathy2015visualizing"
    licence: ClassVar[str] = "GPL-2.0"
    files: ClassVar[tuple[File, ...]] = (
        File(
            "linux/linux_kernel_4.1.5.txt",
            "8d401b53deb4436e0b0baaed4261d2f9eb72a0ae34a24a6acfce6c752e0a887b",
            6_209_814,
            tuple(f"{host}/pub/linux/kernel/v4.x/{RELEASE}.tar.xz" for host in HOSTS),
            extract=assemble,
        ),
    )
    counts: ClassVar[dict[str, int]] = {"train": 5_588_832, "valid": 310_490, "test": 310_492, "outputs": 101}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": SMOKE,
        "cpu": CPU_TEXT,
        "long": LONG_TEXT,
        "paper": Recipe(hidden=512, updates=200 * 873, final_rate=1e-3),  # epochs, of the whole batches in one
    }
