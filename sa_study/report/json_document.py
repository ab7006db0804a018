"""A study as plain values, for programs: what `--json` prints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.report.page.view import make_view
from sa_study.report.verdict import judge, validation_lead
from sa_study.study.config import StudyConfig
from sa_study.study.cost import study_cost
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import Owner
from sa_study.study.records import (
    BASELINE,
    choose_winner,
    configuration,
    count_states,
    pareto_front,
    read_record,
    score,
)


def study_document(
    root: Path,
    config: StudyConfig,
    trials: Sequence[FrozenTrial],
    about: Mapping[str, Any],
    *,
    stopped: str = "",
    driver: Owner | None = None,
) -> dict[str, Any]:
    """What a study's end and `status` tell.

    Args:
        root: The study's folder.
        config: What was asked for.
        trials: Its trials.
        about: What is kept with the study beside its trials.
        stopped: Why the launch ended before all trials had.
        driver: Who runs it.

    Returns:
        Values that JSON has; rates are fractions, times seconds, figures that are not finite None.
    """
    view = make_view(StudyFolder(root), config, trials, about)
    judgement = judge(view)
    winner = choose_winner(list(trials), config.metric)
    best = score(winner, config.metric) if winner else None
    beaten = next((score(trial, config.metric) for trial in trials if trial.number == BASELINE), None)
    document: dict[str, Any] = {
        "study": str(root.absolute()),
        "metric": config.metric,
        "goal": config.goal,
        "states": count_states(list(trials)),
        "stopped": stopped,
        "driver": dataclasses.asdict(driver) if driver else None,
        "winner": winner.number if winner else None,
        "score": best,
        "score_interval": _interval(read_record(winner).best, config.metric) if winner else None,
        "baseline_score": beaten,
        "difference": validation_lead(view),
        "judgement": judgement.text,
        "trust": judgement.tone,
        "front": [trial.number for trial in pareto_front(list(trials))] if config.minimize else None,
        "cost": dataclasses.asdict(study_cost(trials, about)),
        "trials": [_trial(trial, config) for trial in trials],
    }
    return {name: _finite(value) for name, value in document.items()}


def _interval(figures: Mapping[str, float], metric: str) -> list[Any] | None:
    ends = [_finite(figures.get(name)) for name in names.INTERVALS[metric]]
    return None if None in ends else ends


def _trial(trial: FrozenTrial, config: StudyConfig) -> dict[str, Any]:
    record = read_record(trial)
    return {
        "number": trial.number,
        "baseline": trial.number == BASELINE,
        "state": trial.state.name,
        "settings": dict(trial.params),
        "score": record.best.get(config.metric),
        "best": record.best or None,
        "last": record.last or None,
        "epoch": record.epoch,
        "epochs": config.space.settings(configuration(trial)).epochs,
        "curve": [value for _, value in sorted(trial.intermediate_values.items())],
        names.SECONDS: record.seconds,
        "gpu_seconds": record.gpu_seconds,
        "failure": record.failure or None,
        "notes": record.notes,
    }


def _finite(value: Any) -> Any:
    """The same, with None in the place of numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
