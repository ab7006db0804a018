"""What to try next: Optuna's samplers by name, and the suggestions they make in a search space.

A suggestion is made in memory and written with its trial in one transaction: a driver killed at any moment
leaves either no trial, which the next launch suggests again, or a whole one.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sa_study.settings.space import Parameter, SearchSpace
from sa_study.tuning.search.in_memory_study import in_memory_study
from sa_study.tuning.search.sampler_history import sampler_history
from sa_study.tuning.search.untried import draw_untried, tried
from sa_study.utils.errors import ConfigError
from sa_study.utils.randomness import derived_seed

_ATTEMPTS = 5
"""Suggestions of a sampler that repeat a configuration, until one is drawn among those left."""


def check_sampler(space: SearchSpace, objectives: int) -> None:
    """Checks that the space's sampler can be used here.

    Args:
        space: What is searched.
        objectives: How many figures are optimised.

    Raises:
        ConfigError: It cannot; says what to do.
    """
    if space.sampler != "cmaes":
        return
    if objectives > 1:
        raise ConfigError("sampler: cmaes knows one objective; use tpe, gp, random or grid for two")
    if importlib.util.find_spec("cmaes") is None:
        raise ConfigError("sampler: cmaes needs the package of this name; pip install cmaes==0.13.1")


def make_sampler(space: SearchSpace, seed: int) -> BaseSampler:
    """The sampler that the space names; a grid's sampler never decides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if space.sampler == "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True, group=space.conditional)
        if space.sampler == "gp":
            # It says on the terminal that a package would make it faster.
            logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
            return GPSampler(seed=seed, warn_independent_sampling=False)
        if space.sampler == "cmaes":
            return _CmaEs(space, seed)
        return RandomSampler(seed=seed)


class _CmaEs(CmaEsSampler):
    """CMA-ES on the numbers that every trial has; Optuna's gives up for ever once one of them is missing."""

    def __init__(self, space: SearchSpace, seed: int):
        super().__init__(seed=seed, warn_independent_sampling=False)
        self._always = {name for name, parameter in space.search.items() if not parameter.when}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        space = super().infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in space.items() if name in self._always}


def ask(study: optuna.Study, space: SearchSpace, seed: int) -> Trial | None:
    """Begins the study's next trial, with a value of every searched setting.

    The first is the baseline. In a space that has an end no configuration comes twice.

    Args:
        study: The study; queued trials come first.
        space: What is searched.
        seed: The suggestion depends on it, the trial's number and the results so far.

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
    begun = _suggestion(study, trials, space, seed)
    if begun is None:
        return None
    study.add_trial(begun)
    return Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)


def reseed(study: optuna.Study, space: SearchSpace, seed: int, number: int) -> None:
    """Gives the study the sampler of one trial, so that a relaunch suggests what an endless launch would."""
    study.sampler = make_sampler(space, derived_seed(seed, "search", number))


def suggest(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Asks for a value of every active setting; a trial that has one already gets it again."""
    values: dict[str, Any] = {}
    for name, parameter in space.search.items():
        if space.active(name, values):
            values[name] = parameter.canonical(trial._suggest(name, distribution(parameter)))
    return values


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter as Optuna has it."""
    if parameter.kind == "categorical":
        return CategoricalDistribution(parameter.choices)
    low, high = parameter.ends  # Optuna warns of a high between two steps
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(low, high, parameter.log, parameter.step)


def _suggestion(
    study: optuna.Study, trials: list[FrozenTrial], space: SearchSpace, seed: int
) -> FrozenTrial | None:
    """The trial that follows these; None when every configuration was tried."""
    if not trials:
        return _running(space, space.baseline)
    taken = set() if space.size is None else tried(space, trials)
    if space.size is not None and len(taken) >= space.size:
        return None
    if space.sampler == "grid":
        return _running(space, next(point for point in space.points() if space.key(point) not in taken))
    own_seed = derived_seed(seed, "search", len(trials))
    shown = sampler_history(space.sampler, trials, study.directions)
    draft = in_memory_study(shown, study, make_sampler(space, own_seed))
    for _ in range(_ATTEMPTS):  # a repeated one stays in the draft as running: samplers keep away from it
        trial = draft.ask()
        point = suggest(space, trial)
        if space.size is None or space.key(point) not in taken:
            return _running(space, point, trial.storage.get_trial(trial._trial_id).system_attrs)
    return _running(space, draw_untried(space, taken, own_seed))


def _running(
    space: SearchSpace, point: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
) -> FrozenTrial:
    """A trial that begins with this configuration."""
    # CMA-ES keeps its state with its trials; what others note there has served.
    kept = {name: value for name, value in (attributes or {}).items() if name.startswith("cma:")}
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(point),
        distributions={name: distribution(space.search[name]) for name in point},
        system_attrs=kept,
    )
