"""The final answer as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from sa_study.metrics import names
from sa_study.report.terminal.console import evaluation_table, make_table, percent
from sa_study.report.terminal.repeats import points
from sa_study.report.terminal.text import safe


def retrained_tables(
    found: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]], seen: str
) -> Iterator[Table]:
    """Every run's test figures; mean and deviation of each configuration, and their difference.

    Args:
        found: The content of `retrained.json`.
        evaluations: What was evaluated, by configuration and seed.
        seen: What is to be said of looks at the test set.
    """
    yield evaluation_table(evaluations, seen)
    seeds = len(found["configurations"][0]["seeds"])
    if seeds > 1 or found["difference"] or found["not_compared"]:
        yield _summary(found, seeds)


def _summary(found: Mapping[str, Any], seeds: int) -> Table:
    table = make_table(f"Retrained on all identities, {seeds} seed{'s' if seeds > 1 else ''}, test set")
    for column in ("", *map(names.heading, names.STUDY_METRICS)):
        table.add_column(column, justify="right" if column else "left")
    for choice in found["configurations"]:
        rows = [choice["summary"][figure] for figure in names.STUDY_METRICS]
        cells = [f"{percent(row['mean'])} ± {percent(row['std'])}" for row in rows]
        table.add_row(safe(choice["name"]), *cells)
    if difference := found["difference"]:
        table.add_row("difference", *(points(difference[figure]) for figure in names.STUDY_METRICS))
        covers = "and seeds" if seeds > 1 else "only: what other seeds would change takes --seeds 3 to tell"
        table.caption = f"Paired by query; 95 % intervals over identities {covers}."
    if reason := found["not_compared"]:
        table.caption = f"No difference is stated: {reason}."
    return table
