"""An ablation as Markdown: the table that a paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sa_study.export.markup import markdown_table
from sa_study.export.text import markdown
from sa_study.report.terminal.repeats import Rows, cell_rows, effect_rows
from sa_study.report.text import settings_text


def ablation_markdown(found: Mapping[str, Any]) -> str:
    """A Markdown file of what `ablate` found.

    Args:
        found: The content of `ablation.json`.
    """
    runs, seeds = found["runs"], ", ".join(map(str, found["seeds"]))
    return "\n".join(
        [
            "# Ablation\n",
            markdown(
                f"{runs['ended']} of {runs['asked']} runs, {runs['failed']} failed; seeds {seeds}. Each run "
                "is scored by its best epoch on held-out training identities; the test set was not opened. "
                f"Changes begin from: {settings_text(found['reference'])}."
            ),
            *_section(effect_rows(found)),
            *_section(cell_rows(found)),
            "",
        ]
    )


def _section(table: Rows) -> list[str]:
    rows = [[markdown(cell) for cell in row] for row in table.rows]
    return [
        f"\n## {markdown(table.title)}\n",
        *markdown_table(table.heads, rows, "right"),
        "",
        *(f"{markdown(note)}  " for note in table.notes),
    ]
