"""Liberty files: nested groups of attributes, units, and Boolean functions."""

import dataclasses
import functools
import math
import operator
import re
from collections.abc import Mapping

import numpy as np

from lowbit.registry import InputError

STRING = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
COMMENT = re.compile(rf"({STRING})|/\*.*?\*/|//[^\n]*|\\[ \t]*\n", re.DOTALL)
STATEMENT = re.compile(
    r"\s*+(?:(?P<end>\})|;|(?P<name>[\w.$\-]++)\s*+(?:"
    rf':\s*+(?P<value>{STRING}|[^;\n{{}}"]*+)[ \t]*+(?:;|(?=[\n}}])|\Z)'
    rf'|\((?P<args>(?:{STRING}|[^(){{}}";]++)*+)\)(?P<open>\s*+\{{)?))',
    re.DOTALL,
)
ARGUMENT = re.compile(rf'{STRING}|[^\s,"]+', re.DOTALL)

UNIT = re.compile(r"(\d+\.?\d*|\.\d+)\s*([munpfa]?)([a-z]+)")
PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18}
DEFAULTS = {"time_unit": "1ns", "voltage_unit": "1V"}  # of the Liberty reference manual

SYMBOL = re.compile(r"[A-Za-z_]\w*(?:\[\d+\])?|[01](?!['\w])|[!'^*&+|()]")
BINDING = {"|": 1, "+": 1, "&": 2, "*": 2, "^": 3, "!": 4}
OPERATIONS = {"|": operator.or_, "+": operator.or_, "&": operator.and_, "*": operator.and_, "^": operator.xor}
NO_OPERAND = frozenset("|+&*^')")


@dataclasses.dataclass
class Group:
    """`name (args) { attributes and groups }`."""

    name: str
    args: tuple[str, ...]
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    groups: list["Group"] = dataclasses.field(default_factory=list)

    def __str__(self):
        return f"{self.name} ({', '.join(self.args)})"

    def all(self, name: str) -> list["Group"]:
        """The direct subgroups of a name."""
        return [group for group in self.groups if group.name == name]

    def number(self, name: str, default: float = 0.0) -> float:
        """An attribute as a number; raises `InputError`."""
        if name not in self.attributes:
            return default
        try:
            (value,) = numbers(self.attributes[name])
        except ValueError:
            raise InputError(f"{self}: {name} is no number but {self.attributes[name]!r}") from None
        return value

    def unit(self, name: str, base: str) -> float:
        """A unit of a library as a multiple of `base`: 1e-11 for `10pW` and W; raises `InputError`."""
        text = self.attributes.get(name, DEFAULTS.get(name, ""))
        match = UNIT.fullmatch(text.replace(",", "").lower())
        if not match or match[3] != base.lower() or not float(match[1]):
            raise InputError(f"{self}: {name} is no unit in {base} but {text!r}")
        return float(match[1]) * PREFIXES[match[2]]


def parse(text: str) -> Group:
    """The library of a file; raises `InputError` that quotes a syntax error.

    >>> parse('library (tiny) { cell (inv) { area : 1.5 ; values ("1, 2"); } } // end').groups[0].attributes
    {'area': '1.5', 'values': '1, 2'}
    """
    text = COMMENT.sub(lambda match: match[1] or " ", text.replace("\r\n", "\n")).rstrip()
    stack, at = [Group("file", ())], 0
    while at < len(text):
        statement = STATEMENT.match(text, at)
        if not statement or (statement["end"] and len(stack) == 1):
            rest = " ".join(text[at : at + 200].split())
            raise InputError(f"{stack[-1]} of a Liberty file cannot be read at {rest[:60]!r}")
        at = statement.end()
        _enter(stack, statement)
    if len(stack) > 1 or stack[0].attributes or [group.name for group in stack[0].groups] != ["library"]:
        raise InputError(f"a Liberty file must be one whole library, and ends within {stack[-1]}")
    return stack[0].groups[0]


def _enter(stack: list[Group], statement: re.Match) -> None:
    """Adds a statement to the innermost open group."""
    name, value, args = statement["name"], statement["value"], statement["args"]
    if statement["end"]:
        stack.pop()
    elif value is not None:
        if stack[-1].attributes.setdefault(name, _plain(value)) != _plain(value):
            raise InputError(f"{stack[-1]} has two values of {name}")
    elif name:
        group = Group(name, tuple(_plain(word) for word in ARGUMENT.findall(args)))
        if statement["open"]:
            stack[-1].groups.append(group)
            stack.append(group)
        else:
            stack[-1].attributes[name] = ", ".join(group.args)


def _plain(text: str) -> str:
    return text[1:-1].replace("\\\n", " ") if text.startswith('"') else text.strip()


def numbers(text: str) -> list[float]:
    """The numbers of a Liberty list; raises `InputError`.

    >>> numbers("0.1, 2 3e-1")
    [0.1, 2.0, 0.3]
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = [math.nan]
    if "_" in text or not all(map(math.isfinite, values)):
        raise InputError(f"no numbers: {text[:60]!r}")
    return values


@dataclasses.dataclass(frozen=True)
class Function:
    """A Boolean function of pins."""

    pins: tuple[str, ...]  # sorted
    program: tuple[str, ...]  # operands and operators in postfix order

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """The value from the values of pins, words or truth values, bit by bit."""
        if missing := [pin for pin in self.pins if pin not in values]:
            raise InputError(f"a function of {', '.join(self.pins)} without {missing[0]}; known: {', '.join(values)}")
        zero = np.zeros_like(next(iter(values.values())))
        operands = {"0": zero, "1": ~zero, **values}
        stack: list[np.ndarray] = []
        for symbol in self.program:
            if symbol == "!":
                stack.append(~stack.pop())
            elif symbol in OPERATIONS:
                stack.append(OPERATIONS[symbol](stack.pop(), stack.pop()))
            else:
                stack.append(operands[symbol])
        return stack.pop()


@functools.cache
def function(text: str) -> Function:
    """A Liberty function; raises `InputError`.

    Inversion binds closest, then XOR, then AND, then OR; operands side by side are ANDed (Liberty User Guide).

    >>> f = function("!(A*B)+(A^C)")
    >>> int(f({"A": np.uint64(3), "B": np.uint64(5), "C": np.uint64(6)}) & np.uint64(7))
    7
    >>> function("A B^C'").program
    ('A', 'B', 'C', '!', '^', '&')
    """
    symbols, program = SYMBOL.findall(text)[::-1], []
    try:
        if "".join(reversed(symbols)) != "".join(text.split()):
            raise IndexError
        _parse_expression(symbols, program)
        if symbols:
            raise IndexError
    except (IndexError, RecursionError):
        raise InputError(f"cannot read the Liberty function {text[:60]!r}") from None
    return Function(tuple(sorted({symbol for symbol in program if re.match("[A-Za-z_]", symbol)})), tuple(program))


def _parse_expression(symbols: list[str], program: list[str], loosest: int = 1) -> None:
    """Moves an expression from the end of `symbols` to `program`; raises `IndexError` where there is none."""
    symbol = symbols.pop()
    if symbol in NO_OPERAND:
        raise IndexError
    if symbol == "(":
        _parse_expression(symbols, program)
        if symbols.pop() != ")":
            raise IndexError
    elif symbol == "!":
        _parse_expression(symbols, program, BINDING["!"])
        program.append("!")
    else:
        program.append(symbol)
    while symbols and symbols[-1] == "'":
        symbols.pop()
        program.append("!")
    while symbols and symbols[-1] != ")":
        sign = symbols[-1] if symbols[-1] in OPERATIONS else "&"
        if BINDING[sign] < loosest:
            break
        if symbols[-1] in OPERATIONS:
            symbols.pop()
        _parse_expression(symbols, program, BINDING[sign] + 1)
        program.append(sign)
