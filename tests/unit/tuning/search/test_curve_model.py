"""What the model of learning curves takes from trials, and what it expects of others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.special import ndtri
from scipy.stats import rankdata

from sa_study.tuning.search.curve_model import CurveModel, _normal_scores, read_curve

LEVELS = (0.1, 0.3)
UP, DOWN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
SPACE = {"x": FloatDistribution(0.0, 1.0)}


def trial(
    curve: dict[int, float], state: TrialState = TrialState.PRUNED, value: float | None = None, x: float = 0.5
) -> FrozenTrial:
    return create_trial(
        state=state, value=value, params={"x": x}, distributions=dict(SPACE), intermediate_values=curve
    )


@pytest.mark.parametrize(
    ("of", "values"),
    [
        (trial({}, TrialState.RUNNING), ()),
        (trial({50: 0.3}, TrialState.RUNNING), ()),
        (trial({50: 0.3}), (0.3,)),
        (trial({50: 0.3, 100: 0.2, 200: 0.9}), (0.3,)),
        (trial({100: 0.2, 300: 0.4, 500: 0.9}), (0.2, 0.4)),
        (trial({250: 0.2, 500: 0.4}), (0.2, 0.4)),
        (trial({100: math.nan, 200: 0.2, 300: math.inf}), (0.2,)),
        (trial({100: 0.2, 300: 0.4, 1000: 0.3}, TrialState.COMPLETE, 0.4), (0.2, 0.4, 0.4)),
        (trial({}, TrialState.COMPLETE, 0.4), (0.4, 0.4, 0.4)),
        (trial({1000: math.nan}, TrialState.FAIL), ()),
    ],
)
def test_a_curve_is_the_best_value_at_each_level(of: FrozenTrial, values: tuple[float, ...]) -> None:
    curve = read_curve(of, UP, LEVELS, 1000)
    assert curve.values == values
    assert (curve.ended, curve.failed) == (of.state.is_finished(), of.state == TrialState.FAIL)


def test_what_is_minimised_is_turned_round() -> None:
    assert read_curve(trial({100: 0.4, 300: 0.2}), DOWN, LEVELS, 1000).values == (-0.4, -0.2)


def fitted(trials: list[FrozenTrial], **options: Any) -> CurveModel:
    curves = [read_curve(trial, options.get("direction", UP), LEVELS, 1000) for trial in trials]
    model = CurveModel(SPACE, [trial.params for trial in trials], curves, LEVELS)
    model.fit()
    return model


def parabola(count: int, *, sign: float = 1.0) -> list[FrozenTrial]:
    """Scores with their best at 0.7; of three trials one is complete, the others are stopped at a level."""
    trials = []
    for number, x in enumerate(np.random.default_rng(0).random(count)):
        value = sign * (1 - (x - 0.7) ** 2)
        curve = {100: value - sign * 0.5, 300: value - sign * 0.2, 1000: value}
        if number % 3 == 0:
            trials.append(trial(curve, TrialState.COMPLETE, value, x))
        else:
            trials.append(trial(dict(list(curve.items())[: number % 3]), x=x))
    return trials


@pytest.mark.parametrize(("direction", "sign"), [(UP, 1.0), (DOWN, -1.0)])
def test_stopped_trials_tell_of_the_end(direction: StudyDirection, sign: float) -> None:
    model = fitted(parabola(24, sign=sign), direction=direction)
    places = np.linspace(0, 1, 101)[:, None]
    means, deviations = model.predict(places)
    assert places[means.argmax(), 0] == pytest.approx(0.7, abs=0.06)
    assert np.isfinite(means).all() and (deviations > 0).all()


def test_a_place_that_failed_is_expected_to_be_bad() -> None:
    failed = [trial({100: 0.9}, TrialState.FAIL, x=x) for x in (0.68, 0.7, 0.72)]
    means, _ = fitted([*parabola(24), *failed]).predict(np.array([[0.1], [0.5], [0.7]]))
    assert means[2] < means[0] and means[2] < means[1]


def test_a_running_trial_makes_its_place_certain() -> None:
    place = np.array([[0.97]])
    before = fitted(parabola(24)).predict(place)[1]
    after = fitted([*parabola(24), trial({}, TrialState.RUNNING, x=0.97)]).predict(place)[1]
    assert after < before / 2


def test_many_trials_are_thinned() -> None:
    model = fitted(parabola(2000))
    means, _ = model.predict(np.linspace(0, 1, 101)[:, None])
    assert means.argmax() == pytest.approx(70, abs=5)


def test_normal_scores_stand_for_values() -> None:
    model = fitted([trial({100: value}, TrialState.COMPLETE, value) for value in (0.1, 0.2, 0.4, 0.8)])
    scores = np.array([-9.0, -0.5, 0.0, 0.5, 9.0])
    values = model.values(scores)
    assert (np.diff(values) > 0).all() and values[2] == pytest.approx(0.3)
    assert values[0] < 0.1 and values[-1] > 0.8


def test_equal_values_have_equal_scores() -> None:
    values = np.array([0.3, 0.1, 0.3, 0.3, 0.9, 0.1])
    assert (_normal_scores(values) == ndtri((rankdata(values) - 0.5) / len(values))).all()


def test_a_prediction_of_one_trial_is_less_certain_than_that_of_the_mean() -> None:
    model, places = fitted(parabola(24)), np.array([[0.2], [0.7]])
    (means, deviations), (same, noisy) = model.predict(places), model.predict(places, noisy=True)
    assert (means == same).all() and (noisy > deviations).all()


def test_stopped_trials_are_raised_by_what_others_gained() -> None:
    curves = [trial({100: 0.1, 300: 0.3, 1000: 0.6}, TrialState.COMPLETE, 0.6), trial({100: 0.2})]
    assert fitted(curves).comparable_values() == pytest.approx({0: 0.6, 1: 0.2 + 0.2 + 0.3})
