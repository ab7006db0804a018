"""What a study left behind, read once and changed nowhere: the database, Ray's files, TensorBoard's files."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from optuna.trial import FrozenTrial
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from sa_study.curves import FORMER_TAGS
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialRecord, read_record
from sa_study.study.result_rows import ResultRows, Row, deterministic
from sa_study.study.storage import Storage


@dataclass(frozen=True)
class Curves:
    """What TensorBoard shows of a trial.

    Attributes:
        scalars: By tag, the value (rounded to 32 bits) of each step.
        times: When the driver wrote each epoch, in seconds since 1970.
        repeated: Tags that have a step twice.
        hparams: Whether the trial has a line in the HParams table.
    """

    scalars: dict[str, dict[int, float]]
    times: dict[int, float]
    repeated: list[str]
    hparams: bool


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
    rows: dict[int, list[Row]] = field(default_factory=dict)
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
        StudyFolderError: The folder holds no study, or its database or description cannot be read.
    """
    config, trials = StudyConfig.read(folder.config), read_trials(folder)
    evidence = Evidence(folder, config, trials, _numbers(folder))
    files = ResultRows(evidence.storage.uri)
    evidence.sessions = files.sessions()
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    for session in evidence.sessions:
        for number in files.trials(session):
            rows[number] += files.of_trial(session, number, evidence.unreadable)
        evidence.snapshots[session] = _snapshot(files, session, evidence.unreadable)
    evidence.rows = dict(rows)
    for run in sorted(folder.tensorboard.glob("trial_*")):
        evidence.curves[int(run.name.removeprefix("trial_"))] = _read_curves(str(run))
    return evidence


def _numbers(folder: StudyFolder) -> list[int]:
    uri = f"file:{quote(str(folder.database))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        return [number for (number,) in database.execute("SELECT number FROM trials")]


def _snapshot(files: ResultRows, session: int, unreadable: list[str]) -> list[dict[str, Any]]:
    """The trials of Ray's last snapshot, each with `status`, `config` and `last_result`."""
    folder = f"session_{session}"
    names = [name for name in files.names(folder) if re.fullmatch(r"experiment_state-.*\.json", name)]
    if not names:
        return []
    path = f"{folder}/{names[-1]}"
    try:
        pairs: list[tuple[str, str]] = json.loads(files.text(path))["trial_data"]
        return [{**json.loads(trial), **json.loads(progress)} for trial, progress in pairs]
    except (ValueError, KeyError, TypeError):
        unreadable.append(f"{path}: is damaged")
        return []


def _read_curves(folder: str) -> Curves:
    """Reads as TensorBoard does, which leaves out what a later launch wrote again."""
    reader = EventAccumulator(folder, size_guidance={SCALARS: 0}).Reload()
    events: defaultdict[str, list[Any]] = defaultdict(list)
    for tag in sorted(reader.Tags()[SCALARS], key=lambda tag: tag not in FORMER_TAGS):
        events[FORMER_TAGS.get(tag, tag)] += reader.Scalars(tag)
    return Curves(
        scalars={tag: {event.step: event.value for event in of_tag} for tag, of_tag in events.items()},
        times={event.step: event.wall_time for event in events.get("progress", [])},
        repeated=[
            tag
            for tag, of_tag in events.items()
            if tag.startswith(("train/", "val/")) and len({event.step for event in of_tag}) < len(of_tag)
        ],
        hparams="_hparams_/session_start_info" in reader.summary_metadata,
    )


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs of an epoch gave the same figures, leaving out the times they took."""
    return deterministic(one) == deterministic(other)
