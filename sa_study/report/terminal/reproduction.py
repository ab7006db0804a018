"""What a reproduction found, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sa_study.metrics import names
from sa_study.report.terminal.console import make_table
from sa_study.study.result_files import is_number

if TYPE_CHECKING:
    from sa_study.analysis.reproduce.recorded import Recorded
    from sa_study.analysis.reproduce.rerun import Rerun
    from sa_study.analysis.reproduce.verdict import Verdict

_LONGEST = 200
_MOST = 8
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


def opening_line(recorded: Recorded, study: object) -> str:
    """Which trial is run again, and how far."""
    record = recorded.record
    how = {"COMPLETE": "complete", "PRUNED": "stopped early", "FAIL": "failed"}[recorded.state]
    launches = ", ".join(map(str, recorded.launches)) or "of no record"
    goal = f"{recorded.goal} of {recorded.settings.epochs} epochs"
    after = f", the last of which failed ({record.failure[:_LONGEST]})" if record.failure else ""
    return f"trial {recorded.number} of {study}, {how} in launch {launches}: {goal} are run again{after}"


def verdict_lines(recorded: Recorded, rerun: Rerun, verdict: Verdict, tolerance: float) -> Iterator[str]:
    """The result and its reasons, the result first."""
    metric, count = names.heading(recorded.config.metric), len(rerun.epochs)
    weights = {
        "equal": "the best epoch's weights are equal",
        "different": "the best epoch's weights differ",
        "not compared": "no weights were compared",
    }[verdict.weights]
    if verdict.result == "equal":
        again = "the failure came again" if recorded.record.failure else ""
        parts = [f"every recorded figure of {_epochs(count)} is the same to the last bit", weights, again]
        yield f"EQUAL: {'; '.join(part for part in parts if part)}"
        return
    if verdict.result == "within tolerance":
        yield f"WITHIN TOLERANCE: {metric} at the best epoch is within {tolerance:g} points; {weights}"
    else:
        yield f"DIFFERENT: {verdict.reasons[0]}"
    told = " ".join(verdict.reasons)
    others = verdict.reasons[1:] if verdict.result == "different" else verdict.reasons
    listed = [*others, *(line for line in map(str, verdict.differences) if line not in told)]
    yield from (f"  {line}" for line in listed[:_MOST])
    if len(listed) > _MOST:
        yield f"  and {len(listed) - _MOST} more"


def change_lines(verdict: Verdict) -> Iterator[str]:
    """What differs between then and now."""
    if not verdict.changes:
        yield "then and now: the same code, versions, CPU and threads"
        return
    yield "then and now:"
    yield from (f"  {change.line}" for change in verdict.changes)


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
