"""A study on disk, as terminal, page, JSON, exports, audit and reproduction read it.

Reading writes nothing, also while the study runs. Files beside the database are read when they are asked for,
and checked: anyone can edit them. The figures of an epoch and of an evaluation are listed in `metrics.names`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sa_study.metrics import names
from sa_study.metrics.protocol import recorded_protocol
from sa_study.provenance import is_launch, read_provenance
from sa_study.settings.run import Settings, completed
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, study_attributes, trials_in
from sa_study.study.findings import ConfirmationSummary, read_confirmation, read_evaluation
from sa_study.study.folder import StudyFolder
from sa_study.study.ledger import LedgerSummary, ledger_summary
from sa_study.study.lock import Driver, current_driver
from sa_study.study.records import ABLATES, CONFIRMS, LAUNCH, same_validation, trial_settings
from sa_study.study.trial_summary import STATES, TrialSummary, pareto_front, setting_in
from sa_study.utils.errors import ConfigError, StudyFolderError

CLEANED = "cleaned"
"""Name of the Optuna study attribute with the numbers of the trials whose checkpoints `clean` has removed."""

_SET_BY_EVALUATION = ("device", "pretrained", names.ACCUMULATE)
"""Settings that may differ between a trial and the evaluation of its checkpoint."""


@dataclass(frozen=True)
class Cost:
    """What a study has cost, epochs lost to faults included.

    Attributes:
        epochs: Epochs of all trials.
        seconds: Time spent in them.
        gpu_seconds: `seconds` times the trials' GPUs, a shared GPU by its share.
        training_share: The share of the slots' time in which a trial was training; None if not recorded yet.
    """

    epochs: int
    seconds: float
    gpu_seconds: float
    training_share: float | None


@dataclass(frozen=True, eq=False)
class StudySummary:
    """The present state of a study.

    Attributes:
        folder: Its folder.
        config: What it was asked to do.
        trials: Its trials, by number.
        attributes: What the database keeps of the study beside its trials.
        driver: The process that runs the study, or None.
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
        """Reads a study's description and database; StudyFolderError if one is missing or damaged."""
        folder = StudyFolder.existing(root)
        config, database = StudyConfig.read(folder.config), open_readonly(folder)
        # Before the trials: were the driver to end in between, some would seem to run without it.
        driver = current_driver(folder.lock)
        stored = trials_in(database, folder)
        try:
            trials = tuple(TrialSummary.of(trial, config) for trial in stored)
        except StudyFolderError as error:
            raise StudyFolderError(f"{folder.database}: {error}") from None
        return cls(folder, config, trials, study_attributes(database, folder), driver)

    @cached_property
    def winner(self) -> TrialSummary | None:
        """The complete trial with the greatest score, the earlier of equals; None while none is complete."""
        return self.complete[0] if self.complete else None

    @property
    def baseline(self) -> TrialSummary | None:
        """The trial of the space's baseline; None before it begins."""
        return next((trial for trial in self.trials if trial.baseline), None)

    @cached_property
    def complete(self) -> list[TrialSummary]:
        """Complete trials, the best first."""
        scored = [trial for trial in self.trials if trial.complete and trial.score is not None]
        return sorted(scored, key=lambda trial: (-(trial.score or 0.0), trial.number))

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
        found = Counter(trial.state for trial in self.trials)
        return {state: found[state] for state in STATES if state in found}

    @cached_property
    def cost(self) -> Cost:
        """Epochs and time that the study has cost."""
        launches = [used for name, used in self.attributes.items() if name.startswith(LAUNCH)]
        slots = sum(used["slot_seconds"] for used in launches)
        training = sum(used["training_seconds"] for used in launches)
        return Cost(
            epochs=sum(trial.record.epochs_run for trial in self.trials),
            seconds=sum(trial.record.seconds for trial in self.trials),
            gpu_seconds=sum(trial.record.gpu_seconds for trial in self.trials),
            training_share=training / slots if slots else None,
        )

    @property
    def cleaned(self) -> frozenset[int]:
        """Numbers of the trials whose checkpoints `clean` has removed."""
        numbers = self.attributes.get(CLEANED)
        return frozenset(n for n in numbers if type(n) is int) if isinstance(numbers, list) else frozenset()

    @property
    def of_repeats(self) -> bool:
        """Whether `confirm` or `ablate` made it: its trials are given, with seeds, and search nothing."""
        return bool({CONFIRMS, ABLATES} & self.attributes.keys())

    @property
    def storage_uri(self) -> str:
        """Folder or URI that holds the trials' results and checkpoints."""
        return self.config.storage_path or str(self.folder.trials)

    def value(self, trial: TrialSummary, name: str) -> Any:
        """A setting's value in a trial, searched or not; None for an unknown setting."""
        return setting_in(self.config.space, trial.params, name)

    def settings(self, trial: TrialSummary) -> Settings:
        """A trial's complete settings; StudyFolderError if it is not of the space in `study.yaml`."""
        try:
            if strange := set(trial.params) - set(self.config.space.search):
                raise ConfigError(f"{min(strange)!r} is not searched")
            return trial_settings(self.config.space, trial.params, trial.record)
        except (ConfigError, TypeError, ValueError, AttributeError) as error:
            raise StudyFolderError(
                f"{self.folder.database}: trial {trial.number} is not of this study ({error})"
            ) from None

    def require_whole(self) -> None:
        """Raises a StudyFolderError for damage that is skipped elsewhere: an export has to be complete."""
        for trial in self.trials:
            self.settings(trial)
        for path in self.damaged:
            raise StudyFolderError(f"{path}: is damaged; 'evaluate' writes it anew")

    def same_identities(self, one: TrialSummary, other: TrialSummary) -> bool:
        """Whether two trials were scored on the same held-out identities, so that they can be compared."""
        return same_validation(self.config.space, one.params, other.params)

    @cached_property
    def ledger(self) -> LedgerSummary:
        """How often a test set was evaluated, and when; StudyFolderError if the ledger is damaged."""
        return ledger_summary(self.folder)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """`data_fingerprint`, of the training images, and `launches`; StudyFolderError if it is damaged."""
        return read_provenance(self.folder.provenance)

    @property
    def protocol(self) -> object:
        """The protocol of the validation figures, as the latest launch recorded it."""
        launches: Sequence[Any] = ()
        with suppress(StudyFolderError):
            launches = self.provenance["launches"]
        return recorded_protocol(launches[-1] if launches and is_launch(launches[-1]) else {})

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
        """Those of the present winner and of the baseline; one under both names if the baseline wins."""
        trials = {"best": self.winner, "baseline": self.baseline}
        found = {name: one for name, one in self.evaluations.items() if self._is_of(one, trials[name])}
        if "best" in found and self.winner is self.baseline:
            found["baseline"] = found["best"]
        return found

    @cached_property
    def confirmation(self) -> ConfirmationSummary | None:
        """What `confirm` has found; None where it was not run, or its file is damaged."""
        return read_confirmation(self.folder.confirmation)

    @cached_property
    def _evaluations(self) -> tuple[dict[str, dict[str, Any]], list[Path]]:
        found: dict[str, dict[str, Any]] = {}
        damaged = []
        for name, path in self.folder.evaluation_files.items():
            try:
                found[name] = read_evaluation(path)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError):
                damaged.append(path)
        return found, damaged

    def _is_of(self, evaluation: Mapping[str, Any], trial: TrialSummary | None) -> bool:
        """Whether an evaluation is of a trial's best epoch."""
        if trial is None or evaluation.get("checkpoint_epoch") != trial.best_epoch:
            return False
        ignored = dict.fromkeys(_SET_BY_EVALUATION)
        with suppress(StudyFolderError):
            settings = self.settings(trial).to_dict()
            return {**completed(evaluation["settings"]), **ignored} == {**settings, **ignored}
        return False
