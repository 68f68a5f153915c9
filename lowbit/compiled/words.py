"""A loop as object code that takes its arguments as words; whoever hands it some needs not import this file."""

import functools
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import numba
from llvmlite import ir
from numba.core.dispatcher import Dispatcher

from lowbit import compiled
from lowbit.compiled import emit

WORD = ir.IntType(64)
OUTER = ir.FunctionType(ir.IntType(32), [WORD])

# Sums along a row may be reordered and products contracted; nothing may assume that a number is finite.
OPTIONS = {
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def kept(file: Path, name: str, arguments: tuple) -> bytes:
    """The code of `module.function`, compiled for such arguments and kept."""
    module, function = name.rsplit(".", 1)
    made = code(getattr(importlib.import_module(module), function), arguments)
    compiled.keep(file, made)
    return made


def code(function: Callable, arguments: tuple) -> bytes:
    """The object code of a function of such arguments, which takes the address of their words."""
    return emit.emit(inner(inspect.unwrap(function)), tuple(map(numba.typeof, arguments)), OUTER, _unpacked)


@functools.cache
def inner(function: FunctionType) -> Dispatcher:
    """A function as numba compiles it, and with it every function that it calls by name."""
    known = function.__globals__
    called = {name: known[name] for name in function.__code__.co_names if inspect.isfunction(known.get(name))}
    below = known | {name: inner(inspect.unwrap(each)) for name, each in called.items()}
    return numba.njit(**OPTIONS)(FunctionType(function.__code__, below, function.__name__, function.__defaults__))


def _unpacked(builder: ir.IRBuilder, kinds: list[ir.Type]) -> list[ir.Value]:
    """One word after the other from the address that is given, each as what it stands for."""
    words = builder.inttoptr(builder.function.args[0], WORD.as_pointer())
    return [_as(builder, builder.load(builder.gep(words, [WORD(i)])), kind) for i, kind in enumerate(kinds)]


def _as(builder: ir.IRBuilder, word: ir.Value, kind: ir.Type) -> ir.Value:
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(word, kind)
    if isinstance(kind, ir.FloatType):
        return builder.bitcast(builder.trunc(word, ir.IntType(32)), kind)
    return word if kind == WORD else builder.trunc(word, kind)
