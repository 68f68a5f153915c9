"""Files with known checksums: from the data folder, from a mirror, or from a public address."""

import dataclasses
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import filelock

from lowbit import paths
from lowbit.datasets import archives, cache
from lowbit.registry import InputError

TIMEOUT_SECONDS = 30.0  # of silence before an address is given up
CHUNK_BYTES = 1 << 16
PACKING_BYTES = 1 << 20  # by which a packed file may be larger than its content
FAILURES = (OSError, http.client.HTTPException, ValueError)  # ValueError: an address urllib cannot read


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a dataset; size and checksum are those of its content, unpacked."""

    name: str  # its path below `paths.raw()` and below a mirror
    sha256: str  # "" where nobody has published one: then `git_sha1` is checked
    size: int
    urls: tuple[str, ...]  # of the content, of it packed as .xz or .gz, or of an archive: `address#member`
    extract: Callable[[Path], bytes] | None = None  # computes the content from the download
    git_sha1: str = ""  # the name of the content in git

    @property
    def checksum(self) -> str:
        """The kind and the digits of the checksum."""
        return f"sha256 {self.sha256}" if self.sha256 else f"git sha1 {self.git_sha1}"

    def check(self, content: bytes) -> bytes:
        """The content itself; raises `InputError` where it is another."""
        if self.sha256:
            checksum = f"sha256 {hashlib.sha256(content).hexdigest()}"
        else:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
            checksum = f"git sha1 {blob.hexdigest()}"
        if checksum == self.checksum:
            return content
        actual = f"{len(content)} bytes with {_short(checksum)}"
        if len(content) > self.size:
            actual = f"more than {self.size} bytes"
        raise InputError(
            f"{self.name} is corrupt: found {actual}, expected {self.size} bytes with {_short(self.checksum)}"
        )


def fetch(file: File) -> Path:
    """The path of the verified content of `file`, which is downloaded if need be; raises `InputError`."""
    path, downloads = paths.raw() / file.name, paths.raw() / "downloads"
    if not _fault(file, path):
        return path
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(downloads / ".lock"):  # two processes that resume one download would damage it
            if _fault(file, path):  # else another process has just written it
                cache.write(path, _content(file))
    except OSError as error:
        raise InputError(f"cannot write {path}: {_line(error)}; LOWBIT_DATA may name another folder") from None
    return path


def _content(file: File) -> bytes:
    """The right content from the first source that has it, or `InputError` with the fault of each."""
    path, mirror = paths.raw() / file.name, paths.mirror()
    faults = [f"{path}: {_fault(file, path)}"]
    names = [file.name + suffix for suffix in ("", *archives.OPENERS)]
    copies = [mirror / name for name in names if (mirror / name).is_file()] if mirror else []
    for copy in copies:
        try:
            return file.check(archives.read(copy, "", file.size + 1))
        except archives.DAMAGE as error:
            faults.append(f"{copy}: {_line(error)}")
    if not copies:
        faults.append(f"mirror {mirror}: not there" if mirror else "no mirror: LOWBIT_MIRROR is not set")
    for url in file.urls:
        try:
            return _from_url(file, url)
        except (*FAILURES, *archives.DAMAGE) as error:
            faults.append(f"{url}: {_line(error)}")
    raise InputError(
        f"no {file.name} ({'; '.join(faults)}); "
        f"LOWBIT_MIRROR may name a folder that holds it as {file.name}, or packed as {' or '.join(names[1:])}"
    )


def _from_url(file: File, url: str) -> bytes:
    """The right content behind `url`; a wrong download is deleted, an archive stays for its other members."""
    address, _, member = url.partition("#")
    download = paths.raw() / "downloads" / re.sub(r"[^\w.-]+", "_", address)
    part = download.with_name(download.name + ".part")
    earlier = download.exists() or part.exists()
    if not download.exists():
        _download(address, part, archives.MOST if member or file.extract else file.size + PACKING_BYTES)
        os.replace(part, download)
    try:
        # One byte too many is enough to refuse it.
        content = file.extract(download) if file.extract else archives.read(download, member, file.size + 1)
        file.check(content)
    except archives.DAMAGE:
        download.unlink()
        if not earlier:
            raise
        return _from_url(file, url)  # the bytes of an earlier download may be at fault: once more, all of it
    if not member:
        download.unlink()
    return content


def _download(address: str, part: Path, most: int) -> None:
    """Completes `part`; a lost connection is resumed for as long as each one brings more."""
    while True:
        before = _size(part)
        try:
            return _resume(address, part, most)
        except FAILURES:
            if _size(part) <= before:
                raise


def _resume(address: str, part: Path, most: int) -> None:
    """Requests what `part` lacks; where a server sends all of it instead, `part` is written anew.

    Raises `InputError`, and deletes `part`, where more than `most` bytes come.
    """
    if (done := _size(part)) > most:
        part.unlink()
        done = 0
    headers = {"User-Agent": "lowbit"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        part.unlink()
        return _resume(address, part, most)
    with answer:
        if not (answer.headers["Content-Range"] or "").startswith(f"bytes {done}-"):
            done = 0
        length = answer.headers["Content-Length"]
        total = done + int(length) if length else 0
        with part.open("ab" if done else "wb") as out:
            while max(done, total) <= most and (chunk := answer.read(CHUNK_BYTES)):
                out.write(chunk)
                done += len(chunk)
    if max(done, total) > most:
        part.unlink()
        raise InputError(f"{max(done, total)} bytes or more, must be {most} at most")
    if done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _fault(file: File, path: Path) -> str:
    """The fault of the file at `path`; empty if it is the right one."""
    try:
        with path.open("rb") as content:
            file.check(content.read(file.size + 1))
    except FileNotFoundError:
        return "not there"
    except (OSError, InputError) as error:
        return _line(error)
    return ""


def _short(checksum: str) -> str:
    kind, _, digits = checksum.rpartition(" ")
    return f"{kind} {digits[:12]}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _line(error: Exception) -> str:
    return " ".join(str(error).strip("<>'\"").split()) or type(error).__name__
