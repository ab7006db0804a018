"""The search as Ray drives it: Optuna asks and learns, and its database is the study's only state.

Ray's own `OptunaSearch` tells Optuna that a trial stopped early is COMPLETE with its last value, keeps trials
with a NaN running for ever, scores a trial by its last epoch, and cannot follow a cluster that grows. Here a
trial's score is its best epoch's metric; one stopped early is PRUNED with all intermediate values; one with a
figure that is not finite is FAIL; and every epoch is recorded together with what becomes of its trial, so
that a driver killed at any moment leaves nothing undecided.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher

from sa_study.metrics import names
from sa_study.settings.space import SearchSpace
from sa_study.study.records import (
    LAUNCH,
    STUDY_NAME,
    TrialRecord,
    objectives,
    read_record,
    step_of,
    trial_folder,
    trial_settings,
    write_record,
)
from sa_study.tuning.budget import BudgetTracker
from sa_study.tuning.search.suggest import ask, reseed, suggest

Direction = Literal["maximize", "minimize"]


def create_study(
    storage: optuna.storages.BaseStorage,
    directions: Sequence[Direction] = ("maximize",),
    about: Mapping[str, Any] | None = None,
) -> None:
    """Makes the study in an empty database.

    Args:
        storage: The database.
        directions: `maximize`, and `minimize` for a second objective.
        about: What to keep with the study.
    """
    study = optuna.create_study(storage=storage, study_name=STUDY_NAME, directions=directions)
    for name, value in (about or {}).items():
        study.set_user_attr(name, value)


class StudySearcher(Searcher):
    """Suggests interrupted trials first, then new ones, and keeps the database of what they reported.

    A trial is one row of the database from its first epoch to its end, however often the study is launched.

    Args:
        space: What is searched.
        metric: The reported figure that is maximised.
        minimize: A second objective, or None.
        storage: The study's database, made by `create_study`; trials that are running in it were interrupted.
        seed: Each suggestion depends on it, the trial's number and the results so far.
        session: Folder of this launch's trials in their storage.
        tracker: Knows how many trials may run at a time, and when the launch is to end.

    Attributes:
        study: The Optuna study.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        metric: str,
        storage: optuna.storages.BaseStorage,
        seed: int,
        session: str,
        tracker: BudgetTracker,
        minimize: str | None = None,
    ):
        super().__init__(metric=metric, mode="max")
        self.study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
        self._space = space
        self._figure = metric
        self._minimize = minimize
        self._seed = seed
        self._session = session
        self._tracker = tracker
        self._trials: dict[str, Trial] = {}
        self._records: dict[str, TrialRecord] = {}
        self._running: set[str] = set()
        self._deaths: dict[str, str] = {}
        self._interrupted = deque(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def record(self, trial_id: str) -> TrialRecord:
        """What a trial of this launch has reached so far."""
        return self._records[trial_id]

    def suggest(self, trial_id: str) -> Any:
        """The configuration of a trial: its complete settings, its number, and where it goes on from.

        Returns:
            The configuration; None while every slot is taken; `FINISHED` when no further trial is to begin.
        """
        if self._tracker.stop_reason:
            return Searcher.FINISHED
        if len(self._running) >= self._tracker.slots():
            return None
        interrupted = self._interrupted.popleft() if self._interrupted else None
        if interrupted:
            trial, record = Trial(self.study, interrupted._trial_id), read_record(interrupted)
            reseed(self.study, self._space, self._seed, interrupted.number)
            suggest(self._space, trial)  # a driver killed while it asked had no value for some settings
        else:
            asked, record = ask(self.study, self._space, self._seed), TrialRecord()
            if asked is None:
                return Searcher.FINISHED
            trial = asked
        self._trials[trial_id], self._records[trial_id] = trial, record
        self._running.add(trial_id)
        return {
            "number": trial.number,
            "suggested": dict(trial.params),
            "settings": trial_settings(self._space, trial.params, record).to_dict(),
            "resume_from": record.checkpoints,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Does nothing: Ray leaves out the result at which a trial stops; `record_epoch` is told of each."""

    def record_epoch(self, trial_id: str, result: Mapping[str, Any], *, stopped: bool) -> None:
        """Takes in an epoch's figures and what becomes of its trial; `commit` writes them down.

        Args:
            trial_id: Ray's name of the trial.
            result: What the trial reported.
            stopped: Whether the scheduler stops the trial here.
        """
        trial, record = self._trials[trial_id], self._records[trial_id]
        figures = {name: result[name] for name in _reported(result)}
        checkpoint = f"{self._session}/{trial_folder(trial.number)}/{result['checkpoint_dir_name']}"
        record = record.after_epoch(figures, self._figure, checkpoint, gpus=self._tracker.gpus)
        self._records[trial_id] = dataclasses.replace(
            record,
            stopped=stopped,
            accumulate=int(result.get(names.ACCUMULATE, record.accumulate)),
            notes=[*record.notes, *result.get(names.NOTES, [])],
        )
        self._tracker.add_epoch(figures[names.SECONDS])

    def record_failure(self, trial_id: str, reason: str) -> None:
        """Takes in why a trial cannot go on; `commit` writes it down."""
        self._records[trial_id] = dataclasses.replace(self._records[trial_id], failure=reason)

    def record_death(self, trial_id: str, reason: str) -> None:
        """Takes in that a trial's process ended by itself, and writes down why where that is known.

        Args:
            trial_id: Ray's name of the trial.
            reason: Why, in words; empty where nobody knows.
        """
        self._deaths[trial_id] = reason
        if reason:
            record = self._records[trial_id]
            self._records[trial_id] = dataclasses.replace(record, notes=[*record.notes, reason])
            self.commit(trial_id)

    def reason_of_death(self, trial_id: str) -> str:
        """Why a trial's process ended by itself the last time, in words; empty where nobody knows."""
        return self._deaths.get(trial_id, "")

    def commit(self, trial_id: str) -> None:
        """Writes down what was recorded of a trial, before Ray drops checkpoints neither best nor last.

        It comes after everything else that is written of an epoch: a driver killed before it runs the epoch
        again, and one killed after it has left out nothing.
        """
        trial, record = self._trials[trial_id], self._records[trial_id]
        # First the curve, then the record: a trial goes on after the epoch of its record.
        if record.last:
            trial.storage.set_trial_intermediate_value(
                trial._trial_id, step_of(record.last[names.PROGRESS]), record.last[self._figure]
            )
        write_record(trial, record)
        self.study.set_user_attr(f"{LAUNCH}{self._session}", self._tracker.to_dict())

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ends a trial as COMPLETE, PRUNED or FAIL; one that may go on stays as it is, for `resume`."""
        if trial_id not in self._running:
            return
        self._running.discard(trial_id)
        trial = self._trials[trial_id]
        if error:
            where = f"trials/{self._session}/{trial_folder(trial.number)}/error.txt"
            reason = self.reason_of_death(trial_id) or f"its process raised or died; see {where}"
            self.record_failure(trial_id, reason)
            self.commit(trial_id)
        if self._records[trial_id].over:
            _tell(self.study, trial, self._records[trial_id], self._figure, self._minimize)

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing in Ray's snapshot: the database is the search's state."""

    def restore(self, checkpoint_path: str) -> None:
        """Reads nothing, likewise."""


def _reported(result: Mapping[str, Any]) -> list[str]:
    reported = {
        names.EPOCH,
        names.PROGRESS,
        names.TRAIN_ACCURACY,
        names.LR,
        names.IMAGES_PER_SECOND,
        names.SECONDS,
        names.LATENCY,
        *names.RANKING,
        *itertools.chain(*names.INTERVALS.values()),
    }
    return [name for name in result if name in reported or name.split("/")[0] == names.LOSS]


def finish_decided_trials(
    storage: optuna.storages.BaseStorage, metric: str, minimize: str | None = None
) -> None:
    """Ends trials that an earlier launch had decided to end, but was killed before it did."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if (record := read_record(trial)).over:
            _tell(study, trial.number, record, metric, minimize)


def _tell(
    study: optuna.Study, trial: Trial | int, record: TrialRecord, metric: str, minimize: str | None
) -> None:
    complete = record.final_state == TrialState.COMPLETE
    study.tell(trial, objectives(record, metric, minimize) if complete else None, record.final_state)
