"""Which settings mattered, against landscapes whose importances are known, and Optuna's own evaluator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from random_study import distributions
from sklearn.tree import DecisionTreeRegressor
from summaries import study_summary, trial_summary

from sa_study.report.page.importance import (
    MIN_TRIALS,
    ComparableTrials,
    Importance,
    importance,
    leaves,
    samples,
    unit_position,
)
from sa_study.report.page.page_study import PageStudy
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.config import StudyConfig

SEARCH = {
    "lr": Parameter("float", 0.001, 1.0, log=True),
    "dropout": Parameter("float", 0.0, 0.9),
    "epochs": Parameter("int", 10, 100),
    "attention": Parameter("categorical", choices=("mean", "softmax", "none")),
}
BASELINE = {"lr": 0.1, "dropout": 0.5, "epochs": 50, "attention": "mean"}
Landscape = Callable[[dict[str, Any]], float]


def studied(landscape: Landscape, count: int = 300, seed: int = 0) -> tuple[PageStudy, ComparableTrials]:
    """Random configurations of a landscape, as a study would show them."""
    space = SearchSpace(SEARCH, {"pretrained": "none"}, BASELINE, scheduler=Scheduler("none"))
    config = StudyConfig(data_dir=Path("/data"), space=space, trials=max(count, 1))
    rng, trials = np.random.default_rng(seed), []
    for number in range(count):
        params = {
            "lr": float(10 ** rng.uniform(-3, 0)),
            "dropout": float(rng.uniform(0, 0.9)),
            "epochs": int(rng.integers(10, 101)),
            "attention": str(rng.choice(["mean", "softmax", "none"])),
        }
        trials.append(trial_summary(number, "COMPLETE", params, landscape(params)))
    study = study_summary(config, trials)
    return study, samples(study)[0]


def found(landscape: Landscape, count: int = 300) -> Importance:
    result = importance(*studied(landscape, count))
    assert result is not None
    return result


def rate(params: dict[str, Any]) -> float:
    """The learning rate's place between 0 and 1."""
    return math.log10(params["lr"]) / 3 + 1


def test_an_additive_landscape_gives_its_variances() -> None:
    """f = 2a + b: the variances are 4/12 and 1/12, so 80 % and 20 %."""
    result = found(lambda p: 2 * rate(p) + p["dropout"] / 0.9)
    assert list(result.shares)[:2] == ["lr", "dropout"]
    assert result.shares["lr"] == pytest.approx(0.8, abs=0.05)
    assert result.shares["dropout"] == pytest.approx(0.2, abs=0.05)
    assert result.shares["epochs"] < 0.03 and result.shares["attention"] < 0.03
    assert result.fit > 0.9


def test_a_product_is_a_combination() -> None:
    """f = (a − ½)(b − ½): neither explains anything alone."""
    result = found(lambda p: (rate(p) - 0.5) * (p["dropout"] / 0.9 - 0.5), count=400)
    assert result.combinations > 0.6
    assert max(result.shares.values()) < 0.25


def test_a_choice_counts_whatever_the_order_of_the_choices() -> None:
    """f is 1 for the middle choice, 0 for the others, and 0.3 · dropout: 2/9 against 0.0075."""
    result = found(lambda p: float(p["attention"] == "softmax") + 0.3 * p["dropout"] / 0.9)
    assert result.shares["attention"] == pytest.approx(0.967, abs=0.03)


def test_maximised_and_minimised_figures_give_the_same() -> None:
    """Optuna's dashboard once ranked settings of maximised studies by how they reach the worst values."""

    def peak(params: dict[str, Any]) -> float:
        return float(math.exp(-((rate(params) - 0.7) ** 2) / 0.02) + 0.2 * params["dropout"])

    up, down = found(peak), found(lambda params: -peak(params))
    assert up.shares == pytest.approx(down.shares, abs=1e-9)
    assert up.combinations == pytest.approx(down.combinations, abs=1e-9)


def test_optunas_evaluator_says_much_the_same() -> None:
    """Of settings on a linear scale: Optuna's integrates the others over their values, not as searched."""

    def bowl(params: dict[str, Any]) -> float:
        return float(-((params["dropout"] / 0.9 - 0.6) ** 2) - 0.7 * (params["epochs"] / 100 - 0.3) ** 2)

    study, sample = studied(bowl, 200)
    ours = importance(study, sample)
    assert ours is not None
    theirs = optuna.create_study(direction="maximize")
    spread = distributions(study.config.space)
    theirs.add_trials(
        [
            optuna.trial.create_trial(params=dict(trial.params), distributions=spread, value=value)
            for trial, value in zip(sample.trials, sample.values, strict=True)
        ]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
    reference = optuna.importance.get_param_importances(theirs, evaluator=evaluator, normalize=False)
    for name, share in reference.items():
        assert ours.shares[name] == pytest.approx(share, abs=0.06), name


def test_chance_is_called_chance() -> None:
    rng = np.random.default_rng(1)
    assert found(lambda params: float(rng.normal()), count=60).fit < 0.2


@pytest.mark.parametrize("count", [0, 1, MIN_TRIALS - 1])
def test_too_few_trials_say_nothing(count: int) -> None:
    assert importance(*studied(rate, count)) is None


def test_trials_that_do_not_differ_say_nothing() -> None:
    assert importance(*studied(lambda params: 0.5)) is None


def test_stopped_trials_are_compared_where_all_have_come() -> None:
    """Complete ones alone would hide the setting by which the others were weeded out."""
    study, sample = studied(rate, 60)
    space = dataclasses.replace(study.config.space, scheduler=Scheduler("asha", 25.0, 4.0))
    trials = tuple(
        dataclasses.replace(
            trial,
            state="COMPLETE" if value > 0.6 else "PRUNED",
            curve=((20.0, value / 2), (40.0, value), *(((100.0, value),) if value > 0.6 else ())),
        )
        for trial, value in zip(study.trials, sample.values, strict=True)
    )
    study = dataclasses.replace(study, config=dataclasses.replace(study.config, space=space), trials=trials)
    final, rung = samples(study)
    assert len(final.values) < len(rung.values) == 60
    assert rung.values[0] == pytest.approx(sample.values[0] * 0.625), "25 % lies between the epochs"
    result = importance(study, rung)
    assert result is not None and result.shares["lr"] > 0.9


def test_a_tree_is_its_leaves() -> None:
    rng = np.random.default_rng(0)
    points, values = rng.random((80, 3)), rng.random(80)
    sizes = []
    for min_leaf in (1, 5, 80):
        tree = DecisionTreeRegressor(min_samples_leaf=min_leaf, random_state=0).fit(points, values)
        low, high, value = leaves(tree.tree_)
        assert (high - low).prod(axis=1).sum() == pytest.approx(1)
        sizes.append(len(value))
        inside = ((points[:, None] >= low) & (points[:, None] < high)).all(axis=2)
        assert (inside.sum(axis=1) == 1).all(), "the leaves do not overlap"
        assert value[inside.argmax(axis=1)] == pytest.approx(tree.predict(points))
    assert sizes[0] == 80 > sizes[1] > sizes[2] == 1


def test_places_in_the_unit_interval() -> None:
    assert unit_position(SEARCH["lr"], 0.001) == 0 and unit_position(SEARCH["lr"], 1.0) == pytest.approx(1)
    assert unit_position(SEARCH["lr"], 0.0316227766) == pytest.approx(0.5)
    steps = Parameter("int", 1, 4)
    assert [unit_position(steps, value) for value in (1, 2, 3, 4)] == pytest.approx(
        [0.125, 0.375, 0.625, 0.875]
    )
    assert unit_position(SEARCH["lr"], "text") == 0.5 and unit_position(SEARCH["dropout"], 7.0) == 1.0
