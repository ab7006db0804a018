"""A study at one moment: its trials, the leader beside the baseline, its cost and the time that is left."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sa_study.provenance import last_slots
from sa_study.study.config import StudyConfig
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

PAUSED = "PAUSED"
"""The state of a trial that waits for `resume`; to Optuna it is running."""

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", PAUSED, "WAITING")
STYLES = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "RUNNING": "cyan",
    PAUSED: "magenta",
    "WAITING": "dim",
}


@dataclass(frozen=True)
class StudySnapshot:
    """A study at a moment.

    Attributes:
        name: The study's folder, as text.
        config: The study's description.
        rows: Its trials.
        slots: How many trials may run at a time; None where that is not known yet.
        elapsed: Seconds since this launch began; None while none goes on.
        training: The share of the slots' time so far in which a trial was training; None where not known.
        phase: What is done before the trials: a phase, how much of it is done, and how much there is; 0 where
            that is not known.
    """

    name: str
    config: StudyConfig
    trials: Sequence[TrialSummary]
    slots: int | None = None
    elapsed: float | None = None
    training: float | None = None
    phase: tuple[str, int, int] | None = None

    @classmethod
    def of(cls, study: StudySummary, name: str) -> StudySnapshot:
        """A study on disk at the moment it was read."""
        driver = study.driver
        return cls(
            name,
            study.config,
            study.trials if driver else paused(study.trials),
            slots=last_slots(study.folder.provenance) if driver else None,
            training=study.cost.training_share,
            elapsed=max(time.time() - driver.since, 0.0) if driver else None,
        )

    def counts(self) -> dict[str, int]:
        """Number of trials in each state, without those that are not there."""
        states = [row.state for row in self.trials]
        return {state: states.count(state) for state in STATES if state in states}

    @property
    def ended(self) -> int:
        """Number of trials that will not go on."""
        return sum(row.ended for row in self.trials)

    @property
    def running(self) -> list[TrialSummary]:
        """The trials that run."""
        return [row for row in self.trials if row.state == "RUNNING"]

    @property
    def baseline(self) -> TrialSummary | None:
        """The baseline's trial, once it has begun."""
        return next((row for row in self.trials if row.baseline), None)

    def leaders(self) -> list[TrialSummary]:
        """Trials by score, those that can still win or have first, those without a score last."""

        def rank(row: TrialSummary) -> tuple[bool, bool, float, int]:
            return row.score is None, row.state in ("PRUNED", "FAIL"), -(row.score or 0.0), row.number

        return sorted(self.trials, key=rank)

    def leader(self) -> TrialSummary | None:
        """The trial with the greatest score of those that can win; None before the first epoch."""
        first = next(iter(self.leaders()), None)
        out = first is None or first.score is None or first.state in ("PRUNED", "FAIL")
        return None if out else first

    def remaining(self) -> float | None:
        """About how many seconds this launch will take; None before the first epoch.

        Trials to come are taken to cost what those did that have ended, stopped ones included. Budgets count.
        """
        if self.slots is None or self.elapsed is None:
            return None
        run = sum(row.record.epochs_run for row in self.trials)
        if not run:
            return None
        an_epoch = sum(row.record.seconds for row in self.trials) / run
        slots = max(1, self.slots)
        guesses = [self._trials_left(an_epoch) / slots]
        config = self.config
        if config.time_budget is not None:
            guesses.append(config.time_budget - self.elapsed)
        if config.epoch_budget is not None:
            guesses.append((config.epoch_budget - run) * an_epoch / slots)
        if config.gpu_hours is not None and config.gpus_per_trial:
            used = sum(row.record.gpu_seconds for row in self.trials)
            guesses.append((3600 * config.gpu_hours - used) / config.gpus_per_trial / slots)
        return max(0.0, min(guesses))

    def _trials_left(self, an_epoch: float) -> float:
        """Seconds of training that are left."""
        known = [row.record.cost for row in self.trials if row.ended and row.record.epoch]
        begun = [row for row in self.trials if row.state in ("RUNNING", PAUSED)]
        whole = [row.epochs * an_epoch for row in begun]
        a_trial = sum(known or whole) / len(known or whole) if known or whole else 0.0
        left = max(0, self.config.goal - self.ended - len(begun)) * a_trial
        for row, end in zip(begun, whole, strict=True):
            done = row.record.epoch * an_epoch
            left += min(end, a_trial) - done if done < min(end, a_trial) else max(0.0, end - done)
        return left


def paused(trials: Iterable[TrialSummary]) -> list[TrialSummary]:
    """The trials of a study that no driver runs: those that have not ended wait for one."""
    return [dataclasses.replace(one, state=PAUSED) if one.state == "RUNNING" else one for one in trials]
