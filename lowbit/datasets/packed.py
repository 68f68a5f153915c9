"""What is inside a packed file, and what can be wrong with it."""

import bz2
import gzip
import lzma
import posixpath
import struct
import tarfile
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

OPENERS = {".xz": lzma.open, ".gz": gzip.open}
MAGIC = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
MOST = 1 << 30  # bytes that an archive may unpack to
SPOILT = (
    *(OSError, EOFError, RuntimeError, ValueError, KeyError, struct.error),
    *(lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


def bounded(read: Callable[[int], bytes], most: int) -> Callable[[int], bytes]:
    """Reads as `read` does, but raises `OSError` for more than `most` bytes in all."""
    done = 0

    def limited(size: int) -> bytes:
        nonlocal done
        part = read(size)
        done += len(part)
        if done > most:
            raise OSError(f"it unpacks to more than {most} bytes")
        return part

    return limited


def files(path: Path, most: int = MOST) -> Iterator[tuple[str, Callable[..., bytes]]]:
    """Names of the files in a tar archive, packed or not, each with what reads it before the next one comes.

    Raises one of `SPOILT` for a damaged archive, for one that unpacks to more than `most` bytes, and for a name that
    leads out of it.
    """
    with path.open("rb") as packed:
        start = packed.read(6)
    opener = next((opener for magic, opener in MAGIC.items() if start.startswith(magic)), open)
    with opener(path, "rb") as stream:
        source = types.SimpleNamespace(read=bounded(stream.read, most))
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for entry in archive:
                if entry.isfile():
                    yield inner(entry.name), archive.extractfile(entry).read


def inner(name: str) -> str:
    """A name in an archive, `./` before it or not; raises `ValueError` where it leads out."""
    normal = posixpath.normpath(name)
    if normal.startswith(("/", "..")):
        raise ValueError(f"{name!r} leads out of the archive")
    return normal


def read(path: Path, member: str, most: int) -> bytes:
    """The first `most` bytes of `path`, unpacked by its suffix, or of one member of a zip or tar archive.

    Raises one of `SPOILT` where the file is damaged or has no such member; `./` before a name is no matter.
    """
    if not member:
        with OPENERS.get(path.suffix, open)(path, "rb") as content:
            return content.read(most)
    wanted = posixpath.normpath(member)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if inner(name) == wanted:
                    with archive.open(name) as content:
                        return content.read(most)
    else:
        for name, content in files(path):
            if name == wanted:
                return content(most)
    raise FileNotFoundError(f"the archive holds no {wanted}")
