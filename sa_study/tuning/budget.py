"""What a launch uses and may use: slots, epochs, training time, GPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sa_study.study.records import TrialRecord


@dataclass(frozen=True)
class Budget:
    """What ends a launch before all its trials have ended; None does not.

    Attributes:
        seconds: Time of this launch.
        epochs: Epochs of the whole study.
        gpu_hours: GPU time of the whole study, a shared GPU by its share.
    """

    seconds: float | None = None
    epochs: int | None = None
    gpu_hours: float | None = None


class Meter:
    """Counts what a launch uses, and tells when it is to end.

    Once it is over no trial begins, and each running one is stopped at its next checkpoint, to go on later.

    Args:
        budget: What may be used.
        earlier: The records of the study's trials so far.
        capacity: How many trials may run at this moment.
        gpus: GPUs a trial.
        clock: Gives the time in seconds.

    Attributes:
        gpus: GPUs a trial.
        over: Why the launch is to end, or empty.
        failed: Whether that is a fault, and no spent budget.
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
        self.failed = False
        self._budget = budget
        self._capacity = capacity
        self._clock = clock
        records = list(earlier)
        self._epochs_before = sum(record.epochs_run for record in records)
        self._gpu_seconds_before = sum(record.gpu_seconds for record in records)
        self._epochs = 0
        self._training = 0.0
        self._slot_seconds = 0.0
        self._halted = ""
        self._started = self._last = clock()

    @property
    def over(self) -> str:
        """Why the launch is to end, or empty."""
        if not self._halted:
            self._halted = self._spent()
        return self._halted

    def slots(self) -> int:
        """How many trials may run now; the time since the last call counts as theirs."""
        now, slots = self._clock(), self._capacity()
        self._slot_seconds += (now - self._last) * slots
        self._last = now
        return slots

    def add_epoch(self, seconds: float) -> None:
        """Counts an epoch, also one that is run again."""
        self.slots()
        self._epochs += 1
        self._training += seconds

    def halt(self, reason: str) -> None:
        """Ends the launch because of a fault that no other trial would escape; the first one counts."""
        if not self.failed:
            self._halted, self.failed = reason, True

    def to_dict(self) -> dict[str, Any]:
        """The launch's use: seconds since its start, of its slots and of training; epochs."""
        return {
            "seconds": self._last - self._started,
            "slot_seconds": self._slot_seconds,
            "training_seconds": self._training,
            "epochs": self._epochs,
        }

    def _spent(self) -> str:
        budget = self._budget
        if budget.seconds is not None and self._clock() - self._started >= budget.seconds:
            return "the time budget is spent"
        if budget.epochs is not None and self._epochs_before + self._epochs >= budget.epochs:
            return f"the budget of {budget.epochs} epochs is spent"
        hours = (self._gpu_seconds_before + self._training * self.gpus) / 3600
        if budget.gpu_hours is not None and hours >= budget.gpu_hours:
            return f"the budget of {budget.gpu_hours:g} GPU-hours is spent"
        return ""
