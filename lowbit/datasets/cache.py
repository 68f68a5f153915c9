"""Files below the data folder that are written whole: downloads, and arrays computed once."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowbit.registry import InputError


def write(path: Path, content: bytes) -> None:
    """Writes under another name first, so that `path` never holds a part; raises `InputError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; LOWBIT_DATA may name another folder") from None


def arrays(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays in the file at `path`; where it is absent or damaged, those of `compute`, which are written to it."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        content, computed = io.BytesIO(), compute()
        np.savez(content, **computed)
        write(path, content.getvalue())
        return computed
