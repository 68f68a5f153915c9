"""Packed files and archives: reading them within limits, and writing tar files that depend on their contents alone."""

import gzip
import io
import lzma
import posixpath
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

OPENERS = {".xz": lzma.open, ".gz": gzip.open}
MOST = 1 << 30  # bytes that an archive may unpack to
DAMAGE = (  # what reading a damaged file raises
    *(OSError, EOFError, RuntimeError, ValueError, KeyError, struct.error),
    *(lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


def files(path: Path, most: int = MOST) -> Iterator[tuple[str, Callable[..., bytes]]]:
    """Names of the files in a tar archive, compressed or not, and functions that read them, valid until the next.

    Raises one of `DAMAGE` for a damaged archive, one whose files are larger than `most` bytes in all, and a name
    outside of the archive.
    """
    size = 0
    with tarfile.open(path, "r|*") as archive:
        for entry in archive:
            size += entry.size
            if size > most:
                raise OSError(f"it unpacks to more than {most} bytes")
            if entry.isfile():
                yield inner(entry.name), archive.extractfile(entry).read


def inner(name: str) -> str:
    """A name in an archive without `./`; raises `ValueError` where it is outside of the archive."""
    normal = posixpath.normpath(name)
    if normal.startswith(("/", "..")):
        raise ValueError(f"{name!r} leads out of the archive")
    return normal


def read(path: Path, member: str, most: int) -> bytes:
    """The first `most` bytes of `path`, unpacked by its suffix, or of one member of a zip or tar archive.

    Raises one of `DAMAGE` where the file is damaged or has no such member; `./` before a name is ignored.
    """
    if not member:
        with OPENERS.get(path.suffix, open)(path, "rb") as content:
            return content.read(most)
    member = posixpath.normpath(member)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if inner(name) == member:
                    with archive.open(name) as content:
                        return content.read(most)
    else:
        for name, content in files(path):
            if name == member:
                return content(most)
    raise FileNotFoundError(f"the archive holds no {member}")


def members(archive: Path, pattern: str) -> dict[str, bytes]:
    """Contents of a zip file by their names below its one folder, of those that match `pattern` whole.

    Raises one of `DAMAGE` for a damaged archive and for contents of more than `MOST` bytes.
    """
    with zipfile.ZipFile(archive) as opened:
        names = {inner(name).partition("/")[2]: name for name in opened.namelist()}
        matching = [name for name in names if re.fullmatch(pattern, name)]
        if sum(opened.getinfo(names[name]).file_size for name in matching) > MOST:
            raise zipfile.BadZipFile(f"it unpacks to more than {MOST} bytes")
        return {name: opened.read(names[name]) for name in matching}


def pack(contents: dict[str, bytes]) -> bytes:
    """A tar file of names and contents alone, in the order of the names."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents[name])
            tar.addfile(entry, io.BytesIO(contents[name]))
    return content.getvalue()


def unpack(tar: Path) -> dict[str, bytes]:
    """Contents of a tar file by name."""
    return {name: read() for name, read in files(tar)}
