"""The columns of a table of trials, and which of them a terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_GAP = 2
_LEAST_TEXT = 12
"""A last column narrower than this tells nothing."""

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column of rows of some kind.

    Attributes:
        title: What stands above it.
        cell: Makes a row's cell.
        need: How much it is missed: columns with the greatest go first where there is no room; 0 never goes.
        justify: Where its text stands.
    """

    title: str
    cell: Callable[[int], Cell]
    need: int = 0
    justify: Literal["left", "right"] = "right"


def fitted(
    count: int,
    columns: Sequence[Column],
    settings: Sequence[Column],
    line: Column,
    width: int,
    note: Column | None = None,
) -> Table:
    """A table that is no wider than asked: columns are left out, and texts cut off, but no line is broken.

    Args:
        count: Number of rows.
        columns: The columns, in order.
        settings: What comes behind them, if all of it fits.
        line: What comes there instead, cut off where it does not fit.
        width: Most characters of a line.
        note: What comes last of all, cut off too; left out where nothing tells of it or there is no room.
    """
    kept = list(columns)
    while True:
        room = width - sum(_width(column, count) + _GAP for column in kept)
        wanted = sum(_width(column, count) + _GAP for column in settings) - _GAP
        if settings and wanted <= room:
            noted = note and room - wanted - _GAP >= _LEAST_TEXT
            return _table(count, [*kept, *settings, *([note] if note and noted else [])], width)
        dispensable = [column for column in kept if column.need]
        enough = min(_width(line, count), _LEAST_TEXT if not dispensable else 2 * _LEAST_TEXT)
        if room >= enough or not dispensable:
            break
        kept.remove(max(dispensable, key=lambda column: column.need))
    return _table(count, [*kept, *([line] if room >= _LEAST_TEXT // 2 else [])], width)


def _table(count: int, columns: Sequence[Column], width: int) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim", expand=False)
    left = width
    for column in columns:
        wide = min(_width(column, count), max(1, left))
        left -= wide + _GAP
        table.add_column(
            Text(column.title), justify=column.justify, no_wrap=True, overflow="ellipsis", width=wide
        )
    for index in range(count):
        table.add_row(*(_cut(column.cell(index)) for column in columns))
    return table


def _cut(cell: Cell) -> Text:
    return Text(cell, no_wrap=True, overflow="ellipsis") if isinstance(cell, str) else cell


def _width(column: Column, count: int) -> int:
    cells = (column.cell(index) for index in range(count))
    return max(
        cell_len(column.title),
        *(cell_len(cell if isinstance(cell, str) else cell.plain) for cell in cells),
        0,
    )
