"""What to try next: Optuna's samplers by name, and the suggestions they make in a search space."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from sa_study.randomness import derived_seed
from sa_study.space import SearchSpace


def ask(study: optuna.Study, space: SearchSpace, seed: int) -> Trial | None:
    """Begins the study's next trial, with a value of every searched setting.

    Args:
        study: The study; queued trials come first.
        space: What is searched.
        seed: The suggestion depends on it, the trial's number and the results so far.

    Returns:
        The trial, running in the study's database; None when every configuration was tried.
    """
    begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    reseed(study, space, seed, len(study.get_trials(deepcopy=False, states=begun)))
    trial = study.ask()
    suggest(space, trial)
    return trial


def reseed(study: optuna.Study, space: SearchSpace, seed: int, number: int) -> None:
    """Gives the study the sampler of one trial, so that a relaunch suggests what an endless launch would."""
    study.sampler = make_sampler(space.sampler, derived_seed(seed, "search", number))


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of this name; a grid's trials are all queued, so its sampler never decides."""
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
    return RandomSampler(seed=seed)


def suggest(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Asks for a value of every searched setting; a trial that has one already gets it again."""
    values: dict[str, Any] = {}
    for name, parameter in space.search.items():
        if parameter.kind == "categorical":
            values[name] = trial.suggest_categorical(name, parameter.choices)
        elif parameter.kind == "int":
            step = int(parameter.step or 1)
            values[name] = trial.suggest_int(
                name, int(parameter.low), int(parameter.high), step=step, log=parameter.log
            )
        else:
            low, high, step_size = parameter.low, parameter.high, parameter.step
            values[name] = trial.suggest_float(name, low, high, step=step_size, log=parameter.log)
    return values
