"""What a model of a study's learning curves expects, and how it judges itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from random_study import SPACE, landscape, make_study

from sa_study.analysis.search_model import MIN_TRIALS, SearchModel, search_model
from sa_study.settings.space import Parameter
from sa_study.study.summary import StudySummary
from sa_study.tuning.search.curve_model import Curve


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    return StudySummary.read(make_study(tmp_path_factory.mktemp("model") / "study", 60, running=2))


@pytest.fixture(scope="module")
def model(study: StudySummary) -> SearchModel:
    found = search_model(study)
    assert found is not None
    return found


def test_the_predicted_optimum_is_that_of_the_landscape(model: SearchModel) -> None:
    best = model.optimum
    assert 0.03 < best.settings["lr"] < 0.13 and 0.1 <= best.settings["dropout"] <= 0.5
    assert best.settings.keys() == set(SPACE.search) and best.low < best.median < best.high
    assert best.low < landscape(best.settings) < best.high


def test_the_surface_falls_off_around_the_optimum(model: SearchModel) -> None:
    places, expected = model.surface("lr", "dropout")
    assert places[0] == 0 and places[-1] == 1 and expected.median.shape == (len(places),) * 2
    assert (expected.low <= expected.median).all() and (expected.median <= expected.high).all()
    row, column = np.unravel_index(expected.median.argmax(), expected.median.shape)
    assert 0.4 < places[column] < 0.85 and 0.1 < places[row] < 0.65  # lr 0.02 to 0.15, dropout 0.1 to 0.5
    assert expected.median[:, 0].max() < expected.median.max() - 0.1


def test_predictions_of_held_out_trials_are_checked(study: StudySummary, model: SearchModel) -> None:
    known = [t for t in study.trials if t.ended and t.state != "FAIL" and t.finite_curve]
    assert model.check.trials == len(known)
    assert model.check.correlation > 0.7 and model.check.covered >= 0.8 * len(known)


def test_scores_without_any_relation_to_settings_are_no_guide(study: StudySummary) -> None:
    found = search_model(_with_scores(study, np.random.default_rng(0).random(len(study.trials))))
    assert found is not None and abs(found.check.correlation) < 0.4


def test_a_study_gives_the_same_model_twice(study: StudySummary, model: SearchModel) -> None:
    again = search_model(study)
    assert again is not None and again.optimum == model.optimum and again.check == model.check


def test_settings_that_an_optimum_does_not_have_are_left_out() -> None:
    search = {
        "attention": SPACE.search["attention"],
        "lr": SPACE.search["lr"],
        "momentum": Parameter("float", 0.5, 0.95, when={"attention": ("none",)}),
    }
    space = dataclasses.replace(SPACE, search=search, baseline={"lr": 0.1, "attention": "mean"})
    rng = np.random.default_rng(0)
    configurations = [
        {"attention": kind, "lr": 10 ** rng.uniform(-2.5, -0.6)}
        | ({"momentum": rng.uniform(0.5, 0.95)} if kind == "none" else {})
        for kind in ("mean", "softmax", "none") * 10
    ]
    curves = [Curve((landscape(values),) * 4, True, False) for values in configurations]
    found = SearchModel(space, configurations, curves)
    assert found.optimum.settings["attention"] != "none" and "momentum" not in found.optimum.settings
    assert np.isfinite(found.surface("lr", "momentum")[1].median).all()


def test_too_few_trials_equal_scores_and_settings_of_another_space(
    study: StudySummary, tmp_path: Path
) -> None:
    few = StudySummary.read(make_study(tmp_path / "few", MIN_TRIALS - 1))
    assert search_model(few) is None
    assert search_model(_with_scores(study, [0.5] * len(study.trials))) is None
    assert search_model(StudySummary.read(make_study(tmp_path / "failed", 12, failed_only=True))) is None
    strange = [dataclasses.replace(trial, params={"lr": "high"}) for trial in study.trials[:5]]
    found = search_model(dataclasses.replace(study, trials=(*strange, *study.trials[5:])))
    assert found is not None and found.check.trials <= len(study.trials) - 5


def _with_scores(study: StudySummary, scores: Sequence[float] | np.ndarray) -> StudySummary:
    """The study if each trial had one score from its first epoch to its last."""
    trials = [
        dataclasses.replace(
            trial,
            curve=tuple((progress, float(score)) for progress, _ in trial.curve),
            record=dataclasses.replace(trial.record, best=dict.fromkeys(trial.record.best, float(score))),
        )
        for trial, score in zip(study.trials, scores, strict=True)
    ]
    return dataclasses.replace(study, trials=tuple(trials))
