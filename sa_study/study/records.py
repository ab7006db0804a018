"""What stands in a study: its trials' records, scores and states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace, study_default
from sa_study.study.record_checks import validate_record
from sa_study.training.score import is_new_best
from sa_study.utils.errors import StudyFolderError

STUDY_NAME = "sa_study"
LAUNCH = "launch:"
"""What the study's attributes begin with that tell what a launch has used."""

BASELINE = 0
"""Number of the trial that runs the space's baseline."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_ATTRIBUTE = "record"


@dataclass(frozen=True)
class TrialRecord:
    """What is kept of a trial beside Optuna's own columns, after each of its epochs.

    Attributes:
        last: Figures of the last epoch; empty before the first.
        best: Figures of the best epoch.
        last_checkpoint: Where the last epoch's checkpoint lies, relative to the trials' storage.
        best_checkpoint: Where the best epoch's lies.
        epochs_run: Epochs paid for, also those run again after a fault.
        seconds: Time spent in them.
        gpu_seconds: The same times the trial's GPUs.
        latency: Least milliseconds an image that an epoch's validation took, 0 before the first.
        accumulate: Parts in which a batch's gradient is computed, more than asked once GPU memory was full; 0
            before the first epoch.
        notes: What happened to the trial on its way.
        stopped: Whether the scheduler stopped it.
        failure: Why it failed, or empty.
    """

    last: dict[str, float] = dataclasses.field(default_factory=dict)
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    last_checkpoint: str = ""
    best_checkpoint: str = ""
    epochs_run: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    latency: float = 0.0
    accumulate: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)
    stopped: bool = False
    failure: str = ""

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return int(self.last.get(names.EPOCH, 0))

    @property
    def finished(self) -> bool:
        """Whether the whole schedule was run."""
        return self.last.get(names.PROGRESS, 0.0) >= 100.0

    @property
    def over(self) -> bool:
        """Whether the trial's end is decided."""
        return bool(self.failure) or self.stopped or self.finished

    @property
    def final_state(self) -> TrialState:
        """The state of a trial that ends with this record."""
        if self.failure:
            return TrialState.FAIL
        return TrialState.COMPLETE if self.finished else TrialState.PRUNED

    @property
    def checkpoints(self) -> list[str]:
        """Paths of the checkpoints that the trial can be resumed from, the latest first."""
        return list(dict.fromkeys(path for path in (self.last_checkpoint, self.best_checkpoint) if path))

    @property
    def cost(self) -> float:
        """Seconds of training that its epochs take, each of them once."""
        return self.seconds / self.epochs_run * self.epoch if self.epochs_run else 0.0

    def after_epoch(
        self, figures: Mapping[str, float], metric: str, checkpoint: str, gpus: float = 0.0
    ) -> TrialRecord:
        """The record with one more epoch; the later one of equally good epochs is the best."""
        better = is_new_best(figures, self.best, metric)
        latency = figures.get(names.LATENCY, 0.0)
        return dataclasses.replace(
            self,
            last=dict(figures),
            best=dict(figures) if better else self.best,
            last_checkpoint=checkpoint,
            best_checkpoint=checkpoint if better else self.best_checkpoint,
            epochs_run=self.epochs_run + 1,
            seconds=self.seconds + figures[names.SECONDS],
            gpu_seconds=self.gpu_seconds + gpus * figures[names.SECONDS],
            latency=min(latency, self.latency or latency),
        )


@dataclass(frozen=True)
class TrialEvent:
    """Something that happened to a trial.

    Attributes:
        number: The trial.
        kind: `start`, also when it goes on; `epoch`; `note`; `paused` at a checkpoint by a budget; or the
            state in which the trial ended: `COMPLETE`, `PRUNED`, `FAIL`.
        suggested: Its searched settings.
        record: What it has reached.
        note: What happened to it, in words.
    """

    number: int
    kind: str
    suggested: dict[str, Any]
    record: TrialRecord
    note: str = ""


def step_of(progress: float) -> int:
    """Optuna's step of an epoch: thousandths of the trial's own schedule, so that schedules compare.

    Args:
        progress: Share of the schedule in per cent.
    """
    return round(10 * progress)


def progress_of(step: int) -> float:
    """The share of the schedule, in per cent, that an Optuna step stands for."""
    return step / 10


def trial_folder(number: int) -> str:
    """Name of a trial's folder."""
    return f"trial_{number:04d}"


def read_record(trial: FrozenTrial) -> TrialRecord:
    """The record kept with a trial; an empty one before its first epoch.

    Raises:
        StudyFolderError: It is none that this program writes.
    """
    values = trial.user_attrs.get(_ATTRIBUTE, {})
    try:
        validate_record(values)
    except ValueError as error:
        raise StudyFolderError(f"trial {trial.number}: its record in the study's database {error}") from None
    return TrialRecord(**values)


def write_record(trial: optuna.trial.Trial, record: TrialRecord) -> None:
    """Keeps a record with its trial."""
    trial.set_user_attr(_ATTRIBUTE, dataclasses.asdict(record))


def configuration(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's searched settings, also of one that was queued and not begun."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def trial_settings(space: SearchSpace, suggested: Mapping[str, Any], record: TrialRecord) -> Settings:
    """The complete settings that a trial runs with."""
    more = {names.ACCUMULATE: record.accumulate} if record.accumulate else {}
    return space.settings({**suggested, **more})


def same_validation(space: SearchSpace, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations were scored on the same held-out identities, so that their scores compare.

    Args:
        space: The study's.
        one: A configuration's searched settings.
        other: Another one's.
    """
    fold = space.fixed.get("fold", study_default("fold"))
    return bool(one.get("fold", fold) == other.get("fold", fold))


def objectives(record: TrialRecord, metric: str, minimize: str | None) -> list[float]:
    """A trial's values for Optuna: its score, and the second objective where there is one."""
    second = {names.COST: record.cost, names.LATENCY: record.latency}
    return [record.best[metric], *([second[minimize]] if minimize else [])]
