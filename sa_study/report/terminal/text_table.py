"""Tables of text, and tables that fit a width: columns are left out or cut off, and no line is broken."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sa_study.utils.text import visible

_GAP = 2
_MIN_TEXT_WIDTH = 12
"""Characters; a narrower last column would say nothing."""


@dataclass(frozen=True)
class TextTable:
    """A table for rich, the page and Markdown: columns of words, which are folded, and of figures.

    Attributes:
        title: Its title.
        headings: Column headings.
        rows: Cells; strings may come from a study, so they are made safe to show.
        notes: What must be known to read it.
        words: The columns of words; the others have figures, which stay on one line.
        compact: Whether headings may be broken and the first column is as narrow as its longest word.
        total: Whether the last row is the sum of the others.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    notes: Sequence[str] = ()
    words: Collection[int] = (0,)
    compact: bool = False
    total: bool = False

    def __rich__(self) -> Table:
        """The table in the program's style, narrow enough for 80 columns."""
        table = Table(
            title=escape(visible(self.title)),
            caption="\n".join(escape(visible(note)) for note in self.notes) or None,
            title_style="bold",
            title_justify="left",
            caption_justify="left",
            box=SIMPLE_HEAD,
            show_edge=not self.compact,
            pad_edge=False,
            collapse_padding=True,
        )
        for index, heading in enumerate(self.headings):
            is_text = index in self.words
            table.add_column(
                escape(visible(heading)),
                justify="left" if is_text else "right",
                overflow="fold",
                no_wrap=not (is_text or self.compact),
                max_width=self._longest_word if self.compact and not index else None,
            )
        for index, row in enumerate(self.rows):
            cells = (Text(visible(cell)) if isinstance(cell, str) else cell for cell in row)
            table.add_row(*cells, end_section=self.total and index == len(self.rows) - 2)
        return table

    @property
    def _longest_word(self) -> int:
        """Characters of the longest word in the first column."""
        return max((len(word) for row in self.rows for word in visible(row[0]).split()), default=1)


@dataclass(frozen=True)
class FittedColumn:
    """A column of a table.

    Attributes:
        title: Its heading.
        cells: Its cells, a string as it is: nothing in it is markup.
        drop_order: For lack of space columns are left out from the greatest number down; 0 never is.
        justify: Side at which its text is aligned.
    """

    title: str
    cells: Sequence[str | Text]
    drop_order: int = 0
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Characters of its widest cell."""
        return max(map(cell_len, (self.title, *map(str, self.cells))))


def fit_table(
    columns: Sequence[FittedColumn],
    settings: Sequence[FittedColumn],
    line: FittedColumn,
    width: int,
    note: FittedColumn | None = None,
) -> Table:
    """Fits a table into a width in characters.

    Behind `columns` stand all `settings` where they fit, and the `note`, cut off as needed, where there is
    space; else the one column `line`, cut off as needed.
    """
    kept = list(columns)
    while True:
        left = width - sum(column.width + _GAP for column in kept)
        wanted = sum(column.width + _GAP for column in settings) - _GAP
        if settings and wanted <= left:
            notes = [note] if note and left - wanted - _GAP >= _MIN_TEXT_WIDTH else []
            return _table([*kept, *settings, *notes], width)
        optional = [column for column in kept if column.drop_order]
        if not optional or left >= min(line.width, 2 * _MIN_TEXT_WIDTH):
            return _table([*kept, *([line] if left >= _MIN_TEXT_WIDTH // 2 else [])], width)
        kept.remove(max(optional, key=lambda column: column.drop_order))


def _table(columns: Sequence[FittedColumn], width: int) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim", expand=False)
    left = width
    for column in columns:
        wide = min(column.width, max(1, left))
        left -= wide + _GAP
        table.add_column(
            Text(column.title), justify=column.justify, no_wrap=True, overflow="ellipsis", width=wide
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table
