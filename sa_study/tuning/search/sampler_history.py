"""The trials so far as samplers learn from them, and a study in memory that adds suggestions to them.

Optuna's samplers ignore failed trials, and all but TPE ignore those that were stopped early: where many fail
or are stopped they would suggest the same region forever.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def sampler_history(
    history: str, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """The trials in the form that a sampler learns from; those passed in are not changed.

    `unchanged` is for samplers that read curves, or nothing. `ranked` is for TPE, which ranks stopped trials
    behind complete ones by the progress they had reached. A failed trial is given as stopped before its first
    epoch; so is every stopped one with two objectives, where TPE cannot rank curves. `scored` is for GP and
    CMA-ES, which know scores only. A stopped trial is given as complete with its last value, and one without
    a value with the worst of all trials.
    """
    if history == "ranked":
        unranked = {TrialState.FAIL, *([TrialState.PRUNED] if len(directions) > 1 else [])}
        return [
            _with_state(trial, TrialState.PRUNED) if trial.state in unranked else trial for trial in trials
        ]
    values = [trial.values for trial in trials if trial.values]
    if history == "unchanged" or not values:
        return list(trials)
    worst = [
        (min if direction == StudyDirection.MAXIMIZE else max)(column)
        for direction, column in zip(directions, zip(*values, strict=True), strict=True)
    ]
    incomplete = (TrialState.FAIL, TrialState.PRUNED)
    return [
        _with_state(t, TrialState.COMPLETE, t.values or worst) if t.state in incomplete else t for t in trials
    ]


def _with_state(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None = None) -> FrozenTrial:
    """A copy in another state, without the figures that it reported."""
    trial = copy.copy(trial)
    trial.state, trial.values = state, values
    trial.intermediate_values = {}
    return trial


class _ExtendedStorage(InMemoryStorage):
    """Keeps new trials in memory and numbers them after those of another study, which are not copied."""

    def __init__(self, earlier: Sequence[FrozenTrial]):
        super().__init__()
        self._earlier = earlier

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        self.get_trial(trial_id).number += len(self._earlier)
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        earlier = [trial for trial in self._earlier if states is None or trial.state in states]
        new = super().get_all_trials(study_id, deepcopy, states)
        return [*(copy.deepcopy(earlier) if deepcopy else earlier), *new]


def in_memory_study(
    earlier: Sequence[FrozenTrial], like: optuna.Study, sampler: optuna.samplers.BaseSampler
) -> optuna.Study:
    """A study in memory that begins with some trials, with the name and the directions of `like`."""
    storage = _ExtendedStorage(earlier)
    storage.create_new_study(like.directions, like.study_name)
    return optuna.Study(like.study_name, storage, sampler)
