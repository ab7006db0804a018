"""Summaries of studies and trials, made without a folder; evaluations of their trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthetic_runs import DATA

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialRecord
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary


def trial_summary(
    number: int,
    state: str = "COMPLETE",
    params: Mapping[str, Any] | None = None,
    score: float | None = None,
    *,
    curve: Sequence[tuple[float, float]] = (),
    **figures: float,
) -> TrialSummary:
    """A trial whose best epoch is the 9th of 10."""
    best = {} if score is None else {names.EPOCH: 9.0, names.PROGRESS: 90.0, names.MAP: score, **figures}
    record = TrialRecord(last=best, best=best)
    return TrialSummary(number, state, params or {}, names.MAP, 10, record, tuple(curve))


def study_summary(
    config: StudyConfig,
    trials: Sequence[TrialSummary],
    evaluations: Mapping[str, Mapping[str, Any]] | None = None,
    root: Path = Path("/study"),
) -> PageStudy:
    """A study of these trials, with evaluations of its winner and its baseline."""
    study = PageStudy(StudyFolder(root), config, tuple(trials))
    vars(study)["_evaluations"] = (dict(evaluations or {}), [])
    vars(study)["current_evaluations"] = dict(evaluations or {})
    return study


def evaluation_of(
    study: StudySummary, trial: TrialSummary | None, value: float, **changes: Any
) -> dict[str, Any]:
    """The content of a trial's evaluation file in which every figure has one value."""
    assert trial is not None
    return {
        **dict.fromkeys(names.TEST_FIGURES, value),
        **{"reranked": None, "queries": 9, "gallery": 30, "data": DATA},
        **{"settings": study.settings(trial).to_dict(), "checkpoint_epoch": trial.best_epoch},
        **changes,
    }
