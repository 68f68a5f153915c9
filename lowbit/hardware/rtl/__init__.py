"""The engine as hardware: the registers of lowbit.hardware.datapath in Amaranth, and Verilog of them.

Needs the extra `[rtl]`; `need` names it where it is absent.
"""

import importlib.util

from lowbit.hardware import accelerator
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import PLANS
from lowbit.registry import InputError, bounded, lazy

__getattr__ = lazy(__name__, system="Outcome System")
MAX_SIZE = 65_536  # of inputs and of units


def need(package: str) -> None:
    """Raises `InputError` with the command that installs `package` where it is absent."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"this needs {package}; install it with: pip install 'lowbit[rtl]'")


def verilog(machine: str, cell: str, inputs: int, hidden: int) -> str:
    """The engine of a machine for a layer, its memories as ports, in Verilog; raises `InputError`."""
    if cell not in PLANS:
        raise InputError(f"the datapath has no cell {cell!r}; known: {', '.join(PLANS)}")
    work, engine = Workload(cell, inputs, hidden), accelerator.build(machine)
    largest = MAX_SIZE if engine.acc_bits else min(MAX_SIZE, engine.depth)  # products that a sum holds exactly
    bounded(work, f"an engine of depth {engine.depth}", inputs=(1, largest), hidden=(1, largest))
    need("amaranth")
    from lowbit.hardware.rtl import text
    from lowbit.hardware.rtl.engine import Build, Engine

    return text.verilog_of(Engine(Build(engine, work, (16, 16), slots=100, steps=1 << 16)), "engine")
