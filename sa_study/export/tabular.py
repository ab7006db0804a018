"""Tables as CSV and Parquet, with the same columns and types whatever stands in them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from sa_study.export.text import csv_text, markdown

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "time": pa.timestamp("us"),
}
"""Kinds of columns; any of them may be empty in a row."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: One of `TYPES`.
        meaning: What it says, with the unit.
    """

    name: str
    kind: str
    meaning: str


def write_parquet(path: Path, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Writes rows of values in the columns' order; text stands there as it is."""
    schema = pa.schema(
        [pa.field(c.name, TYPES[c.kind], metadata={"description": c.meaning}) for c in columns]
    )
    arrays = [
        pa.array([_storable(value) for value in values], field.type)
        for values, field in zip(_turned(rows, len(columns)), schema, strict=True)
    ]
    pyarrow.parquet.write_table(pa.table(arrays, schema=schema), path)


def write_csv(path: Path, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Writes rows of values in the columns' order: UTF-8, commas, text quoted, numbers not, true or false.

    Numbers read back as the same numbers; text that a spreadsheet would compute has an apostrophe before it.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        # Quoted, text stays one cell also where a spreadsheet takes another sign than the comma.
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow([csv_text(column.name) for column in columns])
        writer.writerows([_cell(value) for value in row] for row in rows)


def describe_columns(tables: Mapping[str, Sequence[Column]]) -> str:
    """A Markdown page on the columns of some tables, each of which is there as CSV and as Parquet."""
    lines = [
        "# Tables of a study\n",
        "Parquet holds every text as it is. In CSV (UTF-8, commas) text is quoted, and has an apostrophe "
        "before it where a spreadsheet would take it for a formula. An empty cell: there is no value.",
    ]
    for name, columns in tables.items():
        lines += [f"\n## {name}\n", "| column | holds | meaning |", "| --- | --- | --- |"]
        lines += [f"| {markdown(c.name)} | {c.kind} | {markdown(c.meaning)} |" for c in columns]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return csv_text(value) if isinstance(value, str) else value


def _storable(value: Any) -> Any:
    """Half characters, which UTF-8 cannot hold, are written out."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def _turned(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(width)]
