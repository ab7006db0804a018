"""Suggests configurations: begins a study's next trial with values from its sampler.

A suggestion is made in memory and stored with its trial in one transaction: a driver that is killed at any
moment leaves either no trial, which the next launch suggests again, or a whole one.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.study.records import configuration
from sa_study.tuning.search.samplers import MAX_CONFIGURATIONS, sampler_spec
from sa_study.utils.randomness import derived_seed

_MAX_REPEATS = 5
"""After this many suggestions that repeat a configuration, one that is left is drawn at random."""


def ask(study: optuna.Study, space: SearchSpace, seed: int) -> Trial | None:
    """Begins the study's next trial, with a value of every searched setting.

    Queued trials come first; the first trial of a study without any is the baseline. Where the space is
    finite no configuration comes twice. A suggestion depends on the seed, on the trial's number and on the
    results so far.

    Returns:
        The trial, running in the study's database; None when every configuration was tried.
    """
    trials = study.get_trials(deepcopy=False)
    for queued in trials:
        if queued.state == TrialState.WAITING:
            reseed(study, space, seed, queued.number)
            trial = study.ask()
            suggest(space, trial)
            return trial
    begun = _next_trial(study, trials, space, seed)
    if begun is None:
        return None
    study.add_trial(begun)
    return Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)


def reseed(study: optuna.Study, space: SearchSpace, seed: int, number: int) -> None:
    """Gives the study a sampler seeded for one trial, so that a relaunch suggests what one launch would."""
    study.sampler = _make_sampler(space, _trial_seed(seed, number))


def suggest(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Suggests a value of every active setting; a setting that has a value keeps it."""
    values: dict[str, Any] = {}
    for name, parameter in space.search.items():
        if space.active(name, values):
            values[name] = parameter.canonical(trial._suggest(name, distribution(parameter)))
    return values


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter's values as an Optuna distribution."""
    if parameter.kind == "categorical":
        return CategoricalDistribution(parameter.choices)
    low, high = parameter.ends  # Optuna warns of a high between two steps
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(low, high, parameter.log, parameter.step)


def draw_untried(space: SearchSpace, tried: Collection[Any], seed: int) -> dict[str, Any]:
    """Draws a configuration that was not tried, all with the same probability where they can be listed.

    `tried` has the keys (`SearchSpace.key`) of those that were; the space must be finite and have others.
    """
    rng = np.random.default_rng(seed)
    if (space.size or 0) <= MAX_CONFIGURATIONS:
        left = [values for values in space.points() if space.key(values) not in tried]
        return left[rng.integers(len(left))]
    while True:
        values: dict[str, Any] = {}
        for name, parameter in space.search.items():
            if space.active(name, values):
                values[name] = parameter.value(int(rng.integers(parameter.count or 1)))
        if space.key(values) not in tried:
            return values


def _trial_seed(seed: int, number: int) -> int:
    return derived_seed(seed, "search", number)


def _make_sampler(space: SearchSpace, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return sampler_spec(space.sampler).make(space, seed)


def _next_trial(
    study: optuna.Study, trials: Sequence[FrozenTrial], space: SearchSpace, seed: int
) -> FrozenTrial | None:
    """The trial that follows these, not stored yet; None when every configuration was tried."""
    if not trials:
        return _running(space, space.baseline)
    size = space.size
    tried = set() if size is None else {space.key(configuration(trial)) for trial in trials}
    if size is not None and len(tried) >= size:
        return None
    spec = sampler_spec(space.sampler)
    if spec.exhaustive:
        return _running(space, next(values for values in space.points() if space.key(values) not in tried))
    trial_seed = _trial_seed(seed, len(trials))
    history = sampler_history(spec.history, trials, study.directions)
    copied = in_memory_study(history, study, _make_sampler(space, trial_seed))
    for _ in range(_MAX_REPEATS):  # a repeat stays there as a running trial, which samplers keep away from
        trial = copied.ask()
        values = suggest(space, trial)
        if size is None or space.key(values) not in tried:
            attributes, prefix = trial.storage.get_trial(trial._trial_id).system_attrs, spec.state_prefix
            state = {key: value for key, value in attributes.items() if prefix and key.startswith(prefix)}
            return _running(space, values, state)
    return _running(space, draw_untried(space, tried, trial_seed))


def _running(
    space: SearchSpace, values: Mapping[str, Any], system_attrs: Mapping[str, Any] | None = None
) -> FrozenTrial:
    """A trial that runs this configuration, not stored yet."""
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(values),
        distributions={name: distribution(space.search[name]) for name in values},
        system_attrs=dict(system_attrs or {}),
    )


def sampler_history(
    history: str, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """The trials in the form that a sampler learns from; those passed in are not changed.

    Optuna's samplers ignore failed trials, and all but TPE ignore those that were stopped early: where many
    fail or are stopped they would suggest the same region forever.

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
