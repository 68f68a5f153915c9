"""Hardware as text: RTLIL for Yosys, and Verilog by Yosys."""

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from lowbit.hardware import yosys


def rtlil_of(component: Component, name: str) -> str:
    """A component in the language of Yosys, without source locations."""
    return rtlil.convert(component, name=name, emit_src=False)


def verilog_of(component: Component, name: str) -> str:
    """A component in Verilog."""
    script = f"read_rtlil in.il\nhierarchy -top {name}\nproc\nopt_clean\nwrite_verilog -noattr out.v"
    return yosys.run(script, {"in.il": rtlil_of(component, name)})["out.v"]
