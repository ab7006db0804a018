"""A trial of a study as plain values, and the Pareto front of several."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.settings.space import SearchSpace, study_default
from sa_study.study.config import StudyConfig
from sa_study.study.records import BASELINE, TrialRecord, configuration, progress_of, read_record, step_of
from sa_study.utils.errors import StudyFolderError

PAUSED = "PAUSED"
"""State of a trial that waits for `resume`; to Optuna it is running."""

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", PAUSED, "WAITING")
"""States of a trial in the order of lists: Optuna's names and `PAUSED`."""


@dataclass(frozen=True)
class TrialSummary:
    """One trial of a study.

    Attributes:
        number: Its number.
        state: Name of its state, one of `STATES`.
        params: Its searched settings, also while it is queued.
        metric: The study's metric.
        epochs: Epochs of its whole schedule.
        record: What the database keeps beside Optuna's own columns.
        curve: The metric after each epoch, as pairs of progress in per cent of its schedule and value.
        values: Values of the study's objectives; empty before the trial has them.
        start: When it began, in this machine's time; None if unknown.
        end: When it ended; None before.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    metric: str
    epochs: int
    record: TrialRecord = field(default_factory=TrialRecord)
    curve: tuple[tuple[float, float], ...] = ()
    values: tuple[float, ...] = ()
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, trial: FrozenTrial, config: StudyConfig) -> TrialSummary:
        """Summarises a trial of the database; StudyFolderError if its record or a setting is damaged."""
        params = configuration(trial)
        for name, value in params.items():
            if not isinstance(value, bool | int | float | str | None):
                raise StudyFolderError(f"trial {trial.number}: its {name} is {value!r:.80}, no setting")
        epochs = setting_in(config.space, params, "epochs")
        if type(epochs) is not int:
            raise StudyFolderError(f"trial {trial.number}: its epochs are {epochs!r:.80}, not a number")
        reported = sorted(trial.intermediate_values.items())
        return cls(
            number=trial.number,
            state=trial.state.name,
            params=params,
            metric=config.metric,
            epochs=epochs,
            record=read_record(trial),
            curve=tuple((progress_of(step), value) for step, value in reported),
            values=tuple(trial.values or ()),
            start=trial.datetime_start,
            end=trial.datetime_complete,
        )

    @cached_property
    def finite_curve(self) -> list[tuple[float, float]]:
        """The curve without values that are not finite, as plots and estimates need it."""
        return [(progress, value) for progress, value in self.curve if math.isfinite(value)]

    @property
    def baseline(self) -> bool:
        """Whether it runs the space's baseline."""
        return self.number == BASELINE

    @property
    def complete(self) -> bool:
        """Whether it ran its whole schedule."""
        return self.state == "COMPLETE"

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return self.state in ("COMPLETE", "PRUNED", "FAIL")

    @property
    def progress(self) -> float:
        """The share of its schedule that it has run, in per cent."""
        return self.record.last.get(names.PROGRESS, 0.0)

    @cached_property
    def figures(self) -> dict[str, float]:
        """The validation figures of its best epoch, with their intervals, as far as they are finite."""
        wanted = (*names.RANKING, *itertools.chain.from_iterable(names.INTERVALS.values()))
        best = self.record.best
        return {name: best[name] for name in wanted if math.isfinite(best.get(name, math.nan))}

    @property
    def score(self) -> float | None:
        """Its best epoch's metric; None before its first epoch."""
        return self.figures.get(self.metric)

    def score_after(self, epoch: int) -> float | None:
        """Its metric after an epoch; None where the database does not have it."""
        step = step_of(100 * epoch / self.epochs)
        return next((value for share, value in self.curve if step_of(share) == step), None)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with its best score, whose checkpoint counts; None before the first."""
        return int(self.record.best[names.EPOCH]) if self.record.best else None

    @property
    def second(self) -> float | None:
        """Its value of the second objective; None without one."""
        return self.values[1] if len(self.values) > 1 and math.isfinite(self.values[1]) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of its score's 95 % interval over identities; None where it was not recorded."""
        return self.interval_of(self.metric)

    def interval_of(self, figure: str) -> tuple[float, float] | None:
        """The interval of another figure; None where it has none or none was recorded."""
        if figure not in names.INTERVALS:
            return None
        low, high = (self.figures.get(name) for name in names.INTERVALS[figure])
        return None if low is None or high is None else (low, high)


def pareto_front(trials: Sequence[TrialSummary]) -> list[TrialSummary]:
    """The complete trials that no other beats in both objectives, the greatest score first."""
    complete = [trial for trial in trials if trial.complete and len(trial.values) > 1]
    front: list[TrialSummary] = []
    for trial in sorted(complete, key=lambda trial: (-trial.values[0], trial.values[1], trial.number)):
        if not front or trial.values[1] < front[-1].values[1]:
            front.append(trial)
    return front


def setting_in(space: SearchSpace, params: Mapping[str, Any], name: str) -> Any:
    """A setting's value in a configuration of a space, searched or not; None for an unknown setting."""
    if name in params:
        return params[name]
    if name in space.fixed:
        return space.fixed[name]
    try:
        return study_default(name)
    except AttributeError:
        return None
