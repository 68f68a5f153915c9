"""One tar file out of an archive, the same to the bit whatever the archive was."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

from lowbit.datasets import packed


def members(archive: Path, wanted: str) -> dict[str, bytes]:
    """Contents of a zip file by their names below its one folder, of those that match `wanted` whole.

    Raises one of `packed.SPOILT` for a damaged archive, and for one that unpacks to more than `packed.MOST` bytes.
    """
    with zipfile.ZipFile(archive) as opened:
        names = {packed.inner(name).partition("/")[2]: name for name in opened.namelist()}
        chosen = [name for name in names if re.fullmatch(wanted, name)]
        if sum(opened.getinfo(names[name]).file_size for name in chosen) > packed.MOST:
            raise zipfile.BadZipFile(f"it unpacks to more than {packed.MOST} bytes")
        return {name: opened.read(names[name]) for name in chosen}


def pack(contents: dict[str, bytes]) -> bytes:
    """A tar file that says nothing but names and contents, in the order of the names."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents[name])
            tar.addfile(entry, io.BytesIO(contents[name]))
    return content.getvalue()


def unpack(tar: Path) -> dict[str, bytes]:
    """Contents by name."""
    return {name: read() for name, read in packed.files(tar)}
