"""Loops as compiled code: this process passes their arguments, subprocesses compile what is not in the cache.

Such a subprocess imports numba and the sources of the loops, which the process that runs them does not need. The first
run on a machine executes the very code that all later ones read from the cache.
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

BUFFER = ctypes.c_char * 0
CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)  # takes the address of words, returns 0 or an error

COMPILE = """
import contextlib, importlib, os, pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from lowbit import compiled
from lowbit.compiled import emit
file, module, function, arguments = pickle.load(sys.stdin.buffer)
code = emit.code(getattr(importlib.import_module(module), function), arguments)
compiled.write(file, code)
with contextlib.suppress(BrokenPipeError):  # the parent may have ended
    os.write(1, code)
"""

_lock = threading.Lock()  # one thread at a time links


class Loops:
    """The functions of one package; a change in any of `sources` compiles them anew."""

    def __init__(self, package: str, sources: tuple[Path, ...]):
        self.package, self.sources = package, sources
        self._functions: dict[tuple[str, tuple], Callable[[int], int]] = {}
        self._begun: set[str] = set()
        self._compilers: dict[Path, subprocess.Popen] = {}  # by the cache file that each will write

    def run(self, name: str, *arguments) -> None:
        """Calls `module.function` of the package, compiled for arguments of this kind.

        Arguments are whole numbers, float32, arrays without gaps, and tuples of such, named or not.
        """
        words: list[int] = []
        kind = flatten(arguments, words)
        function = self._functions.get((name, kind)) or self._link(name, kind, arguments)
        block = np.array(words, np.int64)  # which must outlive the call
        if function(compiled.address(block)):
            raise RuntimeError(f"compiled {name} reports an error")

    def begin(self, name: str, *arguments) -> None:
        """Starts to compile a function in the background, unless it is in the cache."""
        if name in self._begun:
            return
        self._begun.add(name)
        file = self.path(name, flatten(arguments, []))
        if compiled.read(file) is None:
            self._compilers[file] = self._compiler(file, name, arguments)

    def path(self, name: str, kind: tuple) -> Path:
        """The cache file of a function for arguments of one kind."""
        return compiled.path(self.package.split(".")[1], self.sources, name, str(kind))

    def _compiler(self, file: Path, name: str, arguments: tuple) -> subprocess.Popen:
        """A subprocess that compiles, writes the code to `file` and to its output."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", COMPILE], **pipes)
        module, function = f"{self.package}.{name}".rsplit(".", 1)
        with process.stdin as pipe:
            pipe.write(pickle.dumps(sys.path) + pickle.dumps((file, module, function, _sample(arguments))))
        return process

    def _link(self, name: str, kind: tuple, arguments: tuple) -> Callable[[int], int]:
        with _lock:
            if (name, kind) not in self._functions:
                file = self.path(name, kind)
                self._functions[name, kind] = CALL(compiled.link(str(file), self._code(file, name, arguments)))
            return self._functions[name, kind]

    def _code(self, file: Path, name: str, arguments: tuple) -> bytes:
        process = self._compilers.pop(file, None)
        if process is None and (code := compiled.read(file)) is not None:
            return code
        with process or self._compiler(file, name, arguments) as process:
            code = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"{name} could not be compiled")
        return code


def flatten(value, words: list[int]) -> tuple | str:
    """The kind of an argument; its words, as numba passes it between compiled functions, are appended to `words`."""
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError(f"an array of shape {value.shape} with gaps cannot be passed to compiled loops")
        start = ctypes.addressof(BUFFER.from_buffer(value))  # in a quarter of the time that `value.ctypes` takes
        words += 0, 0, value.size, value.itemsize, start, *value.shape, *value.strides  # without an owner
        return value.dtype.char, value.ndim
    if isinstance(value, tuple):
        return type(value).__name__, *[flatten(item, words) for item in value]
    if isinstance(value, np.float32):
        words.append(int(value.view(np.int32)))
    elif isinstance(value, bool | int | np.integer):
        words.append(int(value))
    else:
        raise TypeError(f"compiled loops take no {type(value).__name__}")
    return type(value).__name__


def _sample(value):
    """A small value of the same kind."""
    if isinstance(value, tuple):
        return getattr(type(value), "_make", tuple)([_sample(item) for item in value])
    return np.empty((0,) * value.ndim, value.dtype) if isinstance(value, np.ndarray) else value
