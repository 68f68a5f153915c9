"""Laws of the large texts: cleaning, splits, and the checksums of their files."""

import dataclasses
import hashlib
import lzma
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit import datasets
from lowbit.datasets import books, linux_input, text8
from lowbit.datasets.base import SPLITS
from lowbit.datasets.books27 import Books27, clean
from lowbit.datasets.download import File, fetch
from lowbit.datasets.linux_input import LinuxInput
from lowbit.datasets.text8 import Text8
from lowbit.registry import InputError

NOWHERE = "http://127.0.0.1:9/"  # nobody answers there
TEXT = b"anarchism originated as a term"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(autouse=True)
def mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("LOWBIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "mirror"


def hold(mirror, name, content):
    path = mirror / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def cut(monkeypatch, counts):
    for split, count in zip(SPLITS, counts, strict=True):
        monkeypatch.setitem(text8.COUNTS, split, count)


# Of texts in 27 symbols.


def spelt(symbol):
    if symbol in range(48, 58):
        return f" {DIGITS[symbol - 48]} "
    letter = chr(symbol).lower() if symbol < 128 else " "
    return letter if "a" <= letter <= "z" else " "


@given(st.binary(max_size=200) | st.text("aZ 09\n-é").map(str.encode))
def test_cleaning_keeps_letters_spells_digits_and_leaves_single_blanks(text):
    assert clean(text).decode() == re.sub(" +", " ", "".join(map(spelt, text))).strip()


@given(st.binary(max_size=100))
def test_cleaning_keeps_clean_text(text):
    assert clean(clean(text)) == clean(text)


def test_concatenated_splits_are_the_text(monkeypatch):
    cut(monkeypatch, (20, 4, 6))
    parts = text8.parts(TEXT)
    assert [len(parts[split][0]) for split in SPLITS] == [20, 4, 6]
    codes = np.concatenate([parts[split][0] for split in SPLITS])
    for dataset in (Text8(), Books27()):
        assert "".join(dataset.alphabet[code] for code in codes).encode() == TEXT


def test_a_different_text_of_books_is_refused(monkeypatch):
    monkeypatch.setattr(books, "texts", lambda: {"one": "Call me Ishmael."})
    with pytest.raises(InputError, match=r"English novels.*of books/\S+ has another checksum"):
        Books27().read()


# Of text8, with a small text in its place.


@pytest.fixture
def packed(mirror, monkeypatch, archive):
    """Replaces text8 in the mirror by a zip file."""

    def put(name="text8", text=TEXT):
        cut(monkeypatch, (20, 4, 6))
        content = archive("zip", {name: text})
        file = dataclasses.replace(
            Text8.files[0], sha256=hashlib.sha256(content).hexdigest(), size=len(content), urls=(NOWHERE + "text8.zip",)
        )
        monkeypatch.setattr(Text8, "files", (file,))
        hold(mirror, file.name, content)

    return put


def test_text8_is_read_from_its_archive(packed):
    packed()
    codes = np.concatenate([Text8().read()[split][0] for split in SPLITS])
    assert codes.tolist() == [b" abcdefghijklmnopqrstuvwxyz".index(symbol) for symbol in TEXT]


def test_a_symbol_outside_the_alphabet_is_refused(packed):
    packed(text=TEXT.replace(b" ", b"_"))
    with pytest.raises(InputError, match="text8: outputs counts 256, must be 27"):
        _ = Text8().splits


def test_an_archive_without_text8_is_refused(packed):
    packed("text9")
    with pytest.raises(InputError, match=r"text8\.zip: the archive holds no text8$"):
        Text8().read()


def test_without_a_network_the_error_names_the_folders_of_the_file(packed, monkeypatch):
    packed()
    monkeypatch.delenv("LOWBIT_MIRROR")
    with pytest.raises(InputError, match=rf"no text8/text8\.zip .*{NOWHERE}.*LOWBIT_MIRROR may name") as caught:
        Text8().read()
    assert "\n" not in str(caught.value)


# Of files that are known by their name in git.


def named_by_git(content, sha1=""):
    name = sha1 or hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return File("linux/linux_input.txt", "", len(content), (NOWHERE,), git_sha1=name)


# Two names that every git gives.
@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a")],
)
def test_a_file_is_identified_by_its_git_hash(mirror, content, name):
    file = named_by_git(content, name)
    hold(mirror, file.name, content)
    assert fetch(file).read_bytes() == content


def test_git_gives_the_same_hash(mirror):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = subprocess.run(["git", "hash-object", "--stdin"], input=TEXT, capture_output=True, check=True)
    file = named_by_git(TEXT, git.stdout.decode().strip())
    hold(mirror, file.name, TEXT)
    assert fetch(file).read_bytes() == TEXT


def test_a_file_with_another_git_hash_is_refused(mirror):
    file = named_by_git(TEXT)
    hold(mirror, file.name, TEXT[:-1])
    with pytest.raises(
        InputError, match=rf"found 29 bytes with git sha1 \w{{12}}, expected 30 .* {file.git_sha1[:12]}"
    ):
        fetch(file)


# Of Karpathy's Linux text.


def test_a_text_with_another_beginning_is_refused(mirror, monkeypatch):
    monkeypatch.setattr(LinuxInput, "files", (named_by_git(TEXT),))
    hold(mirror, "linux/linux_input.txt", TEXT)
    with pytest.raises(InputError, match=r"linux_input\.txt does not begin as the known text does"):
        LinuxInput().read()


def test_the_known_beginning_is_accepted_and_removed(mirror, monkeypatch):
    monkeypatch.setattr(linux_input, "KNOWN", 9)
    monkeypatch.setattr(linux_input, "KNOWN_SHA256", hashlib.sha256(TEXT[:9]).hexdigest())
    monkeypatch.setattr(LinuxInput, "files", (named_by_git(TEXT),))
    monkeypatch.setattr(LinuxInput, "counts", {"train": 20, "valid": 4, "test": 6, "outputs": len(set(TEXT))})
    hold(mirror, "linux/linux_input.txt", TEXT)
    codes = np.concatenate([LinuxInput().splits[split][0] for split in SPLITS])
    assert codes.tolist() == [sorted(set(TEXT)).index(symbol) for symbol in TEXT]


def test_the_known_beginning_is_that_of_the_mirror(monkeypatch, mirrored):
    monkeypatch.undo()
    name = "linux/linux_input.first2452464.txt.xz"
    begins = lzma.decompress((mirrored(name) / name).read_bytes())
    assert len(begins) == linux_input.KNOWN
    assert hashlib.sha256(begins).hexdigest() == linux_input.KNOWN_SHA256
    assert len(set(begins)) <= datasets.build("linux_input").counts["outputs"]
