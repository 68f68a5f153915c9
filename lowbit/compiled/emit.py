"""A function as object code that stands alone: no Python and no numba when it runs."""

import functools
import inspect
import re
from collections.abc import Callable
from types import FunctionType

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from lowbit.compiled import SYMBOL, machine

WORD = ir.IntType(64)
ENTRY = ir.FunctionType(ir.IntType(32), [WORD])  # the address of the arguments' words to 0 or an error
# Sums along a row may be reordered and products contracted; nothing may assume that a number is finite.
OPTIONS = {
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
Arguments = Callable[[ir.IRBuilder, list[ir.Type]], list[ir.Value]]
# All memory is the caller's, so the reference counts of arrays are dropped.
COUNTED = re.compile(r"^ *(?:tail )?call void @NRT_(?:inc|dec)ref\(.*\n", re.MULTILINE)


def code(function: Callable, arguments: tuple) -> bytes:
    """The object code of a function of such arguments, called with the address of their words (see `loops.flatten`)."""
    return emit(inner(inspect.unwrap(function)), tuple(map(numba.typeof, arguments)), ENTRY, _unpacked)


@functools.cache
def inner(function: FunctionType) -> Dispatcher:
    """A function as numba compiles it, and with it every function that it calls by name."""
    names = function.__globals__
    called = {name: names[name] for name in function.__code__.co_names if inspect.isfunction(names.get(name))}
    names = names | {name: inner(inspect.unwrap(callee)) for name, callee in called.items()}
    return numba.njit(**OPTIONS)(FunctionType(function.__code__, names, function.__name__, function.__defaults__))


def emit(function: Dispatcher, types: tuple, entry: ir.FunctionType, arguments: Arguments) -> bytes:
    """Compiles for numba's `types`; the code holds one function of type `entry`, in C's convention.

    `arguments` builds what `function` takes from what `entry` takes. Where `entry` returns a number it is 0 unless an
    error came up.
    """
    function.compile(types)
    module = llvm.parse_assembly(COUNTED.sub("", function.inspect_llvm(types)))
    wrapper = llvm.parse_assembly(_wrapper(function.overloads[types], entry, arguments))
    wrapper.triple, wrapper.data_layout = module.triple, module.data_layout
    module.link_in(wrapper)
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration and symbol.name != SYMBOL:
            symbol.linkage = llvm.Linkage.internal
    target = machine()
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def _wrapper(overload, entry: ir.FunctionType, arguments: Arguments) -> str:
    """A function of type `entry` that supplies what numba's own takes first: places for a result and for an error."""
    module, signature = ir.Module(), overload.signature
    convention = cpu_target.target_context.call_conv
    kind = convention.get_function_type(signature.return_type, signature.args)
    function = ir.Function(module, entry, SYMBOL)
    builder = ir.IRBuilder(function.append_basic_block())
    result, error, *kinds = kind.args
    places = [builder.alloca(pointer.pointee) for pointer in (result, error)]
    inner = ir.Function(module, kind, overload.fndesc.llvm_func_name)
    status = builder.call(inner, [*places, *arguments(builder, kinds)])
    if entry.return_type == ir.VoidType():
        builder.ret_void()
    else:
        builder.ret(status)
    return str(module)


def _unpacked(builder: ir.IRBuilder, kinds: list[ir.Type]) -> list[ir.Value]:
    """One argument from each word at the address."""
    words = builder.inttoptr(builder.function.args[0], WORD.as_pointer())
    return [_cast(builder, builder.load(builder.gep(words, [WORD(i)])), kind) for i, kind in enumerate(kinds)]


def _cast(builder: ir.IRBuilder, word: ir.Value, kind: ir.Type) -> ir.Value:
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(word, kind)
    if isinstance(kind, ir.FloatType):
        return builder.bitcast(builder.trunc(word, ir.IntType(32)), kind)
    return word if kind == WORD else builder.trunc(word, kind)
