"""What samplers are shown of trials that did not run to their end.

Optuna's samplers leave failed trials out, and all but TPE those stopped early: where much fails or is stopped
they would suggest the same region for ever, because nothing that happens there reaches them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def sampler_history(
    sampler: str, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """The trials as a sampler can learn from them; those given are not changed.

    TPE ranks trials stopped early behind complete ones, by how far they came: a failed one is shown as
    stopped before its first epoch, and so are all of them with two objectives, where it cannot rank a curve.
    GP and CMA-ES know scores only: a trial stopped early has its last value, and one without any the worst.

    Args:
        sampler: Its name.
        trials: The study's trials, by number.
        directions: The study's directions.
    """
    if sampler == "tpe":
        unranked = {TrialState.FAIL, *([TrialState.PRUNED] if len(directions) > 1 else [])}
        return [_ended(trial, TrialState.PRUNED) if trial.state in unranked else trial for trial in trials]
    if sampler in ("gp", "cmaes"):
        return _all_complete(trials, directions)
    return list(trials)


def _all_complete(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    values = [trial.values for trial in trials if trial.values]
    if not values:
        return list(trials)
    worst = [
        (min if direction == StudyDirection.MAXIMIZE else max)(column)
        for direction, column in zip(directions, zip(*values, strict=True), strict=True)
    ]
    early = (TrialState.FAIL, TrialState.PRUNED)
    return [
        _ended(trial, TrialState.COMPLETE, trial.values or worst) if trial.state in early else trial
        for trial in trials
    ]


def _ended(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.state, trial.values = state, values
    trial.intermediate_values = {}
    return trial
