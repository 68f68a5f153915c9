"""A loop as object code that takes its arguments as words."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numba
from llvmlite import ir

from lowbit import machinecode
from lowbit.loops.native.inner import inner
from lowbit.machinecode import emit

WORD = ir.IntType(64)
OUTER = ir.FunctionType(ir.IntType(32), [WORD])


def kept(file: Path, name: str, arguments: tuple) -> bytes:
    """The code of `module.function`, compiled for such arguments and kept."""
    module, function = name.split(".")
    made = code(getattr(importlib.import_module(f"lowbit.loops.native.{module}"), function), arguments)
    machinecode.keep(file, made)
    return made


def code(function: Callable, arguments: tuple) -> bytes:
    """The object code of a function of such arguments, which takes the address of their words."""
    return emit.emit(inner(function), tuple(map(numba.typeof, arguments)), OUTER, _unpacked)


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
