"""Hardware as text: RTLIL for Yosys, and Verilog that Yosys writes of it."""

import hashlib

from amaranth.back import rtlil
from amaranth.lib.wiring import Component

from lowbit.hardware import yosys


def rtlil_of(component: Component, name: str) -> str:
    """A component in the language of Yosys, without the places that it comes from."""
    return rtlil.convert(component, name=name, emit_src=False)


def digest(text: str) -> str:
    """What a text is known by."""
    return hashlib.sha256(text.encode()).hexdigest()


def verilog_of(component: Component, name: str) -> str:
    """A component in Verilog."""
    script = f"read_rtlil in.il; hierarchy -top {name}; proc; opt_clean; write_verilog -noattr out.v"
    return yosys.run(script.replace("; ", "\n"), {"in.il": rtlil_of(component, name)})["out.v"]
