"""A table that fits a width: columns are left out or cut off, and no line is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_GAP = 2
_MIN_TEXT_WIDTH = 12
"""Characters; a narrower last column would tell nothing."""

Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        cell: Returns the cell of a row, given the row's index.
        drop_order: For lack of space columns are left out from the greatest number down; 0 never is.
        justify: Side at which its text is aligned.
    """

    title: str
    cell: Callable[[int], Cell]
    drop_order: int = 0
    justify: Literal["left", "right"] = "right"


def fit_table(
    count: int,
    columns: Sequence[Column],
    settings: Sequence[Column],
    line: Column,
    width: int,
    note: Column | None = None,
) -> Table:
    """Fits a table into a width.

    Args:
        count: Number of rows.
        columns: The columns, in order.
        settings: Columns behind them, shown only where all fit.
        line: The column that replaces `settings` where they do not fit; cut off as needed.
        width: Most characters of a line.
        note: A last column beside `settings`, cut off as needed; left out where there is no space.
    """
    kept = list(columns)
    while True:
        room = width - sum(_width(column, count) + _GAP for column in kept)
        wanted = sum(_width(column, count) + _GAP for column in settings) - _GAP
        if settings and wanted <= room:
            noted = note and room - wanted - _GAP >= _MIN_TEXT_WIDTH
            return _table(count, [*kept, *settings, *([note] if note and noted else [])], width)
        dispensable = [column for column in kept if column.drop_order]
        enough = min(_width(line, count), _MIN_TEXT_WIDTH if not dispensable else 2 * _MIN_TEXT_WIDTH)
        if room >= enough or not dispensable:
            break
        kept.remove(max(dispensable, key=lambda column: column.drop_order))
    return _table(count, [*kept, *([line] if room >= _MIN_TEXT_WIDTH // 2 else [])], width)


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
