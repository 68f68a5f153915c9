"""A function of whole numbers as object code that stands alone: no Python, no numba when it runs."""

import inspect
from collections.abc import Callable

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types

from lowbit.inference.compiled import machine

OPTIONS = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: Callable) -> Callable:
    """A function that only compiled ones call."""
    return numba.njit(**OPTIONS, fastmath={"contract"})(inspect.unwrap(function))


def reordered(function: Callable) -> Callable:
    """As `inner`, where sums of floats may be added up in any order."""
    return numba.njit(**OPTIONS, fastmath={"contract", "reassoc", "nsz"})(inspect.unwrap(function))


def emit(function: Callable, symbol: str) -> bytes:
    """The object code of a function whose parameters are int64, for this processor, in C's convention."""
    function = inspect.unwrap(function)
    made = inner(function)
    given = (types.int64,) * len(inspect.signature(function).parameters)
    made.compile(types.void(*given))
    module = llvm.parse_assembly(made.inspect_llvm(given))
    wrapper = llvm.parse_assembly(_wrapper(made.overloads[given].fndesc.llvm_func_name, symbol, len(given)))
    wrapper.triple, wrapper.data_layout = module.triple, module.data_layout
    module.link_in(wrapper)
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != symbol:
            each.linkage = llvm.Linkage.internal
    target, passes = machine(), llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
    return target.emit_object(module)


def _wrapper(name: str, symbol: str, count: int) -> str:
    """A function without what numba's own has first: places for a result and for an error."""
    module, word, place = ir.Module(), ir.IntType(64), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.IntType(32), [place.as_pointer()] * 2 + [word] * count)
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), [word] * count), symbol)
    builder = ir.IRBuilder(outer.append_basic_block())
    builder.call(ir.Function(module, kind, name), [builder.alloca(place), builder.alloca(place), *outer.args])
    builder.ret_void()
    # All memory is the caller's: what numba's runtime would do with an array that nobody needs is never called.
    free = ir.Function(module, ir.FunctionType(ir.VoidType(), [place]), "NRT_MemInfo_call_dtor")
    ir.IRBuilder(free.append_basic_block()).ret_void()
    return str(module)
