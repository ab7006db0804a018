"""The sampler over learning curves, in Optuna studies of any kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from scipy.integrate import quad
from scipy.stats import norm

from sa_study.tuning.search.multifidelity import (
    STARTUP_TRIALS,
    MultiFidelitySampler,
    log_expected_improvement,
)


def sphere(trial: optuna.Trial) -> float:
    """Best at x = 0.3, y = 10 and kind = b; reports a curve, of which bad ones are stopped."""
    x = trial.suggest_float("x", 0, 1)
    y = trial.suggest_float("y", 1, 100, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    value = -((x - 0.3) ** 2) - (math.log10(y) - 1) ** 2 / 4 - 0.2 * (kind != "b")
    for step in range(1, 11):
        trial.report(value - 1 / step, step)
        if step == 3 and value < -0.2:
            raise optuna.TrialPruned
    return value


def study(seed: int = 0, **options: Any) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = MultiFidelitySampler(seed, **options)
    return optuna.create_study(direction="maximize", sampler=sampler)


@pytest.mark.parametrize("seed", range(3))
def test_an_optimum_is_found(seed: int) -> None:
    found = study(seed)
    found.optimize(sphere, 30)
    assert found.best_value > -0.01 and found.best_params["kind"] == "b"


def test_the_direction_is_minded() -> None:
    sampler = MultiFidelitySampler(0)
    found = optuna.create_study(direction="minimize", sampler=sampler)
    found.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, 25)
    assert found.best_value < 1e-3


def test_a_suggestion_depends_on_seed_number_and_trials_alone() -> None:
    whole, parts = study(), study()
    whole.optimize(sphere, 16)
    parts.optimize(sphere, 12)
    parts.sampler = MultiFidelitySampler(0)
    parts.optimize(sphere, 4)
    assert [trial.params for trial in whole.trials] == [trial.params for trial in parts.trials]


def test_many_at_once_are_apart() -> None:
    found = study()
    found.optimize(sphere, STARTUP_TRIALS)
    numbers = [found.ask() for _ in range(8)]
    places = np.array([[t.suggest_float("x", 0, 1), t.suggest_float("y", 1, 100, log=True)] for t in numbers])
    assert len({tuple(place) for place in places}) == 8


def test_settings_that_depend_on_others() -> None:
    def objective(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("kind", ["deep", "flat"])
        if kind == "flat":
            return trial.suggest_float("width", 0, 1) / 2
        return 1 - (trial.suggest_float("depth", 0, 1) - 0.6) ** 2

    def active(values: Any) -> set[str]:
        return {"kind", "depth" if values["kind"] == "deep" else "width"}

    for given in (None, active):
        found = study(active=given)
        found.optimize(objective, 30)
        assert found.best_value > 0.995


@pytest.mark.parametrize("value", [0.5, math.nan, math.inf], ids=str)
def test_scores_that_tell_nothing(value: float) -> None:
    found = study()
    for _ in range(14):
        trial = found.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(value, 1)
        found.tell(trial, state=TrialState.PRUNED)
    assert len({trial.params["x"] for trial in found.trials}) == 14


def test_all_configurations_of_a_small_space() -> None:
    found = study()
    found.optimize(lambda trial: float(trial.suggest_int("n", 0, 3)), 20)
    assert {trial.params["n"] for trial in found.trials} == {0, 1, 2, 3}


def test_hundreds_of_equal_trials() -> None:
    found = study()
    found.optimize(sphere, 3)
    found.add_trials([found.trials[0]] * 300)
    found.optimize(sphere, 2)
    assert len({trial.params["x"] for trial in found.trials}) == 5


def test_a_trial_without_settings_of_the_space_and_one_that_failed() -> None:
    found = study()
    found.add_trial(create_trial(value=1.0))
    found.optimize(sphere, 12)
    for trial in found.trials[1:4]:
        found.add_trial(
            create_trial(state=TrialState.FAIL, params=trial.params, distributions=trial.distributions)
        )
    found.optimize(sphere, 2)
    assert found.trials[-1].params.keys() == {"x", "y", "kind"}


def test_a_trial_that_has_some_of_its_settings_gets_the_others() -> None:
    found = study()
    begun = found.ask()
    x = begun.suggest_float("x", 0, 1)
    again = optuna.trial.Trial(found, begun._trial_id)
    assert again.suggest_float("x", 0, 1) == x and 1 <= again.suggest_int("n", 1, 3) <= 3


def test_two_objectives_are_refused() -> None:
    found = optuna.create_study(directions=["maximize", "minimize"], sampler=MultiFidelitySampler(0))
    with pytest.raises(ValueError, match="multi-objective"):
        found.ask().suggest_float("x", 0, 1)


@pytest.mark.parametrize("z", [-8.0, -1.0, 0.0, 3.0])
def test_the_expected_improvement_is_an_integral(z: float) -> None:
    integral = quad(lambda y: y * norm.pdf(y - z), 0, max(z, 0) + 12, epsabs=0, epsrel=1e-9)[0]
    assert log_expected_improvement(np.array([z]))[0] == pytest.approx(math.log(integral), rel=1e-5)


def test_the_expected_improvement_never_vanishes() -> None:
    values = log_expected_improvement(np.array([-1000.0, -20.0, -10.001, -9.999, -5.0]))
    assert np.isfinite(values).all() and (np.diff(values) > 0).all()
