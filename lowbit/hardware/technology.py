"""Prices of silicon: rows of `data/technology`, each a quantity with its unit, node, voltage, kind and source.

No price is a constant in code. The kind says how a value came about: `measured` by a tool on a file that the row
names, `sourced` from publications, or `fitted` to other rows.
"""

import csv
import dataclasses
import functools
import io
from pathlib import Path
from typing import NamedTuple

from lowbit import paths
from lowbit.registry import InputError

KINDS = ("fitted", "measured", "sourced")


class Price(NamedTuple):
    """One row."""

    table: str  # name of the file
    item: str
    quantity: str
    value: float
    unit: str
    node_nm: float
    voltage_v: float | None  # none: the source gives none
    kind: str
    source: str
    library: str = ""  # of cells, for a design mapped to one


def folder() -> Path:
    """The folder of the tables."""
    return paths.SOURCE / "data" / "technology"


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    return list(csv.DictReader(path.read_text().splitlines()))


def catalogue(file: str, cls: type) -> dict[str, object]:
    """Dataclass objects of a file in `data` by its column `name`, each column converted to the type of its field."""
    types = {field.name: field.type for field in dataclasses.fields(cls)}
    return {
        row["name"]: cls(**{column: types[column](text) for column, text in row.items() if column in types})
        for row in read(paths.SOURCE / "data" / file)
    }


@functools.cache
def prices() -> tuple[Price, ...]:
    """All rows of all tables; raises `InputError` for a row that lacks a column."""
    rows = []
    for path in sorted(folder().glob("*.csv")):
        for number, row in enumerate(read(path), start=2):
            missing = [name for name in Price._fields[1:-1] if not row.get(name) and name != "voltage_v"]
            if missing or row["kind"] not in KINDS:
                raise InputError(f"line {number} of {path.name} lacks {', '.join(missing) or 'a known kind'}")
            row |= {"value": float(row["value"]), "node_nm": float(row["node_nm"])}
            row["voltage_v"] = float(row["voltage_v"]) if row["voltage_v"] else None
            rows.append(Price(path.stem, *(row.get(name, "") for name in Price._fields[1:])))
    return tuple(rows)


def price(table: str, item: str, quantity: str, library: str = "") -> Price:
    """The row of an item and a quantity, on a library where several have it; raises `InputError`."""
    key = (table, item, quantity, library)
    rows = [row for row in prices() if (row.table, row.item, row.quantity, row.library) == key]
    if len(rows) != 1:
        raise InputError(f"data/technology/{table}.csv has {len(rows)} rows for {quantity!r} of {item!r} {library}")
    return rows[0]


def replaced(path: Path, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of a table, in which `rows` replace those of the same item and library."""
    keys = {(row["library"], row["item"]) for row in rows}
    others = [row for row in (read(path) if path.exists() else []) if (row["library"], row["item"]) not in keys]
    return sorted(others + rows, key=lambda row: (row["library"], row["item"]))


def table(rows: list[dict[str, object]]) -> str:
    """Rows as CSV, the columns of `Price` first."""
    columns = [name for name in Price._fields if name in rows[0]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys([*columns, *rows[0]])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
