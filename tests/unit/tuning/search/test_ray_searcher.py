"""The search as Ray drives it, on a real database, without a cluster."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from searcher_driver import SPACE, SearcherDriver, figures

from sa_study.metrics import names
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.records import BASELINE, read_record
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.search.initial_trials import create_study
from sa_study.tuning.search.ray_searcher import StudySearcher


@pytest.fixture
def driver(tmp_path: Path) -> SearcherDriver:
    return SearcherDriver(tmp_path)


def run_trial(
    search: StudySearcher, trial_id: str, values: list[float], *, stop: bool = False
) -> dict[str, Any]:
    """Reports one value an epoch; with `stop` the scheduler stops it at the last."""
    config: dict[str, Any] = search.suggest(trial_id)
    epochs = config["settings"]["epochs"]
    for epoch, value in enumerate(values, 1):
        result = figures(epoch, epochs, value)
        search.on_trial_result(trial_id, result)
        search.record_epoch(trial_id, result, stopped=stop and epoch == len(values))
        search.commit(trial_id)
    search.on_trial_complete(trial_id, result=result)
    return config


def test_the_baseline_comes_first_with_complete_settings(driver: SearcherDriver) -> None:
    config = driver.launch().suggest("a")
    assert config["number"] == BASELINE and config["suggested"] == SPACE.baseline
    assert config["settings"]["lr"] == 0.1 and config["settings"]["pretrained"] == "none"
    assert config["settings"]["precision"] == "auto" and config["resume_from"] == []


def test_a_whole_trial_is_complete_with_its_best_epochs_value(driver: SearcherDriver) -> None:
    run_trial(driver.launch(), "a", [0.1, 0.5, 0.5, 0.3])
    (trial,) = driver.trials
    assert trial.state == TrialState.COMPLETE and trial.value == 0.5
    assert trial.intermediate_values == {250: 0.1, 500: 0.5, 750: 0.5, 1000: 0.3}
    record = read_record(trial)
    assert record.best[names.EPOCH] == 3, "the later of equals, whose checkpoint Ray keeps"
    assert record.best_checkpoint == "session_1/trial_0000/checkpoint_000002"
    assert record.last_checkpoint == "session_1/trial_0000/checkpoint_000003"
    assert record.seconds == 8.0 and record.finished and "trial_id" not in record.last


def test_a_stopped_trial_is_pruned_with_every_value(driver: SearcherDriver) -> None:
    run_trial(driver.launch(), "a", [0.1, 0.2], stop=True)
    (trial,) = driver.trials
    assert trial.state == TrialState.PRUNED and trial.value == 0.2
    assert trial.intermediate_values == {250: 0.1, 500: 0.2}


def test_a_trial_that_diverged_has_failed_and_says_why(driver: SearcherDriver) -> None:
    search = driver.launch()
    search.suggest("a")
    result = {"mAP": math.nan, names.FAILURE: "epoch 1: loss is nan"}
    search.record_failure("a", str(result[names.FAILURE]))
    search.commit("a")
    search.on_trial_complete("a", result=result)
    (trial,) = driver.trials
    assert trial.state == TrialState.FAIL and read_record(trial).failure == "epoch 1: loss is nan"


def test_a_trial_whose_process_died_has_failed(driver: SearcherDriver) -> None:
    search = driver.launch()
    search.suggest("a")
    search.record_epoch("a", figures(1, 4, 0.2), stopped=False)
    search.commit("a")
    search.on_trial_complete("a", error=True)
    (trial,) = driver.trials
    assert trial.state == TrialState.FAIL and "error.txt" in read_record(trial).failure
    assert read_record(trial).best["mAP"] == 0.2


def test_an_interrupted_trial_goes_on_under_its_number(driver: SearcherDriver) -> None:
    search = driver.launch()
    search.suggest("a")
    begun = search.suggest("b")
    search.record_epoch("b", figures(1, 8, 0.2), stopped=False)
    search.commit("b")
    again = driver.launch()
    first, second = again.suggest("c"), again.suggest("d")
    assert [first["number"], second["number"]] == [0, 1]
    assert second["suggested"] == begun["suggested"]
    assert (first["resume_from"], second["resume_from"]) == ([], ["session_1/trial_0001/checkpoint_000000"])
    assert again.suggest("e")["number"] == 2


def test_a_trial_that_had_reported_its_last_epoch_is_ended_not_repeated(driver: SearcherDriver) -> None:
    search = driver.launch()
    search.suggest("a")
    for epoch in range(1, 5):
        search.record_epoch("a", figures(epoch, 4, epoch / 10), stopped=False)
        search.commit("a")
    assert driver.launch().suggest("b")["number"] == 1
    assert driver.trials[0].state == TrialState.COMPLETE and driver.trials[0].value == 0.4


def test_a_restarted_trial_may_repeat_epochs(driver: SearcherDriver) -> None:
    search = driver.launch()
    search.suggest("a")
    for epoch in (1, 2, 2, 3, 4):
        search.record_epoch("a", figures(epoch, 4, epoch / 10), stopped=False)
        search.commit("a")
    search.on_trial_complete("a", result=figures(4, 4, 0.4))
    (trial,) = driver.trials
    record = read_record(trial)
    assert trial.value == 0.4
    assert (record.epochs_run, record.seconds, record.cost) == (5, 10.0, 8.0), "paid for five, four count"
    assert list(trial.intermediate_values.values()) == [0.1, 0.2, 0.3, 0.4]


def suggestions(folder: Path, seed: int, relaunch_after: int = 99) -> list[dict[str, Any]]:
    folder.mkdir()
    driver = SearcherDriver(folder, seed=seed)
    search = driver.launch()
    found = []
    for number in range(14):
        if number == relaunch_after:
            search = driver.launch()
        value = abs(math.sin(number))
        config = run_trial(search, str(number), [value / 2, value], stop=True)
        found.append(config["suggested"])
    return found


def test_seeds_reproduce_the_suggestions_also_over_a_relaunch(tmp_path: Path) -> None:
    first = suggestions(tmp_path / "a", seed=3)
    assert suggestions(tmp_path / "b", seed=3) == first
    assert suggestions(tmp_path / "c", seed=3, relaunch_after=12) == first
    assert suggestions(tmp_path / "d", seed=4) != first
    assert len({str(point) for point in first}) == 14, "no suggestion repeats another"
    for point in first:
        assert all(SPACE.search[name].contains(value) for name, value in point.items())


def test_a_grid_runs_every_point_once_and_the_baseline_first(tmp_path: Path) -> None:
    search = {
        "attention": Parameter("categorical", choices=("none", "mean")),
        "epochs": Parameter("categorical", choices=(2, 4)),
    }
    space = SearchSpace(
        search, {}, {"attention": "mean", "epochs": 4}, sampler="grid", scheduler=Scheduler("none")
    )
    driver = SearcherDriver(tmp_path, space)
    ray_search = driver.launch()
    points = [ray_search.suggest(str(number))["suggested"] for number in range(4)]
    assert points[0] == space.baseline and len({tuple(point.values()) for point in points}) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_two_objectives_are_told_and_searched(tmp_path: Path, sampler: str) -> None:
    driver = SearcherDriver(tmp_path, dataclasses.replace(SPACE, sampler=sampler))
    create_study(driver.storage, ("maximize", "minimize"))
    options: Any = {"space": driver.space, "metric": "mAP", "storage": driver.storage, "seed": 0}
    tracker = BudgetTracker(Budget(), [], lambda: 1)
    search = StudySearcher(**options, session="session_1", tracker=tracker, minimize=names.COST)
    for number in range(12):
        config: dict[str, Any] = search.suggest(str(number))
        epochs = config["settings"]["epochs"]
        for epoch in range(1, epochs + 1):
            result = figures(epoch, epochs, config["suggested"]["dropout"])
            search.record_epoch(str(number), result, stopped=False)
            search.commit(str(number))
        search.on_trial_complete(str(number), result=result)
    for trial in driver.trials:
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [trial.params["dropout"], 2.0 * trial.params["epochs"]]


def test_an_existing_study_is_never_taken_for_a_new_one(driver: SearcherDriver) -> None:
    run_trial(driver.launch(), "a", [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        create_study(driver.storage)
    assert len(driver.trials) == 1
