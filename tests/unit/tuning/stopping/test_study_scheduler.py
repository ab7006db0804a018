"""What becomes of trials, decided and recorded in one step, on a real database."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from searcher_driver import SearcherDriver, figures

from sa_study.metrics import names
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.records import read_record
from sa_study.tuning.budget import Budget
from sa_study.tuning.search import ray_searcher
from sa_study.tuning.stopping.ray_scheduler import StudyScheduler

EPOCHS = 4
SPACE = SearchSpace(
    search={"lr": Parameter("float", 1e-3, 1.0, log=True)},
    fixed={"pretrained": "none", "epochs": EPOCHS},
    baseline={"lr": 0.1},
    sampler="random",
    scheduler=Scheduler("asha", grace_period=50, reduction_factor=2),
)


class Launch:
    """A launch as Ray drives it, without processes."""

    def __init__(self, driver: SearcherDriver, budget: Budget | None = None, slots: int = 9):
        self.driver = driver
        driver.slots, driver.gpus, driver.budget = slots, 0.5, budget or Budget()
        self.search, self.tracker = driver.launch(), driver.tracker
        self.scheduler = StudyScheduler(SPACE.scheduler, "mAP", self.search, self.tracker, self.trials)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.driver.trials

    def begin(self) -> Any:
        trial_id = f"{id(self)}-{len(self.search._trials)}"
        config = self.search.suggest(trial_id)
        if not isinstance(config, dict):
            return config
        trial = SimpleNamespace(trial_id=trial_id, config=config)
        self.scheduler.on_trial_add(None, trial)
        return trial

    def epoch(
        self, trial: Any, epoch: int, value: float, *, end: bool = True, more: dict[str, Any] | None = None
    ) -> str:
        result = {**figures(epoch, EPOCHS, value), names.SECONDS: 3600.0, **(more or {})}
        return self.report(trial, result, end=end)

    def report(self, trial: Any, result: dict[str, Any], *, end: bool = True) -> str:
        decision = self.scheduler.on_trial_result(None, trial, result)
        if names.HALT not in result:
            self.search.commit(trial.trial_id)  # as the callback does
        if decision == "STOP" and end:
            self.search.on_trial_complete(trial.trial_id, result)
        return decision

    def run(self, values: list[float]) -> str:
        trial, decision = self.begin(), "CONTINUE"
        for epoch, value in enumerate(values, 1):
            decision = self.epoch(trial, epoch, value)
        return decision


@pytest.fixture
def driver(tmp_path: Path) -> SearcherDriver:
    return SearcherDriver(tmp_path, SPACE)


def test_the_baseline_is_never_stopped_but_counts(driver: SearcherDriver) -> None:
    launch = Launch(driver)
    baseline, good = launch.begin(), launch.begin()
    assert launch.epoch(good, 2, 0.9) == "CONTINUE"
    assert launch.epoch(baseline, 2, 0.1) == "CONTINUE"
    assert launch.epoch(launch.begin(), 2, 0.45) == "STOP", "the median of 0.9 and 0.1 is 0.5"
    assert launch.epoch(baseline, 4, 0.1) == "STOP", "its schedule is over"
    assert [trial.state.name for trial in launch.trials] == ["COMPLETE", "RUNNING", "PRUNED"]


def test_a_failed_trial_leaves_no_trace_in_the_rungs(driver: SearcherDriver) -> None:
    launch = Launch(driver)
    launch.run([0.5, 0.5, 0.5, 0.5])
    assert (
        launch.report(launch.begin(), {"mAP": float("nan"), names.FAILURE: "epoch 1: loss is nan"}) == "STOP"
    )
    assert launch.trials[1].state == TrialState.FAIL
    assert read_record(launch.trials[1]).failure == "epoch 1: loss is nan"
    assert launch.epoch(launch.begin(), 2, 0.6) == "CONTINUE"


def test_a_decision_outlives_a_driver_killed_before_it_was_carried_out(driver: SearcherDriver) -> None:
    launch = Launch(driver)
    launch.run([0.5, 0.5, 0.5, 0.5])
    stopped, finished = launch.begin(), launch.begin()
    assert launch.epoch(stopped, 2, 0.1, end=False) == "STOP"
    for epoch in (1, 2, 3, 4):
        launch.epoch(finished, epoch, 0.7, end=False)
    failed = launch.begin()
    launch.report(failed, {names.FAILURE: "epoch 1: loss is nan"}, end=False)
    again = Launch(driver)
    assert [t.state.name for t in again.trials] == ["COMPLETE", "PRUNED", "COMPLETE", "FAIL"]
    assert again.begin().config["number"] == 4


def test_an_epoch_reported_but_not_recorded_is_decided_when_it_is_run_again(
    driver: SearcherDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = Launch(driver)
    launch.run([0.5, 0.5, 0.5, 0.5])
    trial = launch.begin()
    launch.epoch(trial, 1, 0.1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # it dies between the two writes
        patch.setattr(ray_searcher, "write_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        launch.epoch(trial, 2, 0.1)
    assert launch.trials[1].intermediate_values == {250: 0.1, 500: 0.1}
    again = Launch(driver)
    trial = again.begin()
    assert trial.config["number"] == 1
    assert again.epoch(trial, 2, 0.1) == "STOP", "the rung must not take it for one that has passed"


def test_a_spent_budget_stops_every_trial_at_its_next_checkpoint(driver: SearcherDriver) -> None:
    launch = Launch(driver, budget=Budget(epochs=3))
    one, two = launch.begin(), launch.begin()
    assert launch.epoch(one, 1, 0.5) == "CONTINUE"
    assert launch.epoch(two, 1, 0.5) == "CONTINUE"
    assert launch.epoch(one, 2, 0.5) == "STOP", "the third epoch of all"
    assert launch.begin() == "FINISHED"
    assert launch.epoch(two, 2, 0.5) == "STOP"
    assert launch.tracker.stop_reason == "the budget of 3 epochs is spent"
    assert [trial.state.name for trial in launch.trials] == ["RUNNING", "RUNNING"]
    again = Launch(driver, budget=Budget(epochs=100))
    first, second = again.begin(), again.begin()
    assert [t.config["number"] for t in (first, second)] == [0, 1]
    assert first.config["resume_from"][0] == "session_1/trial_0000/checkpoint_000001"
    assert Launch(driver, budget=Budget(epochs=4)).begin() == "FINISHED", "the study's epochs count"


def test_gpu_hours_count_a_shared_gpu_by_its_share(driver: SearcherDriver) -> None:
    launch = Launch(driver, budget=Budget(gpu_hours=1.0))  # an epoch is an hour of half a GPU
    trial = launch.begin()
    assert [launch.epoch(trial, epoch, 0.5) for epoch in (1, 2)] == ["CONTINUE", "STOP"]
    assert read_record(launch.trials[0]).gpu_seconds == 3600


def test_a_fault_that_no_trial_escapes_ends_the_launch_and_loses_nothing(driver: SearcherDriver) -> None:
    launch = Launch(driver)
    trial, other = launch.begin(), launch.begin()
    launch.epoch(trial, 1, 0.5)
    assert launch.report(trial, {"mAP": float("nan"), names.HALT: "no room"}) == "STOP"
    assert launch.epoch(other, 1, 0.5) == "STOP"
    assert launch.tracker.aborted and launch.tracker.stop_reason == "trial 0: no room"
    assert [t.state.name for t in launch.trials] == ["RUNNING", "RUNNING"]
    assert read_record(launch.trials[0]).last[names.EPOCH] == 1


def test_suggestions_wait_for_a_free_slot_and_follow_the_cluster(driver: SearcherDriver) -> None:
    launch = Launch(driver, slots=1)
    first = launch.begin()
    assert launch.begin() is None
    driver.slots = 2  # a node came
    assert launch.begin().config["number"] == 1
    driver.slots = 1  # a node went
    launch.report(first, {names.FAILURE: "x"})
    assert launch.begin() is None


def test_notes_and_parts_are_recorded(driver: SearcherDriver) -> None:
    launch = Launch(driver)
    trial = launch.begin()
    launch.epoch(trial, 1, 0.5, more={names.ACCUMULATE: 1})
    launch.epoch(trial, 2, 0.5, more={names.ACCUMULATE: 2, names.NOTES: ["out of GPU memory in epoch 2"]})
    record = read_record(launch.trials[0])
    assert record.accumulate == 2 and record.notes == ["out of GPU memory in epoch 2"]
    again = Launch(driver)
    assert again.begin().config["settings"][names.ACCUMULATE] == 2


def test_a_launch_keeps_account_of_its_slots(driver: SearcherDriver) -> None:
    launch = Launch(driver, slots=2)
    launch.run([0.5, 0.5, 0.5, 0.5])
    about = optuna.load_study(study_name=None, storage=driver.storage).user_attrs["launch:session_1"]
    assert about["epochs"] == 4 and about["training_seconds"] == 4 * 3600
    assert 0 < about["slot_seconds"] == pytest.approx(2 * about["seconds"])
