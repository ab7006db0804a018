"""Budgets and slot time, by a clock that the tests set."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from sa_study.study.records import TrialRecord
from sa_study.tuning.budget import Budget, BudgetTracker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_slot_time_follows_the_slots() -> None:
    clock, slots = Clock(), [2]
    tracker = BudgetTracker(Budget(), [], lambda: slots[0], clock=clock)
    clock.now += 10
    assert tracker.slots() == 2
    slots[0] = 3
    clock.now += 5
    tracker.add_epoch(4.0)
    used = tracker.to_dict()
    assert used == {"seconds": 15.0, "slot_seconds": 10 * 2 + 5 * 3, "training_seconds": 4.0, "epochs": 1}


@pytest.mark.parametrize(
    ("budget", "text", "larger"),
    [
        (Budget(seconds=60), "the time budget", ()),
        (Budget(epochs=12), "12 epochs", ("--epoch-budget", "24")),
        (Budget(gpu_hours=0.5), "0.5 GPU-hours", ("--gpu-hours", "1")),
    ],
)
def test_whichever_budget_is_spent_first_ends_the_launch(
    budget: Budget, text: str, larger: tuple[str, ...]
) -> None:
    clock = Clock()
    earlier = [TrialRecord(epochs_run=5, gpu_seconds=600.0), TrialRecord(epochs_run=5, gpu_seconds=600.0)]
    tracker = BudgetTracker(budget, earlier, lambda: 1, gpus=0.5, clock=clock)
    tracker.add_epoch(600.0)
    clock.now += 30
    assert not tracker.stop_reason
    tracker.add_epoch(600.0)
    clock.now += 30
    assert text in tracker.stop_reason and not tracker.aborted
    assert tracker.larger_budget == larger


def test_patience_counts_finished_trials_without_a_better_score() -> None:
    tracker = BudgetTracker(Budget(patience=3), [], lambda: 1)
    complete, pruned, failed = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    before = [(complete, 0.5), (pruned, 0.9), (complete, 0.4), (complete, 0.6)]
    after = [(pruned, None), (failed, None), (complete, 0.6), (failed, None), (complete, 0.2)]
    for state, score in before + after:
        assert not tracker.stop_reason
        tracker.count_trial(state, score)
    assert tracker.stop_reason == "3 finished trials in a row brought nothing better"
    assert tracker.larger_budget == ("--patience", "6")
    tracker.count_trial(complete, 0.9)
    assert tracker.stop_reason, "once it stops, it stops"


def test_a_fault_stays_the_reason() -> None:
    clock = Clock()
    tracker = BudgetTracker(Budget(seconds=10), [], lambda: 1, clock=clock)
    tracker.abort("no room")
    clock.now += 100
    assert tracker.stop_reason == "no room" and tracker.aborted
