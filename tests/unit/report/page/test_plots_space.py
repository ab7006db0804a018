"""What the page draws and says of the model of the learning curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_study import make_study

from sa_study.analysis.search_model import search_model
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plots_space import surface_axes, surfaces
from sa_study.report.page.render import render
from sa_study.report.page.sentences import search_model_lines


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PageStudy:
    return PageStudy.read(make_study(tmp_path_factory.mktemp("space") / "study", 40, running=2))


def test_the_expected_score_and_its_uncertainty_are_drawn(study: PageStudy) -> None:
    model = search_model(study)
    assert surface_axes(study, []) == ("lr", "dropout")
    score, uncertainty = surfaces(study, model, ("lr", "dropout"))
    assert model is not None and score is not None and uncertainty is not None
    assert np.shape(score.data[0].z) == np.shape(uncertainty.data[0].z) == (41, 41)
    dots = [point for trace in score.data[1:-1] for point in trace.text]
    assert len(dots) == sum(trial.score is not None for trial in study.trials)
    assert score.data[-1].marker.symbol == "cross" and 0 < score.data[-1].x[0] < 1


def test_the_page_says_what_it_predicts_and_how_predictions_held(study: PageStudy) -> None:
    model = search_model(study)
    assert model is not None
    optimum, held_out = search_model_lines(study, model)
    assert f"lr={model.optimum.settings['lr']:.4g}" in optimum
    assert f"{model.check.covered} of the scores" in held_out and "a good guide" in held_out
    page = render(study)
    assert optimum in page and 'id="plot-surface"' in page and 'id="plot-uncertainty"' in page


def test_a_metric_without_recorded_intervals_is_shown_without_one(study: PageStudy) -> None:
    assert study.winner is not None and study.winner.interval_of("rank5") is None


def test_without_enough_trials_it_says_what_is_needed(tmp_path: Path) -> None:
    study = PageStudy.read(make_study(tmp_path / "study", 5))
    assert surfaces(study, search_model(study), ("lr", "dropout")) == (None, None)
    assert "two searched numbers and 8 trials" in render(study)
