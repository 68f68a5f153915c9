"""Memories of real macros: which one a memory is built of, what it takes on the chip and for a word."""

import functools
from typing import NamedTuple

from lowbit.hardware import liberty, technology
from lowbit.hardware.technology import Price

READ, WRITE = "A_MEN&!A_WEN&A_REN", "A_MEN&A_WEN&!A_REN"  # the states of the clock's energy in IHP's macros


class Macro(NamedTuple):
    """A memory of one port as it can be had."""

    words: int
    bits: int
    area_um2: float
    read_pj: float
    write_pj: float
    leakage_nw: float


class Bank(NamedTuple):
    """So many macros side by side (wide) and on top of each other (deep)."""

    macro: Macro
    wide: int
    deep: int

    @property
    def area_um2(self) -> float:
        """Of all macros, without what connects them."""
        return self.wide * self.deep * self.macro.area_um2

    @property
    def read_pj(self) -> float:
        """For a word: one row of macros is read, the others sleep."""
        return self.wide * self.macro.read_pj

    @property
    def write_pj(self) -> float:
        """For a word."""
        return self.wide * self.macro.write_pj

    @property
    def leakage_nw(self) -> float:
        """Of all macros."""
        return self.wide * self.deep * self.macro.leakage_nw


def told(text: str) -> dict[str, float]:
    """What the Liberty file of one of IHP's macros says, by the quantities of `data/technology/memory.csv`."""
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
        "read": energies[READ],
        "write": energies[WRITE],
        "leakage": cell.number("cell_leakage_power") * library.unit("leakage_power_unit", "W") * 1e9,
    }


@functools.cache
def macros() -> tuple[Macro, ...]:
    """Those of `data/technology/memory.csv` that are `sram WORDSxBITS`."""
    found: dict[str, dict[str, Price]] = {}
    for row in technology.prices():
        if row.table == "memory" and row.item.startswith("sram "):
            found.setdefault(row.item, {})[row.quantity] = row
    return tuple(
        Macro(
            *map(int, item.removeprefix("sram ").split("x")),
            *(rows[name].value for name in ("area", "read", "write", "leakage")),
        )
        for item, rows in found.items()
    )


def banks(words: int, bits: int) -> list[Bank]:
    """Every way to build a memory out of one kind of macro, the smallest first.

    >>> best = banks(words=1024, bits=128)[0]
    >>> best.wide * best.macro.bits, best.deep * best.macro.words
    (128, 1024)
    """
    ways = [Bank(macro, -(-bits // macro.bits), -(-words // macro.words)) for macro in macros()]
    return sorted(ways, key=lambda bank: bank.area_um2)
