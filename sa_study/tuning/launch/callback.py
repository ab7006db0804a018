"""Ray's callbacks of a launch: they log epochs, announce events and write result files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.fs
from ray import tune

from sa_study.metrics import names
from sa_study.study.folder import trial_folder
from sa_study.study.records import TrialEvent
from sa_study.study.storage import Storage
from sa_study.training.epoch_loggers import EpochLogger, start_loggers
from sa_study.tuning.search.ray_searcher import StudySearcher


class StudyCallback(tune.Callback):
    """Logs epochs and announces events.

    Args:
        folder: Folder of the study.
        searcher: Keeps the trials' records.
        announce: Called with every event.
        copy_database: Called when a trial ends or pauses.
    """

    def __init__(
        self,
        folder: Path,
        searcher: StudySearcher,
        announce: Callable[[TrialEvent], None],
        copy_database: Callable[[], None],
    ):
        self._folder = folder
        self._searcher = searcher
        self._announce = announce
        self._copy_database = copy_database
        self._loggers: dict[int, list[EpochLogger]] = {}
        self._closed: set[int] = set()
        self._furthest: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickles nothing: Ray pickles callbacks for its own restore, which a study does not use."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        """Writes an epoch's figures, or a trial's failure; the database, which is authoritative, last."""
        if names.EPOCH in result:
            self._reset_failures(trial, result[names.EPOCH])
            for logger in self._loggers_of(trial, result[names.EPOCH]):
                logger.log_epoch(result)
        elif names.FAILURE not in result:
            return
        if self._searcher.record(trial.trial_id).over:
            self._close(trial)
        self._searcher.commit(trial.trial_id)
        for note in result.get(names.NOTES, []):
            self._emit(trial, "note", note)
        if names.EPOCH in result:
            self._emit(trial, "epoch")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Announces that a trial's process starts."""
        self._emit(trial, "start")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Announces that a trial's process died and is restarted, after a lack of memory only once."""
        reason = self._searcher.crash_reason(trial.trial_id)
        if reason:  # other processes may have taken the memory; if not, it will happen again
            trial.run_metadata.num_failures = trial.max_failures
        self._emit(
            trial, "note", f"{reason or 'its process raised or died'}; it goes on from its last checkpoint"
        )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ends the log of a trial that has ended, copies the database and announces the end or the pause."""
        record = self._searcher.record(trial.trial_id)
        if record.over and trial.config["number"] not in self._closed:
            self._close(trial)  # its process died too often
        self._copy_database()
        self._emit(trial, record.final_state.name if record.over else "paused")

    on_trial_error = on_trial_complete

    def _reset_failures(self, trial: Any, epoch: int) -> None:
        """Forgets earlier failures at a new epoch; over weeks any trial loses its process now and then."""
        if epoch > self._furthest.get(trial.trial_id, 0):
            self._furthest[trial.trial_id] = epoch
            trial.run_metadata.num_failures = 0

    def _loggers_of(self, trial: Any, epoch: int) -> list[EpochLogger]:
        number = trial.config["number"]
        if number not in self._loggers:
            self._loggers[number] = start_loggers(self._folder, trial_folder(number), epoch)
        return self._loggers[number]

    def _close(self, trial: Any) -> None:
        record = self._searcher.record(trial.trial_id)
        state = record.final_state.name
        for logger in self._loggers_of(trial, record.epoch + 1):
            logger.close(trial.config["suggested"], record.best, state)
        self._closed.add(trial.config["number"])

    def _emit(self, trial: Any, kind: str, note: str = "") -> None:
        record, config = self._searcher.record(trial.trial_id), trial.config
        self._announce(TrialEvent(config["number"], kind, config["suggested"], record, note))


class ResultWriter(tune.Callback):
    """Appends each result to its trial's `result.json` at once.

    Ray's own logger writes it elsewhere and copies it some seconds later, so that a killed driver would lose
    its last epochs.
    """

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        """Appends a line."""
        folder = Path(trial.storage.trial_fs_path)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "result.json").open("a") as file:
            file.write(json.dumps(result, default=str) + "\n")


def result_writer(storage: Storage) -> tune.Callback:
    """The callback that writes `result.json`: Ray's own where the storage is not a folder."""
    filesystem, _ = pyarrow.fs.FileSystem.from_uri(storage.uri)
    local = isinstance(filesystem, pyarrow.fs.LocalFileSystem)
    return ResultWriter() if local else tune.logger.JsonLoggerCallback()
