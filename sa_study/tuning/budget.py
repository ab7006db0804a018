"""Budgets: what ends a launch before all its trials have ended, and how much of each is used.

To add one, add a field of `Budget` and its test in `BudgetTracker`. The field's value comes from an option of
`ResumeOptions` in `cli/options.py`, by `StudyChanges` and `StudyConfig`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sa_study.study.config import StudyConfig
from sa_study.study.records import ENDED, TrialRecord, read_record
from sa_study.utils.text import plural


@dataclass(frozen=True)
class Budget:
    """Limits that end a launch before all its trials have ended; None for no limit.

    Attributes:
        seconds: Duration of this launch.
        epochs: Epochs of all trials, over all launches of the study.
        gpu_hours: GPU-hours of training, over all launches; a shared GPU counts by its share.
        patience: Finished trials in a row, in the order of their ends, of which none is better than the best
            before them. The first complete trial is better than nothing; one that was stopped early brings
            nothing better; one that failed does not count.
    """

    seconds: float | None = None
    epochs: int | None = None
    gpu_hours: float | None = None
    patience: int | None = None

    @classmethod
    def of(cls, config: StudyConfig) -> Budget:
        """The budgets that a study was given."""
        return cls(config.time_budget, config.epoch_budget, config.gpu_hours, config.patience)


class BudgetTracker:
    """Tracks the budget of a launch and decides when the launch is to stop.

    From then on no trial begins, and each running one is paused at its next checkpoint, where `resume`
    continues it.

    Args:
        budget: The limits.
        earlier: The records of the study's trials so far.
        capacity: Gives the number of trials that may run at this moment.
        gpus: GPUs a trial.
        clock: Gives the time in seconds.

    Attributes:
        gpus: GPUs a trial.
        aborted: Whether a fault stops the launch, not a spent budget.
    """

    def __init__(
        self,
        budget: Budget,
        earlier: Iterable[TrialRecord],
        capacity: Callable[[], int],
        gpus: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.gpus = gpus
        self.aborted = False
        self._budget = budget
        self._capacity = capacity
        self._clock = clock
        records = list(earlier)
        self._earlier_epochs = sum(record.epochs_run for record in records)
        self._earlier_gpu_seconds = sum(record.gpu_seconds for record in records)
        self._epochs = 0
        self._training_seconds = 0.0
        self._slot_seconds = 0.0
        self._best_score = -math.inf
        self._without_gain = 0
        self._stop_reason = ""
        self._larger_budget: tuple[str, ...] = ()
        self._started = self._updated = clock()

    @classmethod
    def of_study(
        cls,
        config: StudyConfig,
        trials: Iterable[FrozenTrial],
        capacity: Callable[[], int] = lambda: 0,
        gpus: float = 0.0,
    ) -> BudgetTracker:
        """A tracker of a study's budgets, of which its trials have used a part."""
        trials = list(trials)
        tracker = cls(Budget.of(config), map(read_record, trials), capacity, gpus)
        for trial in sorted((trial for trial in trials if trial.state in ENDED), key=_end_of):
            tracker.count_trial(trial.state, trial.values[0] if trial.values else None)
        return tracker

    @property
    def stop_reason(self) -> str:
        """Why the launch is to stop; empty while it is not."""
        if not self._stop_reason:
            self._stop_reason, self._larger_budget = self._spent_budget()
        return self._stop_reason

    @property
    def larger_budget(self) -> tuple[str, ...]:
        """Options with which a study goes on that a budget has stopped; empty where it does without any."""
        return self._larger_budget

    def slots(self) -> int:
        """The number of trials that may run now; the time since the last call is counted for each of them."""
        now, slots = self._clock(), self._capacity()
        self._slot_seconds += (now - self._updated) * slots
        self._updated = now
        return slots

    def add_epoch(self, seconds: float) -> None:
        """Counts a completed epoch, also one that was run again after a fault."""
        self.slots()
        self._epochs += 1
        self._training_seconds += seconds

    def count_trial(self, state: TrialState, score: float | None) -> None:
        """Counts a trial that has ended; `score` is that of a complete one."""
        if state == TrialState.COMPLETE and score is not None and score > self._best_score:
            self._best_score, self._without_gain = score, 0
        elif state in (TrialState.COMPLETE, TrialState.PRUNED):
            self._without_gain += 1

    def abort(self, reason: str) -> None:
        """Stops the launch because of a fault that every trial would meet; the first fault's reason stays."""
        if not self.aborted:
            self._stop_reason, self.aborted = reason, True

    def to_dict(self) -> dict[str, Any]:
        """What this launch has used: wall seconds, slot-seconds, seconds of training, and epochs."""
        return {
            "seconds": self._updated - self._started,
            "slot_seconds": self._slot_seconds,
            "training_seconds": self._training_seconds,
            "epochs": self._epochs,
        }

    def _spent_budget(self) -> tuple[str, tuple[str, ...]]:
        """Which budget is spent, and the option for twice as much; the time is each launch's own."""
        budget = self._budget
        if budget.seconds is not None and self._clock() - self._started >= budget.seconds:
            return "the time budget is spent", ()
        if budget.epochs is not None and self._earlier_epochs + self._epochs >= budget.epochs:
            larger = ("--epoch-budget", str(2 * budget.epochs))
            return f"the budget of {budget.epochs} epochs is spent", larger
        hours = (self._earlier_gpu_seconds + self._training_seconds * self.gpus) / 3600
        if budget.gpu_hours is not None and hours >= budget.gpu_hours:
            larger = ("--gpu-hours", f"{2 * budget.gpu_hours:g}")
            return f"the budget of {budget.gpu_hours:g} GPU-hours is spent", larger
        if budget.patience is not None and self._without_gain >= budget.patience:
            trials = f"{plural(self._without_gain, 'finished trial')}{' in a row' * (self._without_gain > 1)}"
            return f"{trials} brought nothing better", ("--patience", str(2 * self._without_gain))
        return "", ()


def _end_of(trial: FrozenTrial) -> tuple[float, int]:
    return trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0, trial.number
