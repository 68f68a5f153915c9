"""Compiled functions are kept on disk by the content of all their sources.

numba itself goes by where a file lies and when it was changed: it compiles anew in every copy of the sources, and
does not see a change in what the file imports.
"""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def keep(decorate: Callable, function: Callable, name: str, sources: tuple[Path, ...]) -> Callable:
    """`decorate(function)`, a numba decorator with `cache=True`, its machine code kept where `sources` say."""
    import numba
    from numba.core.caching import IndexDataCacheFile

    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = found = folder(before, name, sources)
    try:
        made = decorate(function)
    finally:
        numba.config.CACHE_DIR = before
    with contextlib.suppress(AttributeError):  # another numba has its own files below that folder
        cache = made._cache
        cache._cache_path, cache._cache_file = found, IndexDataCacheFile(found, cache._impl.filename_base, "")
    return made


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
