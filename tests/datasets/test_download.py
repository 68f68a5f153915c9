"""Laws of `lowbit.datasets.download`, against a real server on this machine."""

import contextlib
import gzip
import hashlib
import http.client
import http.server
import lzma
import socket
import threading
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowbit.datasets import an4, archives, books, download, fsdd, linux_kernel
from lowbit.datasets.download import File, fetch
from lowbit.registry import InputError

CONTENT = np.random.Generator(np.random.PCG64(7)).bytes(300_000)
NAME = "folder/letters.txt"


class Server(http.server.ThreadingHTTPServer):
    """Serves bytes by their paths, with faults on demand, and records requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []  # path and Range
        self.cut_after: list[int] = []  # bytes that the next answers send before the connection ends
        self.ranges = True
        self.sends_length = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def serve(self, path: str, content: bytes) -> str:
        self.contents[f"/{path}"] = content
        return self.url(path)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        header = self.headers["Range"]
        self.server.requests.append((self.path, header))
        content = self.server.contents.get(self.path)
        if content is None:
            return self.send_error(404)
        start = int(header.removeprefix("bytes=").rstrip("-")) if header and self.server.ranges else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.sends_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = self.server.cut_after.pop(0) if self.server.cut_after else len(content)
        with contextlib.suppress(ConnectionError):  # the client has closed it
            self.wfile.write(content[start : start + sent])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path / "raw"))
    monkeypatch.delenv("LOWBIT_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "raw"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    (folder / NAME).parent.mkdir(parents=True)
    monkeypatch.setenv("LOWBIT_MIRROR", str(folder))
    return folder


def described(*urls: str, content: bytes = CONTENT, name: str = NAME, extract: Callable | None = None) -> File:
    return File(name, hashlib.sha256(content).hexdigest(), len(content), urls, extract)


def message(file: File) -> str:
    with pytest.raises(InputError) as caught:
        fetch(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files_of(raw) -> list[str]:
    return sorted(path.name for path in raw.rglob("*") if path.is_file() and path.name != ".lock")


def test_a_file_is_fetched_once_and_then_read_from_the_data_folder(server, raw):
    file = described(server.serve("letters.txt", CONTENT))
    for _ in range(2):
        assert fetch(file) == raw / NAME
    assert (raw / NAME).read_bytes() == CONTENT
    assert server.requests == [("/letters.txt", None)]
    assert files_of(raw) == ["letters.txt"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(cuts=st.lists(st.integers(1, 99_999), max_size=3))
def test_a_lost_connection_is_resumed_where_it_ended(server, raw, cuts):
    (raw / NAME).unlink(missing_ok=True)
    server.requests.clear()
    server.cut_after[:] = cuts
    assert fetch(described(server.serve("letters.txt", CONTENT))).read_bytes() == CONTENT
    starts = np.cumsum(cuts)
    assert server.requests == [("/letters.txt", f"bytes={start}-" if start else None) for start in (0, *starts)]


def test_a_download_of_another_process_is_resumed(server, raw):
    server.cut_after[:] = [1000, 0]
    file = described(server.serve("letters.txt", CONTENT))
    assert "the connection ended after 1000 of 300000 bytes" in message(file)
    assert fetch(file).read_bytes() == CONTENT
    assert server.requests[-1] == ("/letters.txt", "bytes=1000-")
    assert files_of(raw) == ["letters.txt"]


def test_a_server_without_ranges_sends_all_again(server):
    server.ranges = False
    server.cut_after[:] = [1000]
    assert fetch(described(server.serve("letters.txt", CONTENT))).read_bytes() == CONTENT


@pytest.mark.parametrize("earlier", [b"of an older edition", CONTENT, CONTENT + b"too long"])
def test_a_partial_download_of_another_version_is_deleted(server, raw, earlier):
    file = described(server.serve("letters.txt", CONTENT))
    server.cut_after[:] = [10, 0]
    message(file)
    (part,) = (raw / "downloads").glob("*.part")
    part.write_bytes(earlier)
    assert fetch(file).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "wrong", [CONTENT[:-1], CONTENT + b"!", b"\0" + CONTENT[1:], b""], ids=["short", "long", "spoilt", "empty"]
)
def test_wrong_content_is_refused_by_size_and_checksum_and_deleted(server, raw, wrong):
    file = described(server.serve("letters.txt", wrong))
    text = message(file)
    assert f"{NAME} is corrupt: found" in text
    assert f"expected {len(CONTENT)} bytes with sha256 {file.sha256[:12]}" in text
    if len(wrong) <= len(CONTENT):
        assert f"found {len(wrong)} bytes with sha256 {hashlib.sha256(wrong).hexdigest()[:12]}" in text
    assert files_of(raw) == []


def test_a_valid_file_survives_every_fault_of_its_sources(server, raw, mirror):
    (raw / NAME).parent.mkdir(parents=True)
    (raw / NAME).write_bytes(CONTENT)
    (mirror / NAME).write_bytes(b"spoilt")
    assert fetch(described(server.serve("letters.txt", b"spoilt"))).read_bytes() == CONTENT
    assert server.requests == []


def test_a_corrupt_file_in_the_data_folder_is_replaced_or_else_reported(server, raw):
    (raw / NAME).parent.mkdir(parents=True)
    (raw / NAME).write_bytes(b"spoilt")
    assert f"{raw / NAME}: {NAME} is corrupt: found 6 bytes" in message(described(server.url("gone")))
    assert (raw / NAME).read_bytes() == b"spoilt"
    assert fetch(described(server.serve("letters.txt", CONTENT))).read_bytes() == CONTENT


def test_the_next_address_is_tried_and_every_failure_is_listed(server):
    with socket.socket() as free:  # bound, never listening: connections are refused
        free.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{free.getsockname()[1]}/letters.txt"
        bad = [refusing, server.url("gone"), server.serve("spoilt", b"spoilt"), "no address"]
        good = server.serve("letters.txt", CONTENT)
        text = message(described(*bad))
        assert fetch(described(*bad, good)).read_bytes() == CONTENT
    assert f"{refusing}: urlopen error [Errno " in text
    assert f"{server.url('gone')}: HTTP Error 404: Not Found" in text
    assert f"{server.url('spoilt')}: {NAME} is corrupt" in text
    assert "no address: unknown url type" in text


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_mirror_holds_a_file_plain_or_compressed(server, mirror, suffix, pack):
    (mirror / (NAME + suffix)).write_bytes(pack(CONTENT))
    assert fetch(described(server.serve("letters.txt", CONTENT))).read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("spoilt", [lzma.compress(b"other"), lzma.compress(CONTENT)[:-9], b"no xz at all"])
def test_a_corrupt_mirror_is_refused_by_name_and_the_next_source_is_tried(server, mirror, spoilt):
    (mirror / f"{NAME}.xz").write_bytes(spoilt)
    assert f"{mirror / NAME}.xz: " in message(described())
    (mirror / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT))
    assert fetch(described()).read_bytes() == CONTENT


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_compressed_download_is_decompressed(server, raw, suffix, pack):
    assert fetch(described(server.serve(f"l{suffix}", pack(CONTENT)))).read_bytes() == CONTENT
    assert files_of(raw) == ["letters.txt"]


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz", ""])
@pytest.mark.parametrize("dot", ["./", ""])
def test_an_archive_is_downloaded_once_for_all_its_members(server, archive, kind, dot):
    members = {"top/one.txt": b"one", "./top/two.txt": b"two"}
    url = server.serve("both", archive(kind, members))
    for word in ("one", "two"):
        file = described(f"{url}#{dot}top/{word}.txt", content=word.encode(), name=f"{word}.txt")
        assert fetch(file).read_bytes() == word.encode()
    assert server.requests == [("/both", None)]


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_an_archive_without_the_member_is_refused(server, raw, archive, kind):
    url = server.serve("both", archive(kind, {"other.txt": b""}))
    assert f"{url}#./letters.txt: the archive holds no letters.txt" in message(described(f"{url}#./letters.txt"))
    assert files_of(raw) == []


def test_a_file_may_be_computed_from_a_download(server, raw):
    url = server.serve("backwards", CONTENT[::-1])
    assert fetch(described(url, extract=lambda path: path.read_bytes()[::-1])).read_bytes() == CONTENT
    assert files_of(raw) == ["letters.txt"]


def test_without_a_source_the_error_names_the_file_its_folders_and_the_remedy(raw, monkeypatch):
    text = message(described())
    for part in (f"no {NAME}", f"{raw / NAME}: not there", "LOWBIT_MIRROR is not set", f"{NAME}.xz"):
        assert part in text
    monkeypatch.setenv("LOWBIT_MIRROR", str(raw / "nowhere"))
    assert f"mirror {raw / 'nowhere'}: not there" in message(described())


def test_a_folder_that_cannot_be_written_is_named(raw):
    raw.write_text("a file where the folder should be")
    assert "LOWBIT_DATA may name another folder" in message(described())


def test_two_concurrent_requests_download_once(server, raw):
    file = described(server.serve("letters.txt", CONTENT))
    threads = [threading.Thread(target=fetch, args=(file,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (raw / NAME).read_bytes() == CONTENT
    assert server.requests == [("/letters.txt", None)]


@pytest.mark.parametrize("sends_length", [True, False])
@pytest.mark.parametrize("packing", ["", ".gz", "#letters.txt"])
def test_a_download_beyond_its_size_is_stopped(server, raw, monkeypatch, sends_length, packing):
    monkeypatch.setattr(download, "PACKING_BYTES", 1000)
    monkeypatch.setattr(archives, "MOST", len(CONTENT) + 1000)
    monkeypatch.setattr(download, "CHUNK_BYTES", 4096)
    address, _, member = packing.partition("#")
    server.sends_length = sends_length
    url = server.serve(f"letters.txt{address}", CONTENT * 30) + (f"#{member}" if member else "")
    chunks, read = [], http.client.HTTPResponse.read
    monkeypatch.setattr(http.client.HTTPResponse, "read", lambda self, size: chunks.append(size) or read(self, size))
    assert f"must be {len(CONTENT) + 1000} at most" in message(described(url))
    assert sum(chunks) <= len(CONTENT) + 1000 + 4096
    assert files_of(raw) == []


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", ""])
def test_an_archive_that_unpacks_beyond_its_limit_is_refused(tmp_path, archive, kind):
    path = tmp_path / "some.tar"
    path.write_bytes(archive(kind, {"big.txt": bytes(3_000_000), "letters.txt": CONTENT}))
    assert {name: len(read()) for name, read in archives.files(path)}["big.txt"] == 3_000_000
    with pytest.raises(OSError, match="unpacks to more than 1000000 bytes"):
        for _ in archives.files(path, 1_000_000):
            pass


def test_a_zip_file_that_unpacks_beyond_its_limit_is_refused(tmp_path, monkeypatch, archive):
    path = tmp_path / "some.zip"
    path.write_bytes(archive("zip", {"top/big.txt": bytes(3_000_000), "top/small.txt": b"a"}))
    monkeypatch.setattr(archives, "MOST", 1_000_000)
    assert archives.members(path, "small.txt") == {"small.txt": b"a"}
    with pytest.raises(zipfile.BadZipFile, match="unpacks to more than 1000000 bytes"):
        archives.members(path, ".*")


@pytest.mark.parametrize("kind", ["zip", "gz"])
@pytest.mark.parametrize("name", ["/etc/letters.txt", "../letters.txt", "top/../../letters.txt"])
def test_an_archive_with_paths_outside_of_it_is_refused(server, raw, archive, kind, name):
    content = archive(kind, {name: CONTENT})
    url = server.serve("some", content)
    for file in (described(f"{url}#{name}"), described(url, extract=lambda path: archives.pack(unpack(path)))):
        assert "leads out of the archive" in message(file)
    assert files_of(raw) == []


def unpack(path):
    return archives.members(path, ".*") if zipfile.is_zipfile(path) else archives.unpack(path)


@pytest.mark.parametrize("module", [an4, books, fsdd, linux_kernel])
@pytest.mark.parametrize("content", [b"", b"nothing", "zip", "gz"])
def test_an_invalid_archive_is_refused_by_name(server, raw, archive, module, content):
    content = archive(content, {"a/b": b""}) if isinstance(content, str) else content
    file = described(server.serve("repository", content), extract=module.assemble)
    assert f"no {NAME}" in message(file)
    assert files_of(raw) == []


@pytest.mark.parametrize("code", ["", "def", "a = {'x': f()}", "a = {1: {2, 3}}", "(" * 500, "a = b"])
def test_unreadable_speakers_are_refused(server, archive, code):
    content = archive("zip", {"top/metadata.py": code.encode(), "top/recordings/0_theo_0.wav": b""})
    file = described(server.serve("repository", content), extract=fsdd.assemble)
    assert "metadata.py of the archive does not end in" in message(file)


def test_a_mirror_with_the_right_size_and_other_content_is_refused(server, mirror):
    (mirror / NAME).write_bytes(CONTENT[::-1])
    assert f"{mirror / NAME}: {NAME} is corrupt: found {len(CONTENT)} bytes" in message(described())
    assert fetch(described(server.serve("letters.txt", CONTENT))).read_bytes() == CONTENT


def test_a_compressed_mirror_is_decompressed_no_further_than_its_size(mirror):
    (mirror / f"{NAME}.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    assert f"found more than {len(CONTENT)} bytes" in message(described())


@settings(deadline=None, max_examples=30)
@given(content=st.binary(max_size=200), most=st.integers(0, 250))
def test_decompression_stops_at_the_requested_size(tmp_path_factory, content, most):
    path = tmp_path_factory.mktemp("packed") / "some.xz"
    path.write_bytes(lzma.compress(content))
    assert archives.read(path, "", most) == content[:most]
