"""What silicon costs: rows of `data/technology`, each a quantity with its unit, node, voltage, kind and source.

No price stands in code. A kind says how a value came about: `measured` here, by a tool on a file that the row
names; `sourced` from what others publish; `fitted` to other rows.
"""

import csv
import functools
from pathlib import Path
from typing import NamedTuple

from lowbit import paths
from lowbit.registry import InputError

KINDS = ("fitted", "measured", "sourced")


class Price(NamedTuple):
    """One row."""

    table: str  # the file that it stands in
    item: str
    quantity: str
    value: float
    unit: str
    node_nm: float
    voltage_v: float | None  # none: not said
    kind: str
    source: str
    library: str = ""  # of cells, where one was mapped onto


def folder() -> Path:
    """Where the tables are."""
    return paths.SOURCE / "data" / "technology"


@functools.cache
def prices() -> tuple[Price, ...]:
    """All rows of all tables; raises `InputError` for one that lacks something."""
    found = []
    for path in sorted(folder().glob("*.csv")):
        for number, row in enumerate(csv.DictReader(path.read_text().splitlines()), start=2):
            lacking = [name for name in Price._fields[1:-1] if not row.get(name) and name != "voltage_v"]
            if lacking or row["kind"] not in KINDS:
                raise InputError(f"line {number} of {path.name} lacks {', '.join(lacking) or 'a known kind'}")
            row |= {"value": float(row["value"]), "node_nm": float(row["node_nm"])}
            row["voltage_v"] = float(row["voltage_v"]) if row["voltage_v"] else None
            found.append(Price(path.stem, *(row.get(name, "") for name in Price._fields[1:])))
    return tuple(found)


def price(table: str, item: str, quantity: str, library: str = "") -> Price:
    """The one row of an item and a quantity, of a library where there are several; raises `InputError`."""
    asked = (table, item, quantity, library)
    rows = [row for row in prices() if (row.table, row.item, row.quantity, row.library) == asked]
    if len(rows) != 1:
        raise InputError(f"data/technology/{table}.csv has {len(rows)} rows for {quantity!r} of {item!r} {library}")
    return rows[0]


def replaced(path: Path, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of a table with those of the same item and library exchanged for `rows`."""
    old = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    new = {(row["library"], row["item"]) for row in rows}
    kept = [row for row in old if (row["library"], row["item"]) not in new]
    return sorted(kept + rows, key=lambda row: (row["library"], row["item"]))


def table(rows: list[dict[str, object]]) -> str:
    """Rows as the text of a table, the common columns first."""
    columns = [name for name in Price._fields if name in rows[0]]
    columns += [name for name in rows[0] if name not in columns]
    lines = [columns, *([row[name] for name in columns] for row in rows)]
    return "".join(",".join(_cell(str(value)) for value in line) + "\n" for line in lines)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text
