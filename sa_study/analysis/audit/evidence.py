"""What a study's folder holds about its trials: the database, Ray's files and TensorBoard's, read once."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from sa_study.metrics import names
from sa_study.study.database import trial_numbers
from sa_study.study.folder import trial_folder
from sa_study.study.records import validate_result
from sa_study.study.result_files import ResultFiles, ResultRow, deterministic, is_number
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import StudyFolderError, one_line


@dataclass(frozen=True)
class Curves:
    """A trial's curves and hyperparameters in TensorBoard's files.

    Attributes:
        scalars: By tag, the value (rounded to 32 bits) of each step.
        times: When the driver wrote each epoch, in seconds since 1970.
        repeated: Tags with a repeated step.
        hparams: Whether the trial is in the HParams table.
    """

    scalars: dict[str, dict[int, float]]
    times: dict[int, float]
    repeated: list[str]
    hparams: bool


@dataclass
class Evidence:
    """All that a study's folder holds about its trials; a session is a launch that left a Ray folder.

    Attributes:
        study: The study's description and database, as Optuna shows it.
        numbers: All trial numbers in the database, duplicates included (Optuna hides them).
        rows: By trial, Ray's results in the order of sessions.
        snapshots: By session, the trials in Ray's last snapshot; empty if killed before the first.
        curves: By trial, TensorBoard's curves.
        unreadable: Lines about files that could not be read.
    """

    study: StudySummary
    numbers: list[int]
    rows: dict[int, list[ResultRow]] = field(default_factory=dict)
    snapshots: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    curves: dict[int, Curves] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether an epoch run twice must give bit-equal figures (CPU only)."""
        config = self.study.config
        return config.space.fixed.get("device") == "cpu" or not config.gpus_per_trial

    def epochs(self, number: int) -> dict[int, dict[str, Any]]:
        """A trial's results by epoch; of repeated ones the last, which counts."""
        return {row.epoch: row.values for row in self.rows.get(number, []) if row.epoch}


def read_evidence(root: Path) -> Evidence:
    """Reads everything that a study's folder holds about its trials; writes nothing.

    Raises:
        StudyFolderError: The folder holds no study, or its database, description or storage cannot be read.
    """
    study = StudySummary.read(root)
    evidence = Evidence(study, trial_numbers(study.folder))
    try:
        files = ResultFiles(study.storage_uri)
        for session in files.sessions():
            for number in files.trials(session):
                rows = evidence.rows.setdefault(number, [])
                rows += _valid_rows(files, session, number, evidence)
            evidence.snapshots[session] = _snapshot(files, session, evidence.unreadable)
    except (OSError, ValueError) as error:
        raise StudyFolderError(f"{study.storage_uri}: cannot be read ({one_line(error)})") from None
    for run in sorted(study.folder.tensorboard.glob("trial_*")):
        try:
            if not (name := re.fullmatch(r"trial_(\d{1,9})", run.name, re.ASCII)):
                raise ValueError("is no trial's folder")
            evidence.curves[int(name[1])] = _read_curves(run)
        except OSError as error:
            evidence.unreadable.append(f"tensorboard/{run.name}: cannot be read ({error.strerror})")
        except ValueError as error:
            evidence.unreadable.append(f"tensorboard/{run.name}: {error}")
    return evidence


def _valid_rows(files: ResultFiles, session: int, number: int, evidence: Evidence) -> Iterator[ResultRow]:
    """A trial's valid rows; invalid ones are noted as unreadable, as anyone can edit the file."""
    for row in files.rows(session, number, evidence.unreadable):
        try:
            if row.epoch:
                validate_result(row.values, (evidence.study.config.metric, "timestamp"))
            yield row
        except ValueError as error:
            evidence.unreadable.append(f"session_{session}/{trial_folder(number)}/result.json: {error}")


def _snapshot(files: ResultFiles, session: int, unreadable: list[str]) -> list[dict[str, Any]]:
    """The trials of Ray's last snapshot, each with `status`, `config` and `last_result`."""
    folder = f"session_{session}"
    snapshots = [name for name in files.entries(folder) if re.fullmatch(r"experiment_state-.*\.json", name)]
    path = f"{folder}/{snapshots[-1]}" if snapshots else ""
    text = files.text(path) if path else ""
    if not text:
        return []  # Ray writes it in place, and its driver was killed before
    try:
        pairs: list[tuple[str, str]] = json.loads(text)["trial_data"]
        return [_snapshot_trial({**json.loads(trial), **json.loads(progress)}) for trial, progress in pairs]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if not (isinstance(error, json.JSONDecodeError) and _is_cut_off(text, error)):  # or in the middle
            unreadable.append(f"{path}: is damaged")
        return []


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether a text that is no JSON is the beginning of an object, wherever it was cut off."""
    rest = text[error.pos :]  # all of it, of a value or a string that ends too early
    open_string = error.msg.startswith("Unterminated string")
    return error.doc == text and text.startswith("{") and (open_string or not set(rest) & set('{}[]:,"'))


def _snapshot_trial(trial: dict[str, Any]) -> dict[str, Any]:
    """The parts of a snapshot's trial that are checked; KeyError or TypeError if Ray writes no such entry."""
    config, last, status = trial["config"], trial.get("last_result") or {}, trial["status"]
    if type(config["number"]) is not int or not isinstance(config["suggested"], dict):
        raise TypeError("config")
    if not is_number(last.get(names.EPOCH, 0)) or not isinstance(status, str):
        raise TypeError("last_result")
    return {"config": config, "last_result": last, "status": status}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs of an epoch gave the same figures, leaving out the times they took."""
    return deterministic(one) == deterministic(other)


def _read_curves(run: Path) -> Curves:
    """Reads a trial's event files as TensorBoard does, which drops steps that a later launch wrote again.

    Raises:
        OSError: The folder cannot be read.
        ValueError: An event file is no regular file, or TensorBoard cannot read it.
    """
    for path in sorted(run.iterdir()):
        if "tfevents" in path.name and not path.is_file():
            raise ValueError(f"{path.name!r} is no regular file")
    try:
        reader = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    except Exception as error:  # what its parsers raise depends on where a file is damaged
        raise ValueError(f"cannot be read ({type(error).__name__})") from None
    events: defaultdict[str, list[Any]] = defaultdict(list)
    for tag in sorted(reader.Tags()[SCALARS], key=lambda tag: tag not in names.FORMER_TAGS):
        events[names.FORMER_TAGS.get(tag, tag)] += reader.Scalars(tag)
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
