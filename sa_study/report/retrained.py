"""The final answer as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from sa_study.report.console import evaluation_table, make_table, seeds_table
from sa_study.report.repeats import points


def retrained_tables(
    found: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]], seen: str
) -> Iterator[Table]:
    """Every seed's test figures, mean and deviation of each configuration, and their difference.

    Args:
        found: The content of `retrained.json`.
        evaluations: What was evaluated, by configuration and seed.
        seen: What is to be said of looks at the test set.
    """
    yield evaluation_table(evaluations, seen)
    for choice in found["configurations"]:
        if len(choice["seeds"]) > 1:
            yield seeds_table(choice["summary"], len(choice["seeds"]), choice["name"])
    if found["difference"]:
        table = make_table("Test set, best − baseline, points, paired by query")
        for column in ("", "difference (95 % interval)"):
            table.add_column(column)
        for figure, difference in found["difference"].items():
            table.add_row(figure, points(difference))
        several = all(len(choice["seeds"]) > 1 for choice in found["configurations"])
        table.caption = (
            "Over identities and seeds."
            if several
            else "Over identities only: what other seeds would change was not measured; --seeds 3 does."
        )
        yield table
