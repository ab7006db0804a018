"""The search as Ray drives it: Optuna suggests and learns, and its database is the study's only state.

Ray's own `OptunaSearch` reports a trial that was stopped early as COMPLETE with its last value, keeps trials
with a NaN running forever, scores a trial by its last epoch, and cannot follow a cluster that grows. Here a
trial's score is the metric of its best epoch. A trial that was stopped early is PRUNED with all its
intermediate values, and one with a figure that is not finite is FAIL. Every epoch is recorded together with
the decision on its trial, so that a driver that is killed at any moment leaves nothing undecided.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher

from sa_study.metrics import names
from sa_study.settings.space import SearchSpace
from sa_study.study.folder import trial_folder
from sa_study.study.records import (
    LAUNCH,
    STUDY_NAME,
    TrialRecord,
    objectives,
    read_record,
    step_of,
    trial_settings,
    write_record,
)
from sa_study.tuning.budget import BudgetTracker
from sa_study.tuning.search.suggest import ask, reseed, suggest

_INTERVAL_ENDS = frozenset(itertools.chain(*names.INTERVALS.values()))


class StudySearcher(Searcher):
    """Continues interrupted trials, then suggests new ones, and records in the database what they report.

    A trial is one row of the database from its first epoch to its end, however often the study is launched.

    Args:
        space: The search space.
        metric: The figure that is maximised.
        minimize: A second objective, or None.
        storage: The study's database, made by `create_study`; trials that are running in it were interrupted.
        seed: Each suggestion depends on it, on the trial's number and on the results so far.
        session: Folder of this launch's trials in their storage.
        tracker: Tells how many trials may run at a time, and when the launch is to stop.

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
        self._objective = metric
        self._minimize = minimize
        self._seed = seed
        self._session = session
        self._tracker = tracker
        self._trials: dict[str, Trial] = {}
        self._records: dict[str, TrialRecord] = {}
        self._running: set[str] = set()
        self._crash_reasons: dict[str, str] = {}
        self._interrupted = deque(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def record(self, trial_id: str) -> TrialRecord:
        """Record of a trial of this launch, up to its last report."""
        return self._records[trial_id]

    def suggest(self, trial_id: str) -> Any:
        """Gives a trial its number, its settings and the checkpoints that it may continue from.

        Returns:
            The configuration that Ray passes to the trial; None while every slot is taken; `FINISHED` when no
            further trial is to begin.
        """
        if self._tracker.stop_reason:
            return Searcher.FINISHED
        if len(self._running) >= self._tracker.slots():
            return None
        interrupted = self._interrupted.popleft() if self._interrupted else None
        if interrupted:
            trial, record = Trial(self.study, interrupted._trial_id), read_record(interrupted)
            reseed(self.study, self._space, self._seed, interrupted.number)
            suggest(self._space, trial)  # in case it was killed before every setting had a value
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
        """Does nothing: Ray omits the result at which a trial stops; `record_epoch` gets all of them."""

    def record_epoch(self, trial_id: str, result: Mapping[str, Any], *, stopped: bool) -> None:
        """Records what a trial reported of an epoch, and whether it is stopped there; `commit` stores it."""
        trial, record = self._trials[trial_id], self._records[trial_id]
        figures = {name: value for name, value in result.items() if _is_figure(name)}
        checkpoint = f"{self._session}/{trial_folder(trial.number)}/{result['checkpoint_dir_name']}"
        record = record.after_epoch(figures, self._objective, checkpoint, gpus=self._tracker.gpus)
        self._records[trial_id] = dataclasses.replace(
            record,
            stopped=stopped,
            accumulate=int(result.get(names.ACCUMULATE, record.accumulate)),
            notes=[*record.notes, *result.get(names.NOTES, [])],
        )
        self._tracker.add_epoch(figures[names.SECONDS])

    def record_failure(self, trial_id: str, reason: str) -> None:
        """Records why a trial cannot continue; `commit` stores it."""
        self._records[trial_id] = dataclasses.replace(self._records[trial_id], failure=reason)

    def record_crash(self, trial_id: str, reason: str) -> None:
        """Records that a trial's process ended unexpectedly, and stores the reason; empty where unknown."""
        self._crash_reasons[trial_id] = reason
        if reason:
            record = self._records[trial_id]
            self._records[trial_id] = dataclasses.replace(record, notes=[*record.notes, reason])
            self.commit(trial_id)

    def crash_reason(self, trial_id: str) -> str:
        """Why a trial's process ended unexpectedly the last time, in words; empty if unknown."""
        return self._crash_reasons.get(trial_id, "")

    def commit(self, trial_id: str) -> None:
        """Stores a trial's record, before Ray deletes checkpoints that are neither the best nor the last.

        It comes after everything else that is written of an epoch: a driver that is killed before it runs the
        epoch again, and one that is killed after it has lost nothing.
        """
        trial, record = self._trials[trial_id], self._records[trial_id]
        # First the curve, then the record: a trial continues after the epoch of its record.
        if record.last:
            trial.storage.set_trial_intermediate_value(
                trial._trial_id, step_of(record.last[names.PROGRESS]), record.last[self._objective]
            )
        write_record(trial, record)
        self.study.set_user_attr(f"{LAUNCH}{self._session}", self._tracker.to_dict())

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ends a trial as COMPLETE, PRUNED or FAIL; one that may continue stays as it is, for `resume`."""
        if trial_id not in self._running:
            return
        self._running.discard(trial_id)
        trial = self._trials[trial_id]
        if error:
            log = f"trials/{self._session}/{trial_folder(trial.number)}/error.txt"
            reason = self.crash_reason(trial_id) or f"its process raised or died; see {log}"
            self.record_failure(trial_id, reason)
            self.commit(trial_id)
        if self._records[trial_id].over:
            record = self._records[trial_id]
            _tell(self.study, trial, record, self._objective, self._minimize)
            self._tracker.count_trial(record.final_state, record.best.get(self._objective))

    def save(self, checkpoint_path: str) -> None:
        """Writes nothing to Ray's snapshot: the database is the search's state."""

    def restore(self, checkpoint_path: str) -> None:
        """Reads nothing from Ray's snapshot, which holds nothing of the search."""


def _is_figure(name: str) -> bool:
    """Whether a reported value is stored with its epoch; Ray adds others to every report."""
    stored = name in (names.EPOCH, names.PROGRESS) or name in _INTERVAL_ENDS
    return stored or name.split("/")[0] in names.FIGURES  # parts of the loss are "loss/..."


def finish_decided_trials(
    storage: optuna.storages.BaseStorage, metric: str, minimize: str | None = None
) -> None:
    """Ends the trials whose end an earlier launch had decided when it was killed."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if (record := read_record(trial)).over:
            _tell(study, trial.number, record, metric, minimize)


def _tell(
    study: optuna.Study, trial: Trial | int, record: TrialRecord, metric: str, minimize: str | None
) -> None:
    complete = record.final_state == TrialState.COMPLETE
    study.tell(trial, objectives(record, metric, minimize) if complete else None, record.final_state)
