"""Early stopping by share of the schedule, the baseline's exemption, and rungs that outlive a launch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from ray.tune.schedulers import FIFOScheduler

from sa_study import keys
from sa_study.space import Scheduler
from sa_study.study.scheduler import ProgressASHA, make_scheduler

HALVING = Scheduler("asha", grace_period=25, reduction_factor=2)


def asha(earlier: list[optuna.trial.FrozenTrial] | None = None) -> ProgressASHA:
    scheduler = make_scheduler(HALVING, earlier or [])
    assert isinstance(scheduler, ProgressASHA)
    scheduler.set_search_properties("mAP", "max")
    return scheduler


def add(scheduler: ProgressASHA, number: int, session: str = "x") -> Any:
    trial = SimpleNamespace(trial_id=f"{session}{number}", config={"number": number})
    scheduler.on_trial_add(None, trial)
    return trial


def report(scheduler: ProgressASHA, trial: Any, progress: float, value: float) -> str:
    return scheduler.on_trial_result(None, trial, {keys.PROGRESS: progress, "mAP": value})


def test_trials_of_different_length_meet_at_the_same_share() -> None:
    scheduler = asha()
    first, second, third = (add(scheduler, number) for number in (1, 2, 3))
    assert report(scheduler, first, 25, 0.5) == "CONTINUE"
    assert report(scheduler, second, 12.5, 0.1) == "CONTINUE", "no rung there"
    assert report(scheduler, second, 25, 0.6) == "CONTINUE"
    assert report(scheduler, third, 30, 0.4) == "STOP"
    assert report(scheduler, first, 100, 0.0) == "STOP", "its schedule is over"


def test_the_baseline_is_never_stopped_but_counts() -> None:
    scheduler = asha()
    good, baseline, middling = (add(scheduler, number) for number in (1, 0, 2))
    assert report(scheduler, good, 25, 0.9) == "CONTINUE"
    assert report(scheduler, baseline, 25, 0.1) == "CONTINUE"
    assert report(scheduler, middling, 25, 0.55) == "CONTINUE", "median of 0.9 and 0.1 is 0.5"
    assert report(scheduler, baseline, 100, 0.1) == "STOP"


def test_a_failed_trial_leaves_no_trace_in_the_rungs() -> None:
    scheduler = asha()
    failed, other = add(scheduler, 1), add(scheduler, 2)
    scheduler.on_trial_result(None, failed, {"mAP": float("nan"), keys.FAILURE: "diverged"})
    controller: Any = None
    scheduler.on_trial_complete(controller, failed, {"mAP": float("nan"), keys.FAILURE: "diverged"})
    assert report(scheduler, other, 25, 0.1) == "CONTINUE"


def earlier_trial(number: int, values: dict[int, float]) -> optuna.trial.FrozenTrial:
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values=values)
    trial.number = number
    return trial


@pytest.mark.parametrize("value", [0.2, 0.4, 0.55, 0.7])
def test_a_relaunch_decides_as_if_it_had_never_stopped(value: float) -> None:
    history = {1: {250: 0.5, 500: 0.6}, 2: {250: 0.3}, 3: {250: 0.6, 500: 0.5}}
    alone = asha()
    for number, values in history.items():
        trial = add(alone, number)
        for step, earlier in values.items():
            report(alone, trial, step / 10, earlier)
    again = asha([earlier_trial(number, values) for number, values in history.items()])
    for scheduler in (alone, again):
        scheduler.newcomer = add(scheduler, 4)  # type: ignore[attr-defined]
    for progress in (25, 50):
        decisions = {report(s, s.newcomer, progress, value) for s in (alone, again)}  # type: ignore[attr-defined]
        assert len(decisions) == 1


def test_an_interrupted_trial_keeps_its_places() -> None:
    scheduler = asha([earlier_trial(5, {250: 0.1}), earlier_trial(6, {250: 0.9})])
    trial = add(scheduler, 5, session="again")
    assert report(scheduler, trial, 40, 0.1) == "CONTINUE", "it passed this rung before the interruption"
    assert all("earlier-5" not in recorded for _, recorded in scheduler._brackets[0]._rungs)


def test_no_early_stopping() -> None:
    assert isinstance(make_scheduler(Scheduler("none"), []), FIFOScheduler)
