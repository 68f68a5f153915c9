"""Archives, and the real files of a mirror, for tests of datasets."""

import io
import tarfile
import zipfile

import pytest

from lowbit import datasets, paths


@pytest.fixture
def archive():
    """Builds a zip file, or a tar file with or without compression, from names and contents."""

    def build(kind: str, contents: dict[str, bytes]) -> bytes:
        file = io.BytesIO()
        if kind == "zip":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
                for name, content in contents.items():
                    opened.writestr(name, content)
        else:
            with tarfile.open(fileobj=file, mode=f"w:{kind}") as opened:
                for name, content in contents.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    opened.addfile(entry, io.BytesIO(content))
        return file.getvalue()

    return build


@pytest.fixture(scope="session")
def mirrored():
    """The mirror if it holds a file, packed or not; else the test is skipped."""

    def find(name: str):
        mirror = paths.mirror()
        if mirror is None:
            pytest.skip("LOWBIT_MIRROR names no folder with the real files")
        if not any((mirror / f"{name}{suffix}").is_file() for suffix in ("", ".xz", ".gz")):
            pytest.skip(f"the mirror holds no {name}")
        return mirror

    return find


@pytest.fixture(scope="module")
def real(mirrored):
    """A dataset whose files the mirror holds, built once a module; else the test is skipped."""
    built = {}

    def build(choice: str):
        dataset = built.setdefault(choice, datasets.build(choice))
        for file in dataset.files:
            mirrored(file.name)
        return dataset

    return build
