"""Proofs that gates do what the hardware says: by induction in Yosys, and by all operands where that cannot end."""

import numpy as np

from lowbit.hardware import activity, cellbook, yosys
from lowbit.hardware.activity import Netlist
from lowbit.hardware.rtl import text
from lowbit.hardware.synth import Mapped
from lowbit.registry import InputError

EQUAL = """read_rtlil in.il
hierarchy -top top
proc
flatten
opt_clean
design -stash gold
read_liberty -ignore_miss_func -ignore_miss_data_latch cells.lib
read_rtlil net.il
hierarchy -top top
flatten
opt_clean
design -stash gate
design -copy-from gold -as gold top
design -copy-from gate -as gate top
async2sync
opt_clean
equiv_make gold gate equal
hierarchy -top equal
opt_clean
equiv_simple
equiv_induct
equiv_status -assert
"""


def equal(mapped: Mapped, netlist: str | None = None) -> bool:
    """Whether the gates of a mapped design, or another netlist, are proved to do what its RTLIL does."""
    il = text.rtlil_of(mapped.design.component(), "top")
    files = {"in.il": il, "net.il": netlist or mapped.rtlil, "cells.lib": mapped.library.text()}
    try:
        yosys.run(EQUAL, files)
    except InputError as error:
        if "equiv" in str(error):
            return False
        raise
    return True


def multiplies(mapped: Mapped, slices: int = 64) -> int:
    """How many products of a lane were checked: each operand with each weight, through the gates.

    The accumulator holds random bits that an opened sum must forget. Raises `InputError` at the first wrong bit.
    """
    machine = mapped.design.machine
    netlist = Netlist(mapped.netlist, cellbook.cells(mapped.library))
    codes = np.arange(1 << machine.arithmetic.weight_bits)
    values, form = machine.arithmetic.decode(codes), machine.activation
    random, done = np.random.default_rng(0), 0
    for some in np.array_split(np.arange(form.low, form.high + 1), slices):
        x, weight = np.repeat(some, len(codes)), np.tile(codes, len(some))
        given = {"x": x, "weight": weight, "open": np.ones_like(x), "take": np.ones_like(x)}
        given["sum"] = random.integers(0, 1 << 62, len(x))
        wanted = _bits(netlist, {"sum": x * np.tile(values, len(some))})
        found = netlist.following(netlist.settle(_bits(netlist, given)))
        mask = activity.pack(np.ones(len(x), bool))
        if any(((found[net] ^ wanted[net]) & mask).any() for net in found):
            raise InputError("the mapped lane multiplies wrongly")
        done += len(x)
    return done


def _bits(netlist: Netlist, given: dict[str, np.ndarray]) -> activity.Nets:
    length = len(next(iter(given.values())))
    nets = {}
    for port, bits in netlist.ports.items():
        values = given.get(port, np.zeros(length, np.int64))
        nets |= {
            net: activity.pack((values >> at & 1).astype(bool)) for at, net in enumerate(bits) if net not in ("0", "1")
        }
    return nets
