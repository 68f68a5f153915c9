"""Loops as machine code: this process hands them words, and processes of their own compile what is not kept.

Such a process imports numba and the sources of the loops, which a run then needs not. The first run on a machine
executes the very code that all later ones read from the disk.
"""

import ctypes
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lowbit import compiled
from lowbit.compiled import at

BEGIN = ctypes.c_char * 0
CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)  # takes the address of words, gives 0 or an error

ELSEWHERE = """
import contextlib, os, pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from lowbit.compiled import words
code = words.kept(*pickle.load(sys.stdin.buffer))
with contextlib.suppress(BrokenPipeError):  # who asked may have ended
    os.write(1, code)
"""

_one = threading.Lock()  # one thread at a time links


class Loops:
    """The functions of one package; a change in any of `sources` compiles them anew."""

    def __init__(self, package: str, sources: tuple[Path, ...]):
        self.package, self.sources = package, sources
        self._functions: dict[tuple[str, tuple], Callable[[int], int]] = {}
        self._begun: set[str] = set()
        self._compilers: dict[Path, subprocess.Popen] = {}  # by the file that each will keep

    def run(self, name: str, *arguments) -> None:
        """Calls `module.function` of the package, once it is compiled for what it is called with.

        Arguments are whole numbers, float32, arrays without gaps, and tuples of such, named or not.
        """
        words: list[int] = []
        kind = flatten(arguments, words)
        function = self._functions.get((name, kind))
        if function is None:
            function = self._linked(name, kind, arguments)
        told = np.array(words, np.int64)  # which must outlive the call
        if function(at(told)):
            raise RuntimeError(f"compiled {name} found an error")

    def begin(self, name: str, *arguments) -> None:
        """Lets a function be compiled while others run, unless it is kept."""
        if name in self._begun:
            return
        self._begun.add(name)
        file = self.place(name, flatten(arguments, []))
        if compiled.kept(file) is None:
            self._compilers[file] = self._compiler(file, name, arguments)

    def place(self, name: str, kind: tuple) -> Path:
        """The file of the code of a function for arguments of one kind."""
        return compiled.place(self.package.split(".")[1], self.sources, name, str(kind))

    def _compiler(self, file: Path, name: str, arguments: tuple) -> subprocess.Popen:
        """A process that compiles, keeps the code in `file`, and tells it."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", ELSEWHERE], **pipes)
        with process.stdin as told:
            told.write(pickle.dumps(sys.path) + pickle.dumps((file, f"{self.package}.{name}", _sample(arguments))))
        return process

    def _linked(self, name: str, kind: tuple, arguments: tuple) -> Callable[[int], int]:
        with _one:
            if (name, kind) not in self._functions:
                file = self.place(name, kind)
                self._functions[name, kind] = CALL(compiled.link(file, self._code(file, name, arguments)))
            return self._functions[name, kind]

    def _code(self, file: Path, name: str, arguments: tuple) -> bytes:
        process = self._compilers.pop(file, None)
        if process is None and (found := compiled.kept(file)) is not None:
            return found
        with process or self._compiler(file, name, arguments) as process:
            made = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"{name} could not be compiled")
        return made


def flatten(value, words: list[int]) -> tuple | str:
    """The kind of an argument; its words, as numba hands it on between compiled functions, go to `words`."""
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError(f"an array of shape {value.shape} with gaps is nothing for compiled loops")
        start = ctypes.addressof(BEGIN.from_buffer(value))  # in a quarter of the time that `value.ctypes` takes
        words += 0, 0, value.size, value.itemsize, start, *value.shape, *value.strides  # owned by nobody
        return value.dtype.char, value.ndim
    if isinstance(value, tuple):
        return type(value).__name__, *[flatten(each, words) for each in value]
    if isinstance(value, np.float32):
        words.append(int(value.view(np.int32)))
    elif isinstance(value, bool | int | np.integer):
        words.append(int(value))
    else:
        raise TypeError(f"compiled loops take no {type(value).__name__}")
    return type(value).__name__


def _sample(value):
    """What is of the same kind, and small."""
    if isinstance(value, tuple):
        return getattr(type(value), "_make", tuple)([_sample(each) for each in value])
    return np.empty((0,) * value.ndim, value.dtype) if isinstance(value, np.ndarray) else value
