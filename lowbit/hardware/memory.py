"""Memories of real macros: the macros that a memory is built of, their area, and the energy of a word."""

import functools
from typing import NamedTuple

from lowbit.hardware import technology


class Macro(NamedTuple):
    """A memory of one port that can be bought."""

    words: int
    bits: int
    area_um2: float
    read_pj: float


class Bank(NamedTuple):
    """A grid of one macro: `wide` side by side make a word, `deep` of these rows hold all words."""

    macro: Macro
    wide: int
    deep: int

    @property
    def area_um2(self) -> float:
        """The area of all macros, without the wires between them."""
        return self.wide * self.deep * self.macro.area_um2

    @property
    def read_pj(self) -> float:
        """The energy of reading a word: one row of macros is active."""
        return self.wide * self.macro.read_pj


@functools.cache
def macros() -> tuple[Macro, ...]:
    """The rows `sram WORDSxBITS` of `data/technology/memory.csv`."""
    quantities: dict[str, dict[str, float]] = {}
    for row in technology.prices():
        if row.table == "memory" and row.item.startswith("sram "):
            quantities.setdefault(row.item.removeprefix("sram "), {})[row.quantity] = row.value
    return tuple(Macro(*map(int, size.split("x")), row["area"], row["read"]) for size, row in quantities.items())


def banks(words: int, bits: int) -> list[Bank]:
    """Every bank of one kind of macro for a memory of that size, the smallest first.

    >>> best = banks(words=1024, bits=128)[0]
    >>> best.wide * best.macro.bits, best.deep * best.macro.words
    (128, 1024)
    """
    choices = [Bank(macro, -(-bits // macro.bits), -(-words // macro.words)) for macro in macros()]
    return sorted(choices, key=lambda bank: bank.area_um2)
