"""Liberty files: supported statements are read as the language defines them, and others are refused by name."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.hardware import cellbook, leakage, liberty, libraries
from lowbit.hardware.libraries import Library
from lowbit.registry import InputError

UNITS = """
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1nW"; capacitive_load_unit (1, pf);
  slew_lower_threshold_pct_rise : 20; slew_upper_threshold_pct_rise : 80; slew_derate_from_library : 1;
  slew_lower_threshold_pct_fall : 20; slew_upper_threshold_pct_fall : 80;
  lu_table_template (t) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.0, 1.0"); index_2 ("0.0, 1.0"); }
  power_lut_template (t) { variable_1 : input_transition_time; index_1 ("0.0, 1.0"); }
"""
CELL = """
  cell (nand) { area : 2; cell_leakage_power : 3;
    pin (A) { direction : input; capacitance : 0.5;
      internal_power () { rise_power (t) { values ("0, 10"); } fall_power (t) { values ("0, 10"); } } }
    pin (B) { direction : input; capacitance : 0.5; }
    pin (Y) { direction : output; function : "!(A*B)";
      timing () { related_pin : "A";
        cell_rise (t) { values ("0, 1", "10, 11"); }
        cell_fall (t) { values ("0, 1", "10, 11"); }
        rise_transition (t) { values ("7, 7", "7, 7"); }
        ocv_sigma_cell_rise (t) { values ("0, 0", "0, 0"); }
        ocv_sigma_cell_fall (t) { values ("0, 0", "0, 0"); } } } }
"""


@dataclasses.dataclass(frozen=True)
class Text(Library):
    """A library that is read from a text instead of a file."""

    content: str = ""

    def text(self):
        return self.content


def library(body=CELL, head=UNITS, slew_ns=0.5):
    fields = dataclasses.asdict(libraries.build("sg13g2")) | {"name": "tiny", "slew_ns": slew_ns}
    return Text(**fields, content=f"library (tiny) {{ {head} {body} }}")


def read(**changes):
    return cellbook.cells(library(**changes))["nand"]


def test_a_cell_is_read_in_the_units_of_its_library():
    cell = read()
    assert (cell.area_um2, cell.leakage_w, cell.inputs) == (2.0, pytest.approx(3e-9), {"A": 0.5e-12, "B": 0.5e-12})
    assert cell.outputs["Y"].delay_s(1e-12) == pytest.approx((0.5 * 10 + 1) * 1e-9)
    assert cell.taps == {"A": pytest.approx(5e-12), "B": 0.0}


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        ('leakage_power_unit : "1nW"', f"leakage_power_unit : {text}", factor)
        for text, factor in [('"1mW"', 1e6), ('"10pW"', 0.01), ("1uW", 1e3), ('"100 nW"', 100), ('"1W"', 1e9)]
    ],
)
def test_leakage_has_the_unit_that_the_library_gives(old, new, factor):
    assert read(head=UNITS.replace(old, new)).leakage_w == pytest.approx(3e-9 * factor)


@pytest.mark.parametrize(("unit", "farad"), [("1, ff", 1e-15), ('10, "fF"', 1e-14), ("0.5,pf", 5e-13), ("1 pf", 1e-12)])
@pytest.mark.parametrize(("volt", "squared"), [("1V", 1.0), ("100mV", 0.01)])
def test_energies_follow_from_the_units_of_capacitance_and_voltage(unit, farad, volt, squared):
    cell = read(head=UNITS.replace("1, pf", unit).replace('"1V"', volt))
    assert cell.inputs["A"] == pytest.approx(0.5 * farad)
    assert cell.taps["A"] == pytest.approx(5 * farad * squared)


@pytest.mark.parametrize(("unit", "second"), [("10ps", 1e-11), ('"1ps"', 1e-12), ("1us", 1e-6)])
def test_delays_and_slews_have_the_unit_of_time(unit, second):
    delay = read(head=UNITS.replace('"1ns"', unit), slew_ns=0.5 * second / 1e-9).outputs["Y"].delay_s(0.0)
    assert delay == pytest.approx(5 * second)


@pytest.mark.parametrize(("lower", "upper", "derate"), [(20, 80, 1), (30, 70, 0.5), (10, 90, 1), (30, 70, 1)])
def test_a_slew_has_the_same_ramp_in_every_library(lower, upper, derate):
    head = UNITS.replace(" : 20;", f" : {lower};").replace(" : 80;", f" : {upper};")
    head = head.replace("slew_derate_from_library : 1", f"slew_derate_from_library : {derate}")
    ramp = 0.3 / 0.6  # ns from 0 to 100 %, where 0.3 ns are from 20 to 80 %
    filed = ramp * (upper - lower) / 100 / derate
    assert read(head=head, slew_ns=0.3).outputs["Y"].delay_s(0.0) == pytest.approx(10 * filed * 1e-9)


def test_comments_are_ignored():
    assert read(body="// one { \n /* two } \n */" + CELL.replace("area : 2;", "area : 2; // three }\n")) == read()
    assert liberty.parse('library (a) { b : "// no comment"; }').attributes == {"b": "// no comment"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('leakage_power_unit : "1nW"', 'leakage_power_unit : "1 kW"', "leakage_power_unit"),
        ('leakage_power_unit : "1nW";', "", "leakage_power_unit"),
        ('"1ns"', '"1nV"', "time_unit"),
        ("capacitive_load_unit (1, pf);", "", "capacitive_load_unit"),
        ("slew_upper_threshold_pct_rise : 80", "slew_upper_threshold_pct_rise : 70", "slew thresholds"),
        ("variable_1 : input_net_transition", "variable_1 : related_out_capacitance", "related_out_capacitance"),
        ("area : 2", "area : two", "nand.*area is no number"),
        ("area : 2", "area : 2; area : 3", "nand.*two values of area"),
        ('values ("0, 1", "10, 11")', 'values ("0, 1", "10")', "pin .Y.*cell_rise .t. has 3 values, must have 4"),
        ('values ("0, 1", "10, 11")', 'values ("0, x", "10, 11")', "pin .Y.*no numbers"),
        ("cell_rise (t)", "cell_rise (u)", "cell_rise .u. has no lu_table_template"),
        ('index_2 ("0.0, 1.0")', 'index_2 ("1.0, 0.0")', "total_output_net_capacitance"),
        ("time_unit", "delay_model : generic_cmos; time_unit", "delay_model is generic_cmos"),
        ("pin (B)", "pin (A)", "a pin stands twice"),
        ("pin (B)", "bus (B)", "nand.*buses"),
        ('function : "!(A*B)";', 'function : "!(A*B)"; } ff (I) { ', "ff .I. lacks its two states"),
    ],
)
def test_unsupported_statements_are_refused_by_name(old, new, message):
    head, body = UNITS.replace(old, new), CELL.replace(old, new)
    assert (head, body) != (UNITS, CELL)
    with pytest.raises(InputError, match=message) as error:
        read(head=head, body=body)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "cell (a) {}", "library (a) {", "library (a) { } }", "library (a) { x }", "library (a) { x (1, 2 }"),
        *(
            'library (a) { x : "a" b; }',
            'library (a) { x : "a; }',
            "library (a) { /* x : 1; }",
            "library (a) {} x : 1;",
        ),
    ],
)
def test_a_file_that_is_no_library_is_refused(text):
    with pytest.raises(InputError, match="Liberty file"):
        liberty.parse(text)


# Of Boolean functions.

NAMES = ("A", "B1", "C_n")
VALUES = dict(zip(NAMES, np.indices((2,) * len(NAMES)).astype(bool).reshape(len(NAMES), -1), strict=True))


def spelled(depth):
    """Returns a bracketed expression as Liberty text with the necessary brackets only, and its values."""
    leaf = st.sampled_from([(name, 4, VALUES[name]) for name in NAMES])
    if not depth:
        return leaf
    inner = spelled(depth - 1)

    def wrapped(part, binding):
        return part[0] if part[1] >= binding else f"({part[0]})"

    def joined(sign, binding, operation):
        return st.tuples(inner, inner).map(
            lambda parts: (
                wrapped(parts[0], binding) + sign + wrapped(parts[1], binding + 1),
                binding,
                operation(parts[0][2], parts[1][2]),
            )
        )

    return st.one_of(
        leaf,
        *(joined(sign, 1, np.logical_or) for sign in ("+", " | ")),
        *(joined(sign, 2, np.logical_and) for sign in ("*", " & ", " ")),
        joined("^", 3, np.logical_xor),
        inner.map(lambda part: ("!" + wrapped(part, 4), 4, ~part[2])),
        inner.map(lambda part: (wrapped(part, 4) + "'", 4, ~part[2])),
    )


@given(expression=spelled(3))
def test_inversion_binds_before_xor_and_xor_before_and_and_and_before_or(expression):
    text, _, values = expression
    assert np.array_equal(liberty.function(text)(VALUES), values), text


def test_constants_set_every_bit():
    values = {"A": np.array([5], np.uint64)}
    assert liberty.function("A*1+0")(values).tolist() == [5]
    assert liberty.function("A+1")(values).tolist() == [2**64 - 1]


@pytest.mark.parametrize(
    "text", ["", "A+", "(A", "A)", "A**B", "A == B", "A.real", "A-B", "1'b0", "2", "f'{A}'", "(" * 5000, "!" * 5000]
)
def test_an_invalid_function_is_refused(text):
    with pytest.raises(InputError, match="cannot read the Liberty function"):
        liberty.function(text)


def test_a_function_without_one_of_its_pins_is_refused():
    with pytest.raises(InputError, match="without B; known: A"):
        liberty.function("A*B")({"A": np.ones(1, bool)})


# Of leakage.


def leaking(groups, pins="AB", more=""):
    leakages = "".join(
        f"leakage_power () {{ {f'when : {chr(34)}{when}{chr(34)};' if when else ''} value : {value}; }}"
        for when, value in groups
    )
    inputs = "".join(f"pin ({pin}) {{ direction : input; }}" for pin in pins)
    (cell,) = liberty.parse(f"library (a) {{ cell (b) {{ {leakages} {inputs} {more} }} }}").all("cell")
    return leakage.leakage(cell, 0.25)


@settings(deadline=None)
@given(values=st.lists(st.floats(0, 1e3), min_size=4, max_size=4), rest=st.floats(0, 1e3), count=st.integers(0, 4))
def test_leakage_is_the_mean_over_states_and_unlisted_states_share_the_default(values, rest, count):
    states = ["!A&!B", "!A&B", "A&!B", "A&B"]
    given_states = list(zip(states, values, strict=True))[:count]
    expected = (sum(values[:count]) + rest * (4 - count)) / 4
    for groups in itertools.permutations([*given_states, ("", rest)], 1 + count):
        assert leaking(groups) == pytest.approx(expected)


def test_a_group_is_weighted_by_the_number_of_its_states():
    assert leaking([("A", 8), ("!A&B", 4), ("!A&!B", 0)]) == pytest.approx(8 / 2 + 4 / 4)
    assert leaking([("A", 8), ("!A*B", 2)]) == pytest.approx((8 + 8 + 2) / 3)  # nothing is said of the last


def test_outputs_follow_from_inputs_and_registers_take_any_value():
    output = 'pin (Y) { direction : output; function : "!(A*B)"; }'
    assert leaking([("A&B&!Y", 1), ("Y", 5)], more=output) == pytest.approx(4)
    register = 'ff (I, N) { next_state : "A"; clocked_on : "B"; } pin (Q) { direction : output; function : "I"; }'
    assert leaking([("Q", 2), ("!Q&A", 6)], more=register) == pytest.approx((2 + 2 + 6) / 3)


def test_the_figure_of_a_cell_comes_first_and_the_default_of_the_library_last():
    assert leaking([("A", 8), ("", 9)], more="cell_leakage_power : 7;") == 7
    assert leaking([]) == 0.25


CONTRADICTIONS = [
    ([("A", 1), ("B", 2)], "two leakages of a state"),
    ([("", 1), ("", 2)], "two leakages of all states"),
    ([("C", 1)], "without C; known: A, B"),
]


@pytest.mark.parametrize(("groups", "message"), CONTRADICTIONS)
def test_contradictory_leakages_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        leaking(groups)
