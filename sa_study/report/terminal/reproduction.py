"""What a reproduction found, as a table and lines in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sa_study.metrics import names
from sa_study.report.terminal.console import make_table
from sa_study.study.result_files import is_number

if TYPE_CHECKING:
    from sa_study.analysis.reproduce.original import OriginalTrial
    from sa_study.analysis.reproduce.reproduction import Reproduction

_MAX_FAILURE_LENGTH = 200
_MAX_DIFFERENCES = 8
"""Differences that are listed; reproduction.json has the largest of each figure."""


def figures_table(recorded: Mapping[str, Any], rerun: Mapping[str, Any]) -> Table:
    """The best epoch's figures then and now, with all their digits."""
    table = make_table(f"Epoch {recorded[names.EPOCH]:.0f}, the best: per cent")
    table.add_column("")
    for column in ("recorded", "rerun", "difference"):
        table.add_column(column, justify="right")
    for name in (*names.RANKING, names.LOSS):
        was: Any = recorded.get(name)
        is_now: Any = rerun.get(name)
        factor = 1 if name == names.LOSS else 100
        if not (is_number(was) and is_number(is_now)):
            continue
        apart = "0" if was == is_now else f"{factor * (is_now - was):+.2g}"
        table.add_row(names.heading(name), f"{factor * was:.6f}", f"{factor * is_now:.6f}", apart)
    return table


def opening_line(original: OriginalTrial, study: object) -> str:
    """Line that names the rerun trial and its number of epochs."""
    ending = {"COMPLETE": "complete", "PRUNED": "stopped early", "FAIL": "failed"}[original.summary.state]
    launches = ", ".join(map(str, original.launches)) or "of no record"
    goal = f"{original.goal} of {original.settings.epochs} epochs"
    failure = original.failure[:_MAX_FAILURE_LENGTH]
    after = f", the last of which failed ({failure})" if failure else ""
    return (
        f"trial {original.summary.number} of {study}, {ending} in launch {launches}: {goal} are rerun{after}"
    )


def verdict_lines(found: Reproduction) -> Iterator[str]:
    """The result and its reasons, the result first."""
    weights = {
        "equal": "the best epoch's weights are equal",
        "different": "the best epoch's weights differ",
        "not compared": "no weights were compared",
    }[found.weights]
    if found.result == "equal":
        failure = "the failure was reproduced" if found.original.failure else ""
        figures = f"every recorded figure of {_epochs(len(found.rerun.epochs))} is the same to the last bit"
        yield f"EQUAL: {'; '.join(part for part in (figures, weights, failure) if part)}"
        return
    reasons = list(found.reasons)
    if found.result == "within tolerance":
        metric = names.heading(found.original.metric)
        yield f"WITHIN TOLERANCE: {metric} at the best epoch is within {found.tolerance:g} points; {weights}"
    else:
        yield f"DIFFERENT: {reasons.pop(0)}"
    explained = " ".join(found.reasons)
    listed = [*reasons, *(line for line in map(str, found.differences) if line not in explained)]
    yield from (f"  {line}" for line in listed[:_MAX_DIFFERENCES])
    if len(listed) > _MAX_DIFFERENCES:
        yield f"  and {len(listed) - _MAX_DIFFERENCES} more"


def change_lines(found: Reproduction) -> Iterator[str]:
    """Lines on the differences between the recorded and the present environment."""
    if not found.changes:
        yield "then and now: the same code, versions, CPU and threads"
        return
    yield "then and now:"
    yield from (f"  {change.line}" for change in found.changes)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
