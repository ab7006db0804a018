"""A study as plain values, for programs: what `--json` prints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL
from sa_study.report.verdict import judge, validation_lead
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.search.initial_trials import STARTED_FROM


def study_document(study: StudySummary, *, stopped: str = "") -> dict[str, Any]:
    """Everything that a study's end and `status` tell; `stopped` is why a launch ended before its trials.

    Returns:
        Values that JSON has; rates are fractions, times seconds, figures that are not finite None.
    """
    judgement, winner, baseline = judge(study), study.winner, study.baseline
    document: dict[str, Any] = {
        "study": str(study.folder.root),
        "metric": study.config.metric,
        "goal": study.config.goal,
        PROTOCOL: study.protocol,
        "states": study.states,
        "stopped": stopped,
        "driver": dataclasses.asdict(study.driver) if study.driver else None,
        "winner": winner.number if winner else None,
        "score": winner.score if winner else None,
        "score_interval": winner.interval if winner else None,
        "baseline_score": baseline.score if baseline else None,
        "difference": validation_lead(study),
        "judgement": judgement.text,
        "trust": judgement.tone,
        "front": [trial.number for trial in study.front] if study.config.minimize else None,
        "cost": dataclasses.asdict(study.cost),
        "started_from": study.attributes.get(STARTED_FROM),
        "trials": [_trial(trial) for trial in study.trials],
    }
    return {name: _finite(value) for name, value in document.items()}


def _trial(trial: TrialSummary) -> dict[str, Any]:
    record = trial.record
    return {
        "number": trial.number,
        "baseline": trial.baseline,
        "state": trial.state,
        "settings": dict(trial.params),
        "score": trial.score,
        "best": record.best or None,
        "last": record.last or None,
        "epoch": record.epoch,
        "epochs": trial.epochs,
        "curve": [value for _, value in trial.curve],
        names.SECONDS: record.seconds,
        "gpu_seconds": record.gpu_seconds,
        "failure": record.failure or None,
        "notes": record.notes,
    }


def _finite(value: Any) -> Any:
    """The same value, with None in place of infinity and NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
