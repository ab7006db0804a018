"""What became of trials at the rungs of a stopping rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sa_study.report.page.view import StudyView


def stops(study: StudyView, marks: Sequence[float]) -> list[dict[str, Any]]:
    """For each rung how many trials came there, and how many were stopped at it."""
    found = [{"share": mark, "reached": 0, "stopped": 0} for mark in marks]
    for trial in study.trials:
        came = [row for row in found if trial.curve and trial.curve[-1][0] >= row["share"] - 1e-9]
        for row in came:
            row["reached"] += 1
        if came and trial.state == "PRUNED":
            came[-1]["stopped"] += 1
    return found
