"""What a page shows of a study, as plain values: read without writing, also while the study runs.

Knows Optuna's database through `sa_study.study`, and no drawing library.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.report.page.evaluations import read_evaluations, read_or_notice
from sa_study.report.page.text import finite, plain
from sa_study.report.page.trust import Trust, read_trust
from sa_study.settings.space import default_of
from sa_study.study.config import StudyConfig
from sa_study.study.cost import Cost, study_cost
from sa_study.study.database import open_readonly, read_about, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import holder
from sa_study.study.records import (
    BASELINE,
    TrialRecord,
    choose_winner,
    pareto_front,
    progress_of,
    read_record,
)
from sa_study.utils.errors import StudyFolderError


@dataclass(frozen=True)
class TrialView:
    """One trial.

    Attributes:
        number: Its number.
        state: Optuna's name of its state.
        params: Its searched settings.
        score: Its best epoch's metric, or None before its first epoch.
        figures: All validation figures of that epoch.
        best_epoch: That epoch, or None.
        epoch: Completed epochs.
        epochs: Epochs of its whole schedule, or None before the first.
        seconds: Time spent in its epochs.
        gpu_seconds: The same times its GPUs.
        second: The second objective of a completed trial, or None.
        curve: Progress in per cent of the schedule, and the metric there.
        began: When it began, in seconds since 1970, or None.
        ended: When it ended; None while it has not.
        failure: Why it failed, or empty.
        notes: What happened on its way.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    score: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    epoch: int = 0
    epochs: int | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    second: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    began: float | None = None
    ended: float | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> bool:
        """Whether it runs the space's baseline."""
        return self.number == BASELINE

    @property
    def complete(self) -> bool:
        """Whether it ran its whole schedule."""
        return self.state == "COMPLETE"

    def value_at(self, progress: float) -> float | None:
        """Its metric at a share of the schedule, between two epochs by a straight line; None before that."""
        if not self.curve or self.curve[-1][0] < progress - 1e-9:
            return None
        before = self.curve[0]
        for point in self.curve:
            if point[0] >= progress:
                if point[0] == before[0]:
                    return point[1]
                part = (progress - before[0]) / (point[0] - before[0])
                return before[1] + part * (point[1] - before[1])
            before = point
        return before[1]


@dataclass(frozen=True)
class StudyView:
    """A study.

    Attributes:
        root: Its folder, absolute.
        config: What it was asked to do.
        trials: All trials, by number.
        winner: Number of the winning trial, or None.
        front: Numbers of the Pareto front's trials, of a study with two objectives.
        driver: Who runs it now, or empty.
        cost: What it has cost.
        evaluations: Test figures: `best`, and `baseline`, as far as they were computed.
        fingerprint: Of the training images.
        launches: What `provenance.json` tells of each launch.
        notices: What could not be read.
        trust: What tells how far its figures can be trusted.
        read_at: When it was read, in seconds since 1970.
    """

    root: Path
    config: StudyConfig
    trials: tuple[TrialView, ...] = ()
    winner: int | None = None
    front: tuple[int, ...] = ()
    driver: str = ""
    cost: Cost = field(default_factory=lambda: Cost(0, 0.0, 0.0, None))
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fingerprint: str = ""
    launches: tuple[Mapping[str, Any], ...] = ()
    notices: tuple[str, ...] = ()
    trust: Trust = field(default_factory=Trust)
    read_at: float = field(default_factory=time.time)

    @property
    def best(self) -> TrialView | None:
        """The winning trial."""
        return next((trial for trial in self.trials if trial.number == self.winner), None)

    @property
    def baseline(self) -> TrialView | None:
        """The trial of the space's baseline."""
        return next((trial for trial in self.trials if trial.baseline), None)

    @property
    def complete(self) -> list[TrialView]:
        """Complete trials, the best first."""
        trials = [trial for trial in self.trials if trial.complete and trial.score is not None]
        return sorted(trials, key=lambda trial: (-(trial.score or 0.0), trial.number))

    @property
    def ended(self) -> int:
        """Number of trials that have ended."""
        return sum(trial.state in ("COMPLETE", "PRUNED", "FAIL") for trial in self.trials)

    @property
    def states(self) -> dict[str, int]:
        """Number of trials in each state that occurs."""
        states = [trial.state for trial in self.trials]
        return {
            name: states.count(name)
            for name in ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
            if name in states
        }

    @property
    def params(self) -> list[str]:
        """Every searched setting that the space or a trial names."""
        named = [*self.config.space.search, *(name for trial in self.trials for name in trial.params)]
        return list(dict.fromkeys(named))

    def value(self, trial: TrialView, name: str) -> Any:
        """What a setting is in a trial, also where it was not searched; None for an unknown one."""
        if name in trial.params:
            return trial.params[name]
        if name in self.config.space.fixed:
            return self.config.space.fixed[name]
        try:
            return default_of(name)
        except AttributeError:
            return None


def evaluates_winner(study: StudyView) -> bool:
    """Whether `evaluation.json` is of the trial that wins now."""
    settings = study.evaluations.get("best", {}).get("settings")
    best = study.best
    if best is None or not isinstance(settings, Mapping):
        return False
    return all(settings.get(name) == value for name, value in best.params.items())


def read_view(root: Path) -> StudyView:
    """Reads a study's folder; writes nothing.

    Raises:
        StudyFolderError: It is no study's folder, or its description or database is damaged. What is merely
            told beside it, such as `evaluation.json`, is left out with a notice.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    database = open_readonly(folder)
    return make_view(folder, config, trials_in(database, folder), read_about(database, folder))


def make_view(
    folder: StudyFolder, config: StudyConfig, frozen: Sequence[FrozenTrial], about: Mapping[str, Any]
) -> StudyView:
    """As `read_view`, of a database that was read already.

    Args:
        folder: The study's folder.
        config: What the study was asked to do.
        frozen: Its trials.
        about: What is kept with the study beside its trials.

    Raises:
        StudyFolderError: A trial's record is damaged.
    """
    frozen = list(frozen)
    notices: list[str] = []
    provenance = read_or_notice(folder.provenance, notices)
    launches = provenance.get("launches", [])
    try:
        records = [read_record(trial) for trial in frozen]
        views = tuple(map(_trial, frozen, records))
        winner = choose_winner(frozen, config.metric)
        front = tuple(trial.number for trial in pareto_front(frozen)) if config.minimize else ()
        cost = study_cost(frozen, about)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        raise StudyFolderError(
            f"{folder.database}: holds records that this version cannot read ({plain(error, 120)})"
        ) from None
    return StudyView(
        root=folder.root,
        config=config,
        trials=tuple(
            _scored(view, record, config.metric) for view, record in zip(views, records, strict=True)
        ),
        winner=None if winner is None else winner.number,
        front=front,
        driver=str(holder(folder.lock) or ""),
        cost=cost,
        evaluations=read_evaluations(folder, notices),
        trust=read_trust(folder, notices),
        fingerprint=plain(provenance.get("data_fingerprint", "")),
        launches=tuple(launch for launch in launches if isinstance(launch, dict))
        if isinstance(launches, list)
        else (),
        notices=tuple(notices),
    )


def _trial(trial: FrozenTrial, record: TrialRecord) -> TrialView:
    progress = finite(record.last.get(names.PROGRESS))
    curve = sorted(
        (progress_of(step), value)
        for step, value in trial.intermediate_values.items()
        if finite(value) is not None
    )
    values = trial.values or []
    return TrialView(
        number=trial.number,
        state=trial.state.name,
        params=dict(trial.params),
        epoch=record.epoch,
        epochs=round(100 * record.epoch / progress) if progress else None,
        seconds=finite(record.seconds) or 0.0,
        gpu_seconds=finite(record.gpu_seconds) or 0.0,
        second=finite(values[1]) if len(values) > 1 else None,
        curve=tuple(curve),
        began=_seconds(trial.datetime_start),
        ended=_seconds(trial.datetime_complete),
        failure=plain(record.failure),
        notes=tuple(plain(note) for note in record.notes),
    )


def _scored(view: TrialView, record: TrialRecord, metric: str) -> TrialView:
    scores = (*names.RANKING, *itertools.chain(*names.INTERVALS.values()))
    figures = {name: value for name in scores if (value := finite(record.best.get(name))) is not None}
    epoch = finite(record.best.get(names.EPOCH))
    score = figures.get(metric)
    return TrialView(
        **{
            **vars(view),
            "score": score,
            "figures": figures,
            "best_epoch": None if epoch is None else int(epoch),
        }
    )


def _seconds(moment: datetime | None) -> float | None:
    """Optuna's moments are in this machine's local time."""
    return None if moment is None else moment.timestamp()
