"""The one read model of a study on disk: terminal, page, JSON, exports, audit and reproduction share it.

Reading writes nothing, also while the study runs. What lies beside the database is read when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sa_study.provenance import read_provenance
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, study_attributes, trials_in
from sa_study.study.evaluations import ConfirmationSummary, read_confirmation, read_evaluation, same_settings
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import Driver, current_driver
from sa_study.study.records import LAUNCH, TrialRecord, same_validation, trial_settings
from sa_study.study.test_ledger import LedgerSummary, ledger_summary
from sa_study.study.trial_summary import STATES, TrialSummary, pareto_front, setting_in
from sa_study.utils.errors import ConfigError, StudyFolderError


@dataclass(frozen=True)
class Cost:
    """Epochs and time spent on a study, those lost to faults included.

    Attributes:
        epochs: Epochs of all trials.
        seconds: Time spent in them.
        gpu_seconds: The same times the trials' GPUs, a shared GPU by its share.
        training_share: Of the time that slots were held, the share in which a trial was training; None before
            the first epoch.
    """

    epochs: int
    seconds: float
    gpu_seconds: float
    training_share: float | None


def study_cost(records: Sequence[TrialRecord], attributes: Mapping[str, Any]) -> Cost:
    """Adds up what a study has cost.

    Args:
        records: Those of its trials.
        attributes: What the database keeps of the study; its launches are among it.
    """
    launches = [used for name, used in attributes.items() if name.startswith(LAUNCH)]
    held = sum(used["slot_seconds"] for used in launches)
    training = sum(used["training_seconds"] for used in launches)
    return Cost(
        epochs=sum(record.epochs_run for record in records),
        seconds=sum(record.seconds for record in records),
        gpu_seconds=sum(record.gpu_seconds for record in records),
        training_share=training / held if held else None,
    )


@dataclass(frozen=True, eq=False)
class StudySummary:
    """A study as it stands.

    Attributes:
        folder: Its folder.
        config: What it was asked to do.
        trials: Its trials, by number.
        attributes: What the database keeps of the study beside its trials.
        driver: The process that runs it; None where none does.
        read_at: When it was read, in seconds since 1970.
    """

    folder: StudyFolder
    config: StudyConfig
    trials: tuple[TrialSummary, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    driver: Driver | None = None
    read_at: float = field(default_factory=time.time)

    @classmethod
    def read(cls, root: Path) -> Self:
        """Reads a study's description and database.

        Raises:
            StudyFolderError: The folder holds no study, or one of both is damaged.
        """
        folder = StudyFolder.existing(root)
        config, database = StudyConfig.read(folder.config), open_readonly(folder)
        # Before the trials: a driver that ends in between would leave some that run without one.
        driver = current_driver(folder.lock)
        try:
            trials = tuple(TrialSummary.of(trial, config) for trial in trials_in(database, folder))
        except StudyFolderError as error:
            raise StudyFolderError(f"{folder.database}: {error}") from None
        return cls(folder, config, trials, study_attributes(database, folder), driver)

    @cached_property
    def winner(self) -> TrialSummary | None:
        """The complete trial with the greatest score, the earlier of equals; None while none is complete."""
        return next(iter(self.complete), None)

    @property
    def baseline(self) -> TrialSummary | None:
        """The trial of the space's baseline; None before it begins."""
        return next((trial for trial in self.trials if trial.baseline), None)

    @cached_property
    def complete(self) -> list[TrialSummary]:
        """Complete trials, the best first."""
        scored = [(trial.score, trial) for trial in self.trials if trial.complete]
        found = [(-score, trial.number, trial) for score, trial in scored if score is not None]
        return [trial for *_, trial in sorted(found, key=lambda item: item[:2])]

    @cached_property
    def front(self) -> list[TrialSummary]:
        """The Pareto front: complete trials that no other beats in both objectives, the best score first."""
        return pareto_front(self.trials) if self.config.minimize else []

    @property
    def ended(self) -> int:
        """Number of trials that have ended."""
        return sum(trial.ended for trial in self.trials)

    @property
    def states(self) -> dict[str, int]:
        """Number of trials in each state that occurs."""
        found = [trial.state for trial in self.trials]
        return {state: found.count(state) for state in STATES if state in found}

    @cached_property
    def cost(self) -> Cost:
        """Epochs and time that the study has cost."""
        return study_cost([trial.record for trial in self.trials], self.attributes)

    @property
    def storage_uri(self) -> str:
        """Folder or URI that holds the trials' results and checkpoints."""
        return self.config.storage_path or str(self.folder.trials)

    def value(self, trial: TrialSummary, name: str) -> Any:
        """What a setting is in a trial, searched or not; None for a setting that there is not."""
        return setting_in(self.config.space, trial.params, name)

    def settings(self, trial: TrialSummary) -> Settings:
        """A trial's complete settings.

        Raises:
            StudyFolderError: It is not a trial of the space that `study.yaml` describes.
        """
        try:
            if strange := set(trial.params) - set(self.config.space.search):
                raise ConfigError(f"{min(strange)!r} is not searched")
            return trial_settings(self.config.space, trial.params, trial.record)
        except (ConfigError, TypeError, ValueError, AttributeError) as error:
            raise StudyFolderError(
                f"{self.folder.database}: trial {trial.number} is none of this study ({error})"
            ) from None

    def require_whole(self) -> None:
        """Checks all that was read beside the trials' figures, where nothing may be left out.

        Raises:
            StudyFolderError: A trial is not of the study's space, or a file beside the database is damaged.
        """
        for trial in self.trials:
            self.settings(trial)
        for path in self.damaged:
            raise StudyFolderError(f"{path}: is damaged; 'evaluate' writes it anew")

    def same_identities(self, one: TrialSummary, other: TrialSummary) -> bool:
        """Whether two trials were scored on the same held-out identities, so that their scores compare."""
        return same_validation(self.config.space, one.params, other.params)

    @cached_property
    def ledger(self) -> LedgerSummary:
        """The recorded evaluations on the study's own test set.

        Raises:
            StudyFolderError: Its ledger is damaged.
        """
        return ledger_summary(self.folder)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The fingerprint of its training images under `data_fingerprint`, and its `launches`.

        Raises:
            StudyFolderError: The file is missing or damaged.
        """
        return read_provenance(self.folder.provenance)

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The evaluations on the study's test set, `best` and `baseline`, as far as they can be read."""
        return self._evaluations[0]

    @property
    def damaged(self) -> Sequence[Path]:
        """Files of evaluations that cannot be read."""
        return self._evaluations[1]

    @cached_property
    def current_evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """Those of the trial that wins now and of the baseline; one evaluation is both where it won."""
        trials = {"best": self.winner, "baseline": self.baseline}
        found = {name: one for name, one in self.evaluations.items() if self._is_of(one, trials[name])}
        if "best" in found and self.winner is self.baseline:
            found["baseline"] = found["best"]
        return found

    @cached_property
    def confirmation(self) -> ConfirmationSummary | None:
        """What `confirm` has found; None where it was not asked, or its file is damaged."""
        return read_confirmation(self.folder.confirmation)

    @cached_property
    def _evaluations(self) -> tuple[dict[str, dict[str, Any]], list[Path]]:
        found: dict[str, dict[str, Any]] = {}
        damaged = []
        for name, path in self.folder.evaluation_files.items():
            with suppress(FileNotFoundError):
                if (evaluation := read_evaluation(path)) is None:
                    damaged.append(path)
                else:
                    found[name] = evaluation
        return found, damaged

    def _is_of(self, evaluation: Mapping[str, Any], trial: TrialSummary | None) -> bool:
        if trial is None or evaluation.get("checkpoint_epoch") != trial.best_epoch:
            return False
        with suppress(StudyFolderError):
            return same_settings(evaluation["settings"], self.settings(trial).to_dict())
        return False
