"""What is confirmed of a study, and what is said of it in the end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_study import make_study
from synthetic_runs import run

from sa_study.analysis.repeats.confirm import (
    Candidate,
    Confirmation,
    conclude_confirmation,
    plan_begun_before,
    plan_confirmation,
)
from sa_study.settings.space import Parameter, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import CONFIRMS
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, RunFailed

CONFIG = StudyConfig(
    data_dir=Path("/data"),
    space=SearchSpace({"lr": Parameter("float", 0.01, 0.5)}, {"pretrained": "none"}, {"lr": 0.1}),
    trials=5,
)
CANDIDATES = (
    Candidate(0, {"lr": 0.1}, 0.60),
    Candidate(3, {"lr": 0.2}, 0.75),
    Candidate(2, {"lr": 0.3}, 0.74),
)
ASKED = Confirmation(CANDIDATES, (1, 2, 3), (1,), 2)


def concluded(*means: float | None, folds: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """What is said where the candidates have these means; None for one whose second seed fails."""
    asked = Confirmation(CANDIDATES[: len(means)], (1, 2, 3), folds, len(means) - 1)
    runs = [
        run(
            candidate.point, mean or 0.9, seed, fold=fold, failure="nan" if mean is None and seed == 2 else ""
        )
        for candidate, mean in zip(asked.candidates, means, strict=True)
        for seed in asked.seeds
        for fold in folds
    ]
    found = conclude_confirmation(asked, runs, "mAP")
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def test_the_better_one_wins_and_its_figures_are_those_of_its_runs() -> None:
    found = concluded(0.5, 0.6, 0.55)
    assert (found["winner"], found["leader"], found["complete"]) == (3, 3, True)
    row = found["configurations"][1]
    of_runs = [of_run["mAP"] for of_run in row["scores"]]
    assert row["figures"]["mAP"]["mean"] == pytest.approx(np.mean(of_runs))
    assert row["figures"]["mAP"]["std"] == pytest.approx(np.std(of_runs, ddof=1))
    baseline = found["configurations"][0]
    assert baseline["difference"] is None
    difference = row["difference"]["mAP"]
    assert difference["mean"] == pytest.approx(
        row["figures"]["mAP"]["mean"] - baseline["figures"]["mAP"]["mean"]
    )
    assert 0 < difference["low"] < difference["mean"] < difference["high"] and difference["p_better"] > 0.99
    assert found["verdict"].startswith("Trial 3 beats the baseline: +")


def test_no_winner_is_named_where_none_is_shown_to_be_better() -> None:
    equal = concluded(0.5, 0.5005, 0.5)
    assert equal["winner"] is None and "shown to beat" in equal["verdict"]
    worse = concluded(0.6, 0.5, 0.4)
    assert (worse["winner"], worse["leader"]) == (None, 0)
    assert worse["verdict"].startswith("None of the 2 leading configurations beats the baseline")


def test_intervals_of_several_hold_together_and_are_wider() -> None:
    one, two = concluded(0.5, 0.6), concluded(0.5, 0.6, 0.5)
    width = [
        found["configurations"][1]["difference"]["mAP"]["high"]
        - found["configurations"][1]["difference"]["mAP"]["low"]
        for found in (one, two)
    ]
    assert width[0] < width[1] and (one["comparisons"], two["comparisons"]) == (1, 2)


def test_a_configuration_of_which_a_run_failed_cannot_win() -> None:
    found = concluded(0.5, None, 0.6)
    assert found["winner"] == 2 and found["runs"] == {"asked": 9, "ended": 9, "failed": 1}
    assert found["configurations"][1]["failed"] == 1 and found["configurations"][1]["figures"]
    nothing = conclude_confirmation(
        ASKED, [run(CANDIDATES[1].point, 0.5, seed) for seed in (1, 2, 3)], CONFIG.metric
    )
    assert nothing["winner"] is None and not nothing["complete"]
    assert "some of the baseline's runs failed" in nothing["verdict"]


def test_nothing_is_confirmed_where_a_run_of_the_baseline_failed() -> None:
    runs = [run(CANDIDATES[0].point, 0.4, seed, failure="nan" if seed == 2 else "") for seed in (1, 2, 3)]
    runs += [run(CANDIDATES[1].point, 0.8, seed) for seed in (1, 2, 3)]
    found = conclude_confirmation(Confirmation(CANDIDATES[:2], (1, 2, 3), (1,), 1), runs, "mAP")
    assert found["winner"] is None and found["configurations"][1]["difference"]["mAP"]["low"] > 0
    assert found["verdict"].startswith("Nothing is confirmed: some of the baseline's runs failed")


def test_a_proven_one_wins_over_a_greater_mean_that_is_not() -> None:
    wild = [run(CANDIDATES[2].point, mean, seed) for seed, mean in enumerate((0.3, 0.6, 0.95), start=1)]
    tame = [
        run(candidate.point, mean, seed)
        for candidate, mean in ((CANDIDATES[0], 0.5), (CANDIDATES[1], 0.6))
        for seed in (1, 2, 3)
    ]
    found = conclude_confirmation(ASKED, [*tame, *wild], "mAP")
    _, proven, greater = found["configurations"]
    assert greater["figures"]["mAP"]["mean"] > proven["figures"]["mAP"]["mean"]
    assert greater["difference"]["mAP"]["low"] < 0 < proven["difference"]["mAP"]["low"]
    assert found["winner"] == found["leader"] == 3 and found["verdict"].startswith("Trial 3 beats")


def test_the_winners_curse_is_what_the_studys_own_winner_has_lost() -> None:
    curse = concluded(0.5, 0.6, 0.55)["curse"]
    assert curse["trial"] == 3 and curse["study_lead"] == pytest.approx(0.15)
    assert curse["low"] < curse["lead"] < curse["high"] < 0.15


def test_there_is_no_curse_where_the_study_had_no_lead() -> None:
    behind = (CANDIDATES[0], dataclasses.replace(CANDIDATES[1], score=0.55))
    runs = [run(candidate.point, 0.5, seed) for candidate in behind for seed in (1, 2, 3)]
    assert conclude_confirmation(Confirmation(behind, (1, 2, 3), (1,), 1), runs, "mAP")["curse"] is None


def test_several_folds_are_paired_fold_by_fold() -> None:
    found = concluded(0.5, 0.6, folds=(1, 2))
    assert found["winner"] == 3 and len(found["configurations"][1]["scores"]) == 6


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    return StudySummary.read(make_study(tmp_path_factory.mktemp("made") / "study", 30))


def test_leaders_are_the_best_complete_trials_beside_the_baseline(study: StudySummary) -> None:
    config = study.config
    asked = plan_confirmation(study, top=3, seeds=2, folds=2)
    complete = [trial for trial in study.trials if trial.complete and trial.number]
    best = sorted(complete, key=lambda trial: -(trial.score or 0))[:3]
    assert [candidate.trial for candidate in asked.candidates] == [0, *(trial.number for trial in best)]
    assert asked.candidates[0].point == config.space.baseline
    assert asked.seeds == (1, 2) and asked.folds == (1, 2), "neither the study's seed nor its fold"
    points = asked.initial_trials.configurations
    assert len(points) == 4 * 2 * 2 and points[0] == {**config.space.baseline, "seed": 1, "fold": 1}
    assert len({json.dumps(point, sort_keys=True) for point in points}) == 16


def test_the_study_of_the_repeats_can_run_all_of_them(study: StudySummary, tmp_path: Path) -> None:
    config = study.config
    asked = plan_confirmation(study, top=3, seeds=2, folds=1)
    made = asked.study(config)
    made.write(tmp_path / "study.yaml")
    assert StudyConfig.read(tmp_path / "study.yaml") == made, "folds may differ in it, unlike in a search"
    assert made.space.scheduler.name == "none" and made.goal == 8
    for point in asked.initial_trials.configurations:
        assert set(point) == set(made.space.search)
        assert all(made.space.search[name].contains(value) for name, value in point.items())
    assert made.space.settings(asked.initial_trials.configurations[0]).fold == 1


@pytest.mark.parametrize(
    ("numbers", "naming"),
    [
        ({"folds": 5}, "--folds: 5 is not between 1 and 4"),
        ({"folds": 0}, "--folds: 0"),
        ({"seeds": 1}, "--seeds: 1"),
    ],
)
def test_numbers_out_of_range(study: StudySummary, numbers: dict[str, int], naming: str) -> None:
    with pytest.raises(ConfigError, match=naming):
        plan_confirmation(study, top=1, seeds=numbers.get("seeds", 2), folds=numbers.get("folds", 1))


def test_a_study_without_a_second_complete_trial(study: StudySummary) -> None:
    with pytest.raises(RunFailed, match="nothing to confirm"):
        plan_confirmation(dataclasses.replace(study, trials=study.trials[:1]), top=1, seeds=2, folds=1)


def test_what_was_begun_is_ended_also_if_the_study_has_better_ones_now() -> None:
    folder = StudyFolder(Path("/s/confirm"))
    about = json.loads(json.dumps(dict(ASKED.initial_trials.user_attrs)))
    kept = about[CONFIRMS]
    now = Confirmation((CANDIDATES[0], Candidate(9, {"lr": 0.4}, 0.9)), (4, 5, 6, 7), (1,), 2)
    assert plan_begun_before(about, now, folder) == Confirmation(CANDIDATES, (1, 2, 3, 4), (1,), 2)
    for other, naming in (
        (Confirmation(CANDIDATES, (1, 2), (1,), 3), "--top: 3, but .* begun with 2"),
        (Confirmation(CANDIDATES, (1, 2), (1, 2), 2), "--folds: 2, but .* begun with 1"),
    ):
        with pytest.raises(ConfigError, match=naming):
            plan_begun_before(about, other, folder)
    for damaged in ({}, {"candidates": [3]}, {**kept, "top": "x"}, {**kept, "folds": None}):
        with pytest.raises(ConfigError, match="stored plan is damaged, or of another version; remove"):
            plan_begun_before({CONFIRMS: damaged}, ASKED, folder)
    with pytest.raises(ConfigError, match="'confirm' did not make"):
        plan_begun_before({CONFIRMS: 3}, ASKED, folder)
