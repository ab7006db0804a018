"""What `compare` found, as a table and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from sa_study.metrics import names
from sa_study.report.terminal.console import make_table, percent
from sa_study.report.terminal.text import clean


def compared_table(found: Mapping[str, Any]) -> Table:
    """A row for each figure, re-ranked ones behind."""
    table = make_table("Test set, per cent and points")
    table.add_column("")
    for column in ("A", "B", "B − A (95 % interval)", "p", "queries + / −"):
        table.add_column(column, justify="right", no_wrap=True)
    for kind in ("plain", "reranked"):
        for figure, row in found.get(kind, {}).items():
            table.add_row(
                names.heading(figure, reranked=kind == "reranked"),
                percent(row["first"]),
                percent(row["second"]),
                f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})",
                "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}",
                f"{row['better']} / {row['worse']} of {row['queries']}",
            )
    runs = found["runs"]
    sides = [
        f"{label}: {escape(clean(found[side]))}{f', {count} runs' if count > 1 else ''}"
        for label, side, count in zip("AB", ("first", "second"), runs, strict=True)
    ]
    table.caption = "\n".join(sides)
    return table


def conclusion(found: Mapping[str, Any]) -> str:
    """Whether a difference is shown, and what that covers."""
    row = found["plain"][names.MAP]
    if row["low"] > 0 or row["high"] < 0:
        said = f"B is {'better' if row['low'] > 0 else 'worse'} in mAP"
    else:
        said = "No difference in mAP is shown"
    if found["seeds"]:
        return f"{said}; this covers other identities and other seeds."
    return f"{said}; this covers other identities, but not other seeds: that takes several runs of each."
