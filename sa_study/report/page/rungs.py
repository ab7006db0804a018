"""The rungs at which a stopping rule compares trials, and what became of trials there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sa_study.report.page.view import StudyView
from sa_study.space import Scheduler


def rungs(scheduler: Scheduler) -> list[float]:
    """Shares of the schedule, in per cent, at which a scheduler first and then again compares trials."""
    first, factor = scheduler.grace_period, scheduler.reduction_factor
    if scheduler.name not in ("asha", "hyperband") or factor <= 1 or not 0 < first < 100:
        return [first] if scheduler.name == "median" else []
    count = int(math.log(100 / first, factor) + 1e-9) + 1
    return [first * factor**index for index in range(count) if first * factor**index < 100 - 1e-9]


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
