"""What became of trials at the rungs of a stopping rule."""

from __future__ import annotations

from typing import Any

from sa_study.report.page.view import PageStudy
from sa_study.tuning.stopping.schedulers import rungs, rungs_of_trial


def stops(study: PageStudy) -> list[dict[str, Any]]:
    """For each rung how many trials were compared there, and how many were stopped at it."""
    scheduler = study.config.space.scheduler
    found = {share: {"share": share, "reached": 0, "stopped": 0} for share in rungs(scheduler)}
    for trial in study.trials:
        progress = trial.curve[-1][0] if trial.curve else 0.0
        reached = [share for share in rungs_of_trial(scheduler, trial.number) if progress >= share - 1e-9]
        for share in reached:
            found[share]["reached"] += 1
        if reached and trial.state == "PRUNED":
            found[reached[-1]]["stopped"] += 1
    return list(found.values())
