"""What an export tells of a study, read once: trials, winner beside baseline, test figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.metrics.comparability import why_not_comparable
from sa_study.provenance import read_provenance
from sa_study.settings.run import Settings, completed
from sa_study.study.config import StudyConfig
from sa_study.study.cost import Cost, study_cost
from sa_study.study.database import open_readonly, read_about, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.records import (
    BASELINE,
    TrialRecord,
    choose_winner,
    configuration,
    read_record,
    same_validation,
    trial_settings,
)
from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.files import read_json

_MAY_DIFFER = {"device", "pretrained", names.ACCUMULATE}
"""Settings that do not say of which trial a checkpoint is: an evaluation sets them itself."""


@dataclass(frozen=True)
class Run:
    """A trial with what it is.

    Attributes:
        trial: The trial.
        record: What is kept with it.
        settings: Its complete settings.
    """

    trial: FrozenTrial
    record: TrialRecord
    settings: Settings


@dataclass(frozen=True)
class StudyFacts:
    """A study.

    Attributes:
        folder: Its folder.
        config: What it was asked to do.
        runs: Its trials, by number.
        about: What is kept with the study beside them.
        cost: What it took.
        provenance: Its data's fingerprint and its launches.
        best: The winner; None while no trial is complete.
        baseline: The baseline; None before it begins.
        tests: Figures of the test set under `best` and `baseline`, where they were evaluated.
        stale: Evaluations that are not of the trials they ought to be of.
    """

    folder: StudyFolder
    config: StudyConfig
    runs: list[Run]
    about: Mapping[str, Any]
    cost: Cost
    provenance: Mapping[str, Any]
    best: Run | None
    baseline: Run | None
    tests: Mapping[str, Mapping[str, Any]]
    stale: list[Path]

    @property
    def why_no_test_difference(self) -> str:
        """Why the test figures must not be subtracted; empty where they may, or where there are not two."""
        if len(self.tests) < 2:
            return ""
        return why_not_comparable(self.tests["best"], self.tests["baseline"])

    @property
    def why_no_validation_difference(self) -> str:
        """Why the validation figures must not be subtracted; empty where they may."""
        if self.best is None or self.baseline is None:
            return ""
        alike = same_validation(self.config.space, self.best.trial.params, self.baseline.trial.params)
        return "" if alike else "they are of different held-out identities"

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials, by number."""
        return [run.trial for run in self.runs]


def read_study(root: Path) -> StudyFacts:
    """Reads a study, also one that runs; writes nothing.

    Raises:
        StudyFolderError: It is none, or damaged.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    database = open_readonly(folder)
    trials = trials_in(database, folder)
    runs = [_checked(trial, config, folder) for trial in trials]
    winner = choose_winner(trials, config.metric)
    by_number = {run.trial.number: run for run in runs}
    best = by_number[winner.number] if winner else None
    baseline = by_number.get(BASELINE)
    about = read_about(database, folder)
    try:
        cost = study_cost(trials, about)
    except (KeyError, TypeError) as error:
        raise StudyFolderError(f"{folder.database}: what it tells of a launch is damaged ({error})") from None
    tests, stale = {}, []
    for name, run, path in (
        ("best", best, folder.evaluation),
        ("baseline", baseline, folder.baseline_evaluation),
    ):
        found = _read_evaluation(path) if path.exists() else None
        if found and run and _is_of(found, run):
            tests[name] = found
        elif found:
            stale.append(path)
    if best is baseline and "best" in tests:  # one checkpoint: it is evaluated once
        tests["baseline"] = tests["best"]
    return StudyFacts(
        folder=folder,
        config=config,
        runs=runs,
        about=about,
        cost=cost,
        provenance=read_provenance(folder.provenance),
        best=best,
        baseline=baseline,
        tests=tests,
        stale=stale,
    )


def _checked(trial: FrozenTrial, config: StudyConfig, folder: StudyFolder) -> Run:
    try:
        if strange := set(trial.params) - set(config.space.search):
            raise ConfigError(f"{min(strange)!r} is not searched")
        record = read_record(trial)
        _require_numbers(record)
        return Run(trial, record, trial_settings(config.space, configuration(trial), record))
    except (ConfigError, StudyFolderError, TypeError, ValueError, AttributeError) as error:
        raise StudyFolderError(
            f"{folder.database}: trial {trial.number} is none of this study ({error})"
        ) from None


def _require_numbers(record: TrialRecord) -> None:
    """A database that another program wrote may hold anything."""
    figures = {**record.last, **{f"best {name}": value for name, value in record.best.items()}}
    figures |= {name: getattr(record, name) for name in ("epochs_run", "seconds", "gpu_seconds", "latency")}
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"its {name} is no number")
    if not isinstance(record.failure, str) or not all(isinstance(note, str) for note in record.notes):
        raise TypeError("its failure or a note is no text")


def _read_evaluation(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
        for figures in (found, found["reranked"]) if found["reranked"] else (found,):
            for name in names.TEST_FIGURES:
                if isinstance(figures[name], str | bool) or not 0 <= figures[name] <= 1:
                    raise ValueError(name)
        for name, kind in (("queries", int), ("gallery", int), ("settings", dict)):
            if type(found[name]) is not kind:
                raise ValueError(name)
    except (OSError, ValueError, KeyError, TypeError):
        raise StudyFolderError(f"{path}: is damaged; 'evaluate' writes it anew") from None
    return dict(found)


def _is_of(evaluation: Mapping[str, Any], run: Run) -> bool:
    """Whether an evaluation is of a trial's best epoch."""
    settings = {**run.settings.to_dict(), **{name: None for name in _MAY_DIFFER}}
    evaluated = {**completed(evaluation["settings"]), **{name: None for name in _MAY_DIFFER}}
    return settings == evaluated and evaluation.get("checkpoint_epoch") == run.record.best.get(names.EPOCH)
