"""What a study is at a moment: its trials, its leader beside the baseline, what it took and will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.study.config import StudyConfig
from sa_study.study.records import BASELINE, TrialRecord, configuration, read_record

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
_ENDED = ("COMPLETE", "PRUNED", "FAIL")


@dataclass(frozen=True)
class Row:
    """A trial.

    Attributes:
        number: Its number.
        state: One of `STATES`.
        suggested: Its searched settings.
        record: What it has reached.
        epochs: Epochs of its whole schedule.
        curve: The study's metric by epoch.
    """

    number: int
    state: str
    suggested: dict[str, Any]
    record: TrialRecord
    epochs: int
    curve: tuple[float, ...] = ()

    def score(self, metric: str) -> float | None:
        """Its best epoch's metric; None before the first epoch."""
        return self.record.best.get(metric)

    @property
    def progress(self) -> float:
        """The share of its schedule that is run, in per cent."""
        return self.record.last.get(names.PROGRESS, 0.0)

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return self.state in _ENDED


@dataclass(frozen=True)
class Snapshot:
    """A study at a moment.

    Attributes:
        name: The study's folder.
        config: What was asked for.
        rows: Its trials.
        slots: How many trials may run at a time; None where that is not known yet.
        elapsed: Seconds since this launch began; None while none goes on.
        training: The share of the slots' time so far in which a trial was training; None where not known.
        doing: What is done before the trials: a phase, how much of it is done, and how much there is; 0 where
            that is not known.
    """

    name: str
    config: StudyConfig
    rows: Sequence[Row]
    slots: int | None = None
    elapsed: float | None = None
    training: float | None = None
    doing: tuple[str, int, int] | None = None

    def counts(self) -> dict[str, int]:
        """Number of trials in each state, without those that are not there."""
        states = [row.state for row in self.rows]
        return {state: states.count(state) for state in STATES if state in states}

    @property
    def ended(self) -> int:
        """Number of trials that will not go on."""
        return sum(row.ended for row in self.rows)

    @property
    def running(self) -> list[Row]:
        """The trials that run."""
        return [row for row in self.rows if row.state == "RUNNING"]

    @property
    def baseline(self) -> Row | None:
        """The baseline's trial, once it has begun."""
        return next((row for row in self.rows if row.number == BASELINE), None)

    def leaders(self) -> list[Row]:
        """Trials by score, those that can still win or have first, those without a score last."""
        metric = self.config.metric

        def rank(row: Row) -> tuple[bool, bool, float, int]:
            value = row.score(metric)
            return value is None, row.state in ("PRUNED", "FAIL"), -(value or 0.0), row.number

        return sorted(self.rows, key=rank)

    def leader(self) -> Row | None:
        """The trial with the greatest score of those that can win; None before the first epoch."""
        first = next(iter(self.leaders()), None)
        out = first is None or first.score(self.config.metric) is None or first.state in ("PRUNED", "FAIL")
        return None if out else first

    def remaining(self) -> float | None:
        """About how many seconds this launch will go on; None before anything tells.

        Trials to come are taken to cost what those did that have ended, stopped ones included. Budgets count.
        """
        if self.slots is None or self.elapsed is None:
            return None
        run = sum(row.record.epochs_run for row in self.rows)
        if not run:
            return None
        an_epoch = sum(row.record.seconds for row in self.rows) / run
        slots = max(1, self.slots)
        guesses = [self._trials_left(an_epoch) / slots]
        config = self.config
        if config.time_budget is not None:
            guesses.append(config.time_budget - self.elapsed)
        if config.epoch_budget is not None:
            guesses.append((config.epoch_budget - run) * an_epoch / slots)
        if config.gpu_hours is not None and config.gpus_per_trial:
            used = sum(row.record.gpu_seconds for row in self.rows)
            guesses.append((3600 * config.gpu_hours - used) / config.gpus_per_trial / slots)
        return max(0.0, min(guesses))

    def _trials_left(self, an_epoch: float) -> float:
        """Seconds of training that are left."""
        known = [row.record.cost for row in self.rows if row.ended and row.record.epoch]
        begun = [row for row in self.rows if row.state in ("RUNNING", PAUSED)]
        whole = [row.epochs * an_epoch for row in begun]
        a_trial = sum(known or whole) / len(known or whole) if known or whole else 0.0
        left = max(0, self.config.goal - self.ended - len(begun)) * a_trial
        for row, end in zip(begun, whole, strict=True):
            done = row.record.epoch * an_epoch
            left += min(end, a_trial) - done if done < min(end, a_trial) else max(0.0, end - done)
        return left


def rows_of(trials: Sequence[FrozenTrial], config: StudyConfig, *, driven: bool) -> list[Row]:
    """The trials of a study's database.

    Args:
        trials: As Optuna has them.
        config: What was asked for.
        driven: Whether a driver runs the study; where none does, its running trials wait for one.
    """
    return [
        Row(
            number=trial.number,
            state=PAUSED if trial.state.name == "RUNNING" and not driven else trial.state.name,
            suggested=configuration(trial),
            record=read_record(trial),
            epochs=config.space.settings(configuration(trial)).epochs,
            curve=tuple(value for _, value in sorted(trial.intermediate_values.items())),
        )
        for trial in trials
    ]
