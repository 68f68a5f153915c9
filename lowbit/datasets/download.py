"""Files known by their checksums: had from this machine, from a mirror, or from a public address."""

import contextlib
import dataclasses
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from lowbit import paths
from lowbit.datasets import packed
from lowbit.registry import InputError

try:
    import fcntl
except ImportError:  # Windows has no such lock: fetch in one process first
    fcntl = None

Watch = Callable[[int, int], None]  # bytes that have come, and bytes there are (0: not said)

TIMEOUT_SECONDS = 30.0  # of silence before an address is given up
CHUNK_BYTES = 1 << 16
PACKING_BYTES = 1 << 20  # by which a packed file may be larger than its content
LOST = (OSError, http.client.HTTPException, ValueError)  # ValueError: an address urllib cannot read


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a dataset; size and checksum are those of its content, unpacked."""

    name: str  # where it lies below `paths.raw()` and below a mirror
    sha256: str  # "" where nobody has published one: then `git_sha1` is checked
    size: int
    urls: tuple[str, ...]  # of the content, of it packed as .xz or .gz, or of an archive: `address#member`
    extract: Callable[[Path], bytes] | None = None  # makes the content of what is behind `urls`
    git_sha1: str = ""  # what git calls the content

    @property
    def checksum(self) -> str:
        """What the content is known by, after the kind of it."""
        return f"sha256 {self.sha256}" if self.sha256 else f"git sha1 {self.git_sha1}"


def fetch(file: File, watch: Watch | None = None) -> Path:
    """Where the verified content of `file` lies, brought there if need be; raises `InputError`."""
    path = paths.raw() / file.name
    if not _fault(file, path):
        return path
    try:
        with _alone():
            if _fault(file, path):  # else another process has just brought it
                _put(path, _content(file, watch))
    except OSError as error:
        raise InputError(f"cannot write {path}: {_line(error)}; LOWBIT_DATA may name another folder") from None
    return path


def _content(file: File, watch: Watch | None) -> bytes:
    """The right content from the first source that has it, else what each of them lacks."""
    path, mirror = paths.raw() / file.name, paths.mirror()
    reasons = [f"{path}: {_fault(file, path)}"]
    names = [file.name + suffix for suffix in ("", *packed.OPENERS)]
    for held in [mirror / name for name in names if (mirror / name).is_file()] if mirror else []:
        try:
            return _checked(file, packed.read(held, "", file.size + 1))
        except packed.SPOILT as error:
            reasons.append(f"{held}: {_line(error)}")
    if len(reasons) == 1:
        reasons.append(f"mirror {mirror}: not there" if mirror else "no mirror: LOWBIT_MIRROR is not set")
    for url in file.urls:
        try:
            return _fetched(file, url, watch)
        except (*LOST, *packed.SPOILT) as error:
            reasons.append(f"{url}: {_line(error)}")
    raise InputError(
        f"no {file.name} ({'; '.join(reasons)}); "
        f"LOWBIT_MIRROR may name a folder that holds it as {file.name}, or packed as {' or '.join(names[1:])}"
    )


def _fetched(file: File, url: str, watch: Watch | None) -> bytes:
    """The right content behind `url`; what came wrong is deleted.

    An archive is kept for its other members.
    """
    address, _, member = url.partition("#")
    saved = paths.raw() / "downloads" / re.sub(r"[^\w.-]+", "_", address)
    part = saved.with_name(saved.name + ".part")
    resumed = saved.exists() or part.exists()
    if not saved.exists():
        most = packed.MOST if member or file.extract else file.size + PACKING_BYTES
        _download(address, part, most, watch)
        os.replace(part, saved)
    try:
        most = file.size + 1  # one byte too many is enough to refuse it
        content = _checked(file, file.extract(saved) if file.extract else packed.read(saved, member, most))
    except packed.SPOILT:
        saved.unlink()
        if not resumed:
            raise
        return _fetched(file, url, watch)  # what lay here from before may be at fault: once more, all of it
    if not member:
        saved.unlink()
    return content


def _download(address: str, part: Path, most: int, watch: Watch | None) -> None:
    """Complete `part`; a lost connection is taken up again for as long as each one brings more."""
    while True:
        before = _size(part)
        try:
            return _resume(address, part, most, watch)
        except LOST:
            if _size(part) <= before:
                raise


def _resume(address: str, part: Path, most: int, watch: Watch | None) -> None:
    """Ask for what `part` lacks; a server that sends all of it instead is taken at its word.

    Raises `InputError`, and deletes `part`, where more than `most` bytes come.
    """
    if (done := _size(part)) > most:
        part.unlink()
        done = 0
    headers = {"User-Agent": "lowbit"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(address, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        part.unlink()
        return _resume(address, part, most, watch)
    with answer:
        if not (answer.headers["Content-Range"] or "").startswith(f"bytes {done}-"):
            done = 0
        length = answer.headers["Content-Length"]
        total = done + int(length) if length else 0
        with part.open("ab" if done else "wb") as out:
            while max(done, total) <= most and (chunk := answer.read(CHUNK_BYTES)):
                out.write(chunk)
                done += len(chunk)
                if watch is not None:
                    watch(done, total)
    if max(done, total) > most:
        part.unlink()
        raise InputError(f"{max(done, total)} bytes or more, must be {most} at most")
    if done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _checked(file: File, content: bytes) -> bytes:
    checksum = _checksum(file, content)
    if checksum == file.checksum:
        return content
    found = f"{len(content)} bytes with {_short(checksum)}"
    if len(content) > file.size:
        found = f"more than {file.size} bytes"
    expected = f"{file.size} bytes with {_short(file.checksum)}"
    raise InputError(f"{file.name} is corrupt: found {found}, expected {expected}")


def _checksum(file: File, content: bytes) -> str:
    """The checksum of `content`, of the kind that `file` is known by."""
    if file.sha256:
        return f"sha256 {hashlib.sha256(content).hexdigest()}"
    blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    blob.update(content)
    return f"git sha1 {blob.hexdigest()}"


def _short(checksum: str) -> str:
    """The kind and the first 12 digits."""
    kind, _, digits = checksum.rpartition(" ")
    return f"{kind} {digits[:12]}"


def _fault(file: File, path: Path) -> str:
    """What is wrong with the file at `path`; nothing if it is the right one."""
    try:
        with path.open("rb") as content:
            _checked(file, content.read(file.size + 1))
    except FileNotFoundError:
        return "not there"
    except (OSError, InputError) as error:
        return _line(error)
    return ""


def _put(path: Path, content: bytes) -> None:
    """Write under another name first, so that `path` never holds a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(path.name + ".new")
    written.write_bytes(content)
    os.replace(written, path)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: two that go on with the same part would spoil it."""
    folder = paths.raw() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _line(error: Exception) -> str:
    return " ".join(str(error).strip("<>'\"").split()) or type(error).__name__
