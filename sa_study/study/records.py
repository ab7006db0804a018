"""What a study's database keeps of its trials and launches, checked when it is read: anyone can edit it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import optuna
from optuna.trial import FrozenTrial, TrialState

from sa_study.metrics import names
from sa_study.settings.groups import MAX_EPOCHS
from sa_study.settings.run import Settings
from sa_study.settings.space import SearchSpace, study_default
from sa_study.training.score import is_new_best
from sa_study.utils.errors import StudyFolderError

STUDY_NAME = "sa_study"
LAUNCH = "launch:"
"""Prefix of the study's attributes that record what each launch has used."""

CONFIRMS, ABLATES = "confirms", "ablates"
"""Names of the attributes by which the studies of `confirm` and `ablate` are known: the plan, and a mark."""

BASELINE = 0
"""Number of the trial that runs the space's baseline."""

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_ATTRIBUTE = "record"
_CHECKPOINT_PATH = re.compile(r"([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)?")
_MAX_NUMBER = 1e15


@dataclass(frozen=True)
class TrialRecord:
    """What a trial has reached, kept beside Optuna's own columns and updated after each epoch.

    Attributes:
        last: Figures of the last epoch; empty before the first.
        best: Figures of the best epoch.
        last_checkpoint: The last epoch's checkpoint, a path relative to the trials' storage.
        best_checkpoint: The best epoch's.
        epochs_run: Epochs that were trained, also those repeated after a failure.
        seconds: Time spent in them.
        gpu_seconds: `seconds` times the number of the trial's GPUs.
        latency: Least milliseconds per image of any epoch's validation; 0 before the first epoch.
        accumulate: Parts in which a batch's gradient is computed, more than asked if GPU memory was full; 0
            before the first epoch.
        notes: Events of the trial, in words.
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
        """Whether the trial has ended, or will without another epoch."""
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
        """Seconds of training, counting each epoch once."""
        return self.seconds / self.epochs_run * self.epoch if self.epochs_run else 0.0

    def after_epoch(
        self, figures: Mapping[str, float], metric: str, checkpoint: str, gpus: float = 0.0
    ) -> TrialRecord:
        """The record with one more epoch; the later of equally good epochs is the best."""
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


_FIELD_TYPES = {field.name: str(field.type) for field in dataclasses.fields(TrialRecord)}


@dataclass(frozen=True)
class TrialEvent:
    """Something that happened to a trial.

    Attributes:
        number: The trial.
        kind: `start`, also when it resumes; `epoch`; `note`; `paused` at a checkpoint by a budget; or the
            state in which the trial ended: `COMPLETE`, `PRUNED`, `FAIL`.
        suggested: Its searched settings.
        record: The trial's record.
        note: The event in words.
    """

    number: int
    kind: str
    suggested: dict[str, Any]
    record: TrialRecord
    note: str = ""


def step_of(progress: float) -> int:
    """Optuna's step for a progress in per cent: thousandths of the schedule, comparable between trials."""
    return round(10 * progress)


def progress_of(step: int) -> float:
    """The share of the schedule, in per cent, that an Optuna step stands for."""
    return step / 10


def read_record(trial: FrozenTrial) -> TrialRecord:
    """A trial's record, empty before its first epoch; StudyFolderError if this program writes no such one."""
    values = trial.user_attrs.get(_ATTRIBUTE, {})
    try:
        _validate_record(values)
    except ValueError as error:
        raise StudyFolderError(f"trial {trial.number}: its record in the study's database {error}") from None
    return TrialRecord(**values)


def write_record(trial: optuna.trial.Trial, record: TrialRecord) -> None:
    """Keeps a record with its trial."""
    trial.set_user_attr(_ATTRIBUTE, dataclasses.asdict(record))


def configuration(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's searched settings, also while it is queued."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def trial_settings(space: SearchSpace, suggested: Mapping[str, Any], record: TrialRecord) -> Settings:
    """The complete settings that a trial runs with."""
    more = {names.ACCUMULATE: record.accumulate} if record.accumulate else {}
    return space.settings({**suggested, **more})


def same_validation(space: SearchSpace, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations of a space are scored, and comparable, on the same held-out identities."""
    fold = space.fixed.get("fold", study_default("fold"))
    return bool(one.get("fold", fold) == other.get("fold", fold))


def objectives(record: TrialRecord, metric: str, minimize: str | None) -> list[float]:
    """A trial's values for Optuna: its score, and the second objective where there is one."""
    second = {names.COST: record.cost, names.LATENCY: record.latency}
    return [record.best[metric], *([second[minimize]] if minimize else [])]


def validate_result(values: Mapping[str, Any], needed: Iterable[str]) -> None:
    """Checks an epoch's line in Ray's result file, which must have the progress and these figures.

    Raises:
        ValueError: No trial reports such a line; says why.
    """
    name = f"epoch {_printable(values.get(names.EPOCH))}"
    for figure in (names.PROGRESS, *needed, *filter(names.tag_of, values)):
        value = values.get(figure)
        if not isinstance(value, float) and not _is_finite_number(value):
            raise ValueError(f"{name}: {figure} is {_printable(value)}, not a number")
    _validate_figures(f"{name}:", values)


def validate_launch(used: object) -> None:
    """Raises a ValueError, with the reason, unless an attribute records what a launch has used."""
    if not isinstance(used, Mapping) or not {"slot_seconds", "training_seconds"} <= used.keys():
        raise ValueError("does not record what the launch has used")
    for name, value in used.items():
        _validate_amount(name, value)


def _validate_record(values: object) -> None:
    """Checks that values are those of a `TrialRecord`, by the type of each field."""
    if not isinstance(values, Mapping):
        raise ValueError(f"is of type {type(values).__name__}")
    for name, value in values.items():
        kind = _FIELD_TYPES.get(name)
        if kind is None:
            raise ValueError(f"has the unknown field {name!r}")
        if kind in ("int", "float"):
            _validate_amount(name, value, whole=kind == "int")
        elif kind.startswith("dict"):
            _validate_figures(f"is wrong: {name}", value)
        elif kind.startswith("list"):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"has {name} that are not texts")
        elif not isinstance(value, bool if kind == "bool" else str):
            raise ValueError(f"has a wrong {name}: {_printable(value)}")
        elif name.endswith("_checkpoint") and not _CHECKPOINT_PATH.fullmatch(str(value)):
            raise ValueError(f"has a wrong {name}: {value!r} leaves the trials' storage")


def _validate_amount(name: str, value: object, *, whole: bool = False) -> None:
    if not _is_finite_number(value) or value < 0 or (whole and not isinstance(value, int)):
        raise ValueError(f"has a wrong {name}: {_printable(value)}")


def _validate_figures(which: str, figures: object) -> None:
    if not isinstance(figures, Mapping):
        raise ValueError(f"{which} is {_printable(figures)}, not figures by name")
    bounds = [name for ends in names.INTERVALS.values() for name in ends]
    for name in (*names.RANKING, *bounds, names.SECONDS, names.LATENCY, names.EPOCH, names.PROGRESS):
        value = figures.get(name, 1)
        # A ranking figure that is not finite is kept as such; it never wins.
        if not _is_finite_number(value) and not (isinstance(value, float) and name in names.RANKING):
            raise ValueError(f"{which} {name} is no number ({_printable(value)})")
    if not figures:
        return
    epoch, progress = figures.get(names.EPOCH), figures.get(names.PROGRESS, 0.0)
    if epoch is None or epoch != int(epoch) or not 1 <= epoch <= MAX_EPOCHS:
        raise ValueError(f"{which} epoch is {_printable(epoch)}, not one of 1 to {MAX_EPOCHS}")
    if not 0 <= progress <= 100 + 1e-6:
        raise ValueError(f"{which} progress is {_printable(progress)}, not per cent")


def _is_finite_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _printable(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | None) else type(value).__name__
