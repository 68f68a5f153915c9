"""Compiled functions as object code on disk: numba compiles each once, later processes load it with llvmlite alone.

Importing numba and starting its compiler takes longer than all else that a process does before its first result.
"""

import contextlib
import functools
import hashlib
import os
import stat
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numpy as np

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.py")))
SYMBOL = "lowbit"  # the name of the function in its object code


def processor() -> tuple[str, str]:
    """Name and features of the processor that code is compiled for, as numba determines them."""
    name = os.environ.get("NUMBA_CPU_NAME", "") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None and name != "generic":
        with contextlib.suppress(RuntimeError):  # LLVM does not know the features of every processor
            features = llvm.get_host_cpu_features().flatten()
    return name, features or ""


def machine() -> llvm.TargetMachine:
    """LLVM's target machine for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = processor()
    return llvm.Target.from_default_triple().create_target_machine(name, features, opt=3, reloc="pic")


def address(array: np.ndarray) -> int:
    """The address of the first item of an array in C order; raises `ValueError` for one with gaps."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} with gaps cannot be passed to compiled code")
    return array.ctypes.data


def path(package: str, sources: tuple[Path, ...], name: str, kind: str = "") -> Path:
    """The cache file of a function that is compiled from `sources` for this processor and this kind of arguments."""
    folder = cache_folder(os.environ.get("NUMBA_CACHE_DIR", ""), package, (*SOURCES, *sources))
    target = " ".join((llvmlite.__version__, *processor(), kind))
    return Path(folder) / f"{name}-{hashlib.sha256(target.encode()).hexdigest()[:12]}.o"


@functools.cache
def cache_folder(configured: str, package: str, sources: tuple[Path, ...]) -> str:
    """A folder below `configured`, else below `~/.cache`, that only this user can write; else `os.devnull`.

    Object code runs as it is read, so a folder in which another user could place a file is never used.
    """
    content = b"".join(file.read_bytes() for file in sources)
    name = f"lowbit-{package}-{hashlib.sha256(content).hexdigest()[:12]}"
    home = os.path.expanduser("~/.cache")  # unchanged for a user without a home
    for parent in (configured, home if os.path.isabs(home) else ""):
        if parent and is_private(Path(parent) / name):
            return str(Path(parent) / name)
    return os.devnull


def is_private(folder: Path) -> bool:
    """Whether a folder, created if missing, is no link, can be written, and is closed to all but this user."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return closed and _is_own(status) and os.access(folder, os.W_OK)


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def read(file: Path) -> bytes | None:
    """The object code in a cache file of this user; None where it is missing or not whole."""
    with contextlib.suppress(OSError), file.open("rb") as stream:
        content = stream.read() if _is_own(os.fstat(stream.fileno())) else b""
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    return None


def write(file: Path, code: bytes) -> None:
    """Writes object code under a temporary name, then in place; where that fails, each process compiles anew."""
    with contextlib.suppress(OSError):
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(hashlib.sha256(code).digest() + code)
        os.replace(part, file)


def link(name: str, code: bytes) -> int:
    """The address of the function in `code`, linked for the life of the process under a name of its own."""
    library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(SYMBOL)
    _trackers.append(library.add_current_process().link(_jit(), name))
    return _trackers[-1][SYMBOL]


_trackers: list[llvm.ResourceTracker] = []  # code stays loaded as long as its tracker


@functools.cache
def _jit() -> llvm.LLJIT:
    return llvm.create_lljit_compiler(machine())
