"""A compiled function as object code that stands alone: no Python, no numba when it runs."""

import re
from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from lowbit.compiled import SYMBOL, machine

Arguments = Callable[[ir.IRBuilder, list[ir.Type]], list[ir.Value]]
# All memory is the caller's, so nobody counts who uses an array.
COUNTED = re.compile(r"^ *(?:tail )?call void @NRT_(?:inc|dec)ref\(.*\n", re.MULTILINE)


def emit(made: Dispatcher, given: tuple, outer: ir.FunctionType, arguments: Arguments) -> bytes:
    """Compiles for numba's types `given`; the code holds one function `outer`, in C's convention.

    `arguments` makes what `made` takes, of these types, out of what `outer` does. Where that returns a number it is
    0 unless an error came up.
    """
    made.compile(given)
    module = llvm.parse_assembly(COUNTED.sub("", made.inspect_llvm(given)))
    wrapper = llvm.parse_assembly(_wrapper(made.overloads[given], outer, arguments))
    wrapper.triple, wrapper.data_layout = module.triple, module.data_layout
    module.link_in(wrapper)
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != SYMBOL:
            each.linkage = llvm.Linkage.internal
    target = machine()
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def _wrapper(found, outer: ir.FunctionType, arguments: Arguments) -> str:
    """A function without what numba's own has first: places for a result and for an error."""
    module, signature = ir.Module(), found.signature
    convention = cpu_target.target_context.call_conv
    kind = convention.get_function_type(signature.return_type, signature.args)
    function = ir.Function(module, outer, SYMBOL)
    builder = ir.IRBuilder(function.append_basic_block())
    result, error, *kinds = kind.args
    places = [builder.alloca(each.pointee) for each in (result, error)]
    inner = ir.Function(module, kind, found.fndesc.llvm_func_name)
    status = builder.call(inner, [*places, *arguments(builder, kinds)])
    if outer.return_type == ir.VoidType():
        builder.ret_void()
    else:
        builder.ret(status)
    return str(module)
