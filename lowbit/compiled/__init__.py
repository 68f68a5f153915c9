"""Compiled functions as machine code on disk: numba makes it once, from then on llvmlite alone loads it.

Importing numba and waking its compiler takes longer than all else that a process needs to begin.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numpy as np

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.py")))
SYMBOL = "lowbit"  # the name of the function in its object code


def processor() -> tuple[str, str]:
    """Name and features of the processor that code is made for, as numba finds them."""
    name = os.environ.get("NUMBA_CPU_NAME", "") or llvm.get_host_cpu_name()
    told = os.environ.get("NUMBA_CPU_FEATURES")
    if told is None:
        try:
            told = "" if name == "generic" else llvm.get_host_cpu_features().flatten()
        except RuntimeError:  # where LLVM cannot tell
            told = ""
    return name, told


def machine() -> llvm.TargetMachine:
    """Of LLVM, for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, told = processor()
    return llvm.Target.from_default_triple().create_target_machine(name, told, opt=3, reloc="pic")


def at(array: np.ndarray) -> int:
    """The address of an array, for functions that read it in its order."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} with gaps has no order that compiled code knows")
    return array.ctypes.data


def place(room: str, sources: tuple[Path, ...], name: str, kind: str = "") -> Path:
    """The file of a function that is compiled from `sources` for this processor, and for arguments of that kind."""
    told = " ".join((llvmlite.__version__, *processor(), kind))
    below = folder(os.environ.get("NUMBA_CACHE_DIR", ""), room, (*SOURCES, *sources))
    return Path(below) / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.o"


@functools.cache
def folder(asked: str, name: str, sources: tuple[Path, ...]) -> str:
    """A folder of this user alone: below `asked` or the user's cache, else one that ends with the process.

    Object code runs as it is read, so that no folder will do in which another user could leave some.
    """
    content = b"".join(file.read_bytes() for file in sources)
    below = f"lowbit-{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    for parent in (lambda: asked, _cache, _passing):
        place = parent()
        if place and private(Path(place) / below):
            return str(Path(place) / below)
    return os.devnull  # below which nothing can be


def private(folder: Path) -> bool:
    """Whether a folder, created if missing, is no link, can be written, and is closed to all but this user."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and _own(found) and not found.st_mode & 0o077 and os.access(folder, os.W_OK)


def _own(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def _cache() -> str:
    try:
        return str(Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return ""


@functools.cache
def _passing() -> str:
    """A folder that is removed when the process ends; none where nothing can be written."""
    try:
        place = tempfile.mkdtemp(prefix="lowbit-")
    except OSError:
        return ""
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def kept(file: Path) -> bytes | None:
    """The object code in a file of this user; none where it is not whole."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        content = opened.read() if _own(os.fstat(opened.fileno())) else b""
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    return None


def keep(file: Path, code: bytes) -> None:
    """Writes object code in one piece; where nothing can be kept, each process compiles."""
    with contextlib.suppress(OSError):
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(hashlib.sha256(code).digest() + code)
        os.replace(part, file)


def link(file: Path, code: bytes) -> int:
    """Where the function of `file` is, from now on."""
    library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(SYMBOL)
    _linked.append(library.add_current_process().link(_jit(), "/".join(file.parts[-2:])))
    return _linked[-1][SYMBOL]


_linked: list[llvm.ResourceTracker] = []  # code is there for as long as its tracker


@functools.cache
def _jit() -> llvm.LLJIT:
    return llvm.create_lljit_compiler(machine())
