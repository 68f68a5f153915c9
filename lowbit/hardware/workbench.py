"""What the commands on hardware do: Verilog of an engine, and gates that are filed in the ledger."""

from collections.abc import Iterator

from lowbit.hardware import accelerator, libraries, technology
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import PLANS
from lowbit.hardware.rtl import need
from lowbit.registry import InputError, bounded
from lowbit.studies import store

MOST = 65_536  # inputs and units


def verilog(machine: str, cell: str, inputs: int, hidden: int) -> str:
    """The engine of a machine for a layer of that size, its memories as ports; raises `InputError`."""
    if cell not in PLANS:
        raise InputError(f"the datapath has no cell {cell!r}; known: {', '.join(PLANS)}")
    work, built = Workload(cell, inputs, hidden), accelerator.build(machine)
    most = MOST if built.acc_bits else min(MOST, built.depth)  # products that a sum holds exactly
    bounded(work, f"an engine of depth {built.depth}", inputs=(1, most), hidden=(1, most))
    need("amaranth")
    from lowbit.hardware.rtl import text
    from lowbit.hardware.rtl.engine import Build, Engine

    build = Build(built, work, places=(16, 16), slots=100, steps=1 << 16)
    return text.verilog_of(Engine(build), "engine")


def synthesize(library: str, part: str | None = None) -> Iterator[str]:
    """Maps every lane and engine, or only the `part`, onto a library and files each; a line for what came of it."""
    need("amaranth")
    from lowbit.hardware import synth

    cells = libraries.build(library)
    for design in synth.designs():
        if part in (None, design.part):
            found = synth.rows(synth.mapped(design, cells))
            path = technology.folder() / "synthesis.csv"
            store.write(path, technology.table(technology.replaced(path, found)))
            yield f"{found[0]['item']}: " + ", ".join(f"{row['quantity']} {row['value']}" for row in found)
