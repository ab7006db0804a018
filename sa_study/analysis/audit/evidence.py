"""What a study left behind, read once and changed nowhere: the database, Ray's files, TensorBoard's files."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.analysis.audit.curves import Curves, read_curves, run_number
from sa_study.metrics import names
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials, trial_numbers
from sa_study.study.folder import StudyFolder
from sa_study.study.record_checks import validate_result
from sa_study.study.records import TrialRecord, read_record
from sa_study.study.result_files import ResultFiles, ResultRow, deterministic, is_number
from sa_study.study.storage import Storage
from sa_study.utils.errors import StudyFolderError


@dataclass
class Evidence:
    """All that a study's folder tells.

    Attributes:
        folder: The study's folder.
        config: What was asked for.
        trials: The database's trials, as Optuna shows them.
        numbers: The number of each trial in the database, of which Optuna shows each once.
        sessions: Launches of which Ray has a folder.
        rows: By trial, what Ray wrote in the order of launches.
        snapshots: By launch, the trials in Ray's last snapshot; none where it was killed before the first.
        curves: By trial, what TensorBoard shows.
        unreadable: Lines about files that could not be read.
    """

    folder: StudyFolder
    config: StudyConfig
    trials: list[FrozenTrial]
    numbers: list[int]
    sessions: list[int] = field(default_factory=list)
    rows: dict[int, list[ResultRow]] = field(default_factory=dict)
    snapshots: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    curves: dict[int, Curves] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    @property
    def storage(self) -> Storage:
        """Where the trials' files lie."""
        return Storage.of_study(self.folder, self.config.storage_path)

    @property
    def exact(self) -> bool:
        """Whether an epoch that was run twice gave the same figures to the last bit."""
        return self.config.space.fixed.get("device") == "cpu" or not self.config.gpus_per_trial

    @cached_property
    def records(self) -> list[tuple[FrozenTrial, TrialRecord]]:
        """The database's trials and what it keeps of each."""
        return [(trial, read_record(trial)) for trial in self.trials]

    def epochs(self, number: int) -> dict[int, dict[str, Any]]:
        """A trial's results by epoch; of an epoch that was run again the last one, which counts."""
        return {row.epoch: row.values for row in self.rows.get(number, []) if row.epoch}


def read_evidence(folder: StudyFolder) -> Evidence:
    """Reads everything.

    Raises:
        StudyFolderError: The folder holds no study, or its database, description or storage cannot be read.
    """
    config, trials = StudyConfig.read(folder.config), read_trials(folder)
    evidence = Evidence(folder, config, trials, trial_numbers(folder))
    try:
        _read_storage(evidence)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise StudyFolderError(f"{evidence.storage.uri}: cannot be read ({line})") from None
    for run in sorted(folder.tensorboard.glob("trial_*")):
        try:
            evidence.curves[run_number(run)] = read_curves(run)
        except OSError as error:
            evidence.unreadable.append(f"tensorboard/{run.name}: cannot be read ({error.strerror})")
        except ValueError as error:
            evidence.unreadable.append(f"tensorboard/{run.name}: {error}")
    return evidence


def _read_storage(evidence: Evidence) -> None:
    """Reads what Ray wrote."""
    files = ResultFiles(evidence.storage.uri)
    evidence.sessions = files.sessions()
    rows: defaultdict[int, list[ResultRow]] = defaultdict(list)
    for session in evidence.sessions:
        for number in files.trials(session):
            rows[number] += _rows(files, session, number, evidence)
        evidence.snapshots[session] = _snapshot(files, session, evidence.unreadable)
    evidence.rows = dict(rows)


def _rows(files: ResultFiles, session: int, number: int, evidence: Evidence) -> Iterator[ResultRow]:
    """The rows that a trial can have reported; the others are named, as anyone can edit the file."""
    for row in files.rows(session, number, evidence.unreadable):
        try:
            if row.epoch:
                validate_result(row.values, (evidence.config.metric, "timestamp"))
            yield row
        except ValueError as error:
            evidence.unreadable.append(f"session_{session}/trial_{number:04d}/result.json: {error}")


def _snapshot(files: ResultFiles, session: int, unreadable: list[str]) -> list[dict[str, Any]]:
    """The trials of Ray's last snapshot, each with `status`, `config` and `last_result`."""
    folder = f"session_{session}"
    snapshots = [name for name in files.names(folder) if re.fullmatch(r"experiment_state-.*\.json", name)]
    if not snapshots:
        return []
    path = f"{folder}/{snapshots[-1]}"
    text = files.text(path)
    if not text or (text.startswith("{") and not text.rstrip().endswith("}")):
        return []  # Ray writes it in place, and its driver was killed in the middle
    try:
        pairs: list[tuple[str, str]] = json.loads(text)["trial_data"]
        return [_told({**json.loads(trial), **json.loads(progress)}) for trial, progress in pairs]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        unreadable.append(f"{path}: is damaged")
        return []


def _told(trial: dict[str, Any]) -> dict[str, Any]:
    """A trial of a snapshot, which has what is read of it, or an error."""
    config, last, status = trial["config"], trial.get("last_result") or {}, trial["status"]
    if type(config["number"]) is not int or not isinstance(config["suggested"], dict):
        raise TypeError("config")
    if not is_number(last.get(names.EPOCH, 0)) or not isinstance(status, str):
        raise TypeError("last_result")
    return {"config": config, "last_result": last, "status": status}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs of an epoch gave the same figures, leaving out the times they took."""
    return deterministic(one) == deterministic(other)
