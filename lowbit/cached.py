"""Compiled functions are kept on disk by the content of all their sources.

numba itself sees a change in a file, but not in those that the file imports.
"""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def keep(decorate: Callable, function: Callable, name: str, sources: tuple[Path, ...]) -> Callable:
    """`decorate(function)`, a numba decorator with `cache=True`, its machine code kept where `sources` say."""
    import numba

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder(before, name, sources)
    try:
        return decorate(function)
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def folder(asked: str, name: str, sources: tuple[Path, ...]) -> str:
    """The first place that can be written: below `asked`, the user's cache, or the folder for temporary files."""
    content = b"".join(file.read_bytes() for file in sources)
    below = f"lowbit-{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    for parent in filter(None, (asked, Path.home() / ".cache", tempfile.gettempdir())):
        found = Path(parent) / below
        try:
            found.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(found, os.W_OK):
            return str(found)
    return asked
