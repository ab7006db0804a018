"""What happens while Ray runs: every epoch is logged, and events are announced to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from sa_study.metrics import names
from sa_study.study.records import TrialEvent, trial_folder
from sa_study.training.epoch_loggers import EpochLogger, start_loggers
from sa_study.tuning.search.ray_searcher import StudySearcher


class StudyCallback(tune.Callback):
    """Logs epochs and announces events.

    Args:
        folder: Folder of the study.
        search: Keeps the trials' records.
        announce: Called with every event.
        secure: Called when a trial ends or pauses, to copy the database.
    """

    def __init__(
        self,
        folder: Path,
        search: StudySearcher,
        announce: Callable[[TrialEvent], None],
        secure: Callable[[], None],
    ):
        self._folder = folder
        self._search = search
        self._announce = announce
        self._secure = secure
        self._loggers: dict[int, list[EpochLogger]] = {}
        self._closed: set[int] = set()
        self._furthest: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a run's callbacks for its own restore, which a study does not use."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        """Writes an epoch's figures, or a trial's failure; the database, which decides, comes last."""
        if names.EPOCH in result:
            self._forgive(trial, result[names.EPOCH])
            for logger in self._loggers_of(trial, result[names.EPOCH]):
                logger.log_epoch(result)
        elif names.FAILURE not in result:
            return
        if self._search.record(trial.trial_id).over:
            self._close(trial)
        self._search.commit(trial.trial_id)
        for note in result.get(names.NOTES, []):
            self._emit(trial, "note", note)
        if names.EPOCH in result:
            self._emit(trial, "epoch")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Says that a trial's process begins to work on it."""
        self._emit(trial, "start")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Says that a trial's process died and is started again, after a lack of memory once."""
        reason = self._search.reason_of_death(trial.trial_id)
        if reason:  # other processes may have taken the memory; if not, it will happen again
            trial.run_metadata.num_failures = trial.max_failures
        self._emit(
            trial, "note", f"{reason or 'its process raised or died'}; it goes on from its last checkpoint"
        )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ends the log of a trial that ran out or was stopped."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ends the log of a trial whose process died too often."""
        self._end(trial)

    def _forgive(self, trial: Any, epoch: int) -> None:
        """Failures count while no new epoch comes between; over weeks any trial loses its process."""
        if epoch > self._furthest.get(trial.trial_id, 0):
            self._furthest[trial.trial_id] = epoch
            trial.run_metadata.num_failures = 0

    def _loggers_of(self, trial: Any, epoch: int) -> list[EpochLogger]:
        number = trial.config["number"]
        if number not in self._loggers:
            self._loggers[number] = start_loggers(self._folder, trial_folder(number), epoch)
        return self._loggers[number]

    def _close(self, trial: Any) -> None:
        record = self._search.record(trial.trial_id)
        state = record.final_state.name
        for logger in self._loggers_of(trial, record.epoch + 1):
            logger.close(trial.config["suggested"], record.best, state)
        self._closed.add(trial.config["number"])

    def _end(self, trial: Any) -> None:
        record = self._search.record(trial.trial_id)
        if record.over and trial.config["number"] not in self._closed:
            self._close(trial)  # its process died too often
        self._secure()
        self._emit(trial, record.final_state.name if record.over else "paused")

    def _emit(self, trial: Any, kind: str, note: str = "") -> None:
        record, config = self._search.record(trial.trial_id), trial.config
        self._announce(TrialEvent(config["number"], kind, config["suggested"], record, note))
