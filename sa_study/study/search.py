"""The search: Optuna asks and learns through Ray's OptunaSearch, with the states a study needs.

Ray's own class tells Optuna that a trial stopped early is COMPLETE with its last value, keeps trials with a
NaN running for ever, and scores a trial by its last epoch. Here a trial's score is its best epoch's metric;
one stopped early is PRUNED with all intermediate values; one with a figure that is not finite is FAIL.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import deque
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState
from ray.tune.search.optuna import OptunaSearch

from sa_study import keys
from sa_study.randomness import derived_seed
from sa_study.space import SearchSpace
from sa_study.study.records import ENDED, STUDY_NAME, TrialRecord, read_record, write_record


def create_study(storage: optuna.storages.BaseStorage, space: SearchSpace) -> None:
    """Makes the study in an empty database and queues its baseline, or the whole grid."""
    study = optuna.create_study(storage=storage, study_name=STUDY_NAME, direction="maximize")
    for point in space.grid() if space.sampler == "grid" else [space.baseline]:
        study.enqueue_trial(point)


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of this name; a grid's trials are all queued, so its sampler never decides."""
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
    return RandomSampler(seed=seed)


def suggest(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Asks for a value of every searched setting; a trial that has one already gets it again."""
    values: dict[str, Any] = {}
    for name, parameter in space.search.items():
        if parameter.kind == "categorical":
            values[name] = trial.suggest_categorical(name, parameter.choices)
        elif parameter.kind == "int":
            step = int(parameter.step or 1)
            values[name] = trial.suggest_int(
                name, int(parameter.low), int(parameter.high), step=step, log=parameter.log
            )
        else:
            low, high, step_size = parameter.low, parameter.high, parameter.step
            values[name] = trial.suggest_float(name, low, high, step=step_size, log=parameter.log)
    return values


class StudySearch(OptunaSearch):
    """Suggests interrupted trials first, then new ones, and keeps the database of what they reported.

    A trial is one row of the database from its first epoch to its end, however often the study is launched.

    Args:
        space: What is searched.
        metric: The reported figure that is maximised.
        storage: The study's database, made by `create_study`; trials that are running in it were interrupted.
        seed: Each suggestion depends on it, the trial's number and the results so far.
        session: Folder of this launch's trials in their storage.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        metric: str,
        storage: optuna.storages.BaseStorage,
        seed: int,
        session: str,
    ):
        self._search_space = space
        self._session = session
        self._search_seed = seed
        super().__init__(
            space=lambda trial: suggest(space, trial),
            metric=metric,
            mode="max",
            storage=storage,
            study_name=STUDY_NAME,
        )
        self._records: dict[str, TrialRecord] = {}
        self._interrupted = deque(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        study: Any = self._ot_study  # Ray declares no type; it is set from the start
        assert isinstance(study, optuna.Study)
        return study

    def record(self, trial_id: str) -> TrialRecord:
        """What a trial of this launch has reached so far."""
        return self._records[trial_id]

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The configuration of a trial: its complete settings, its number, and where it goes on from."""
        study = self.study
        interrupted = self._interrupted.popleft() if self._interrupted else None
        started = len(study.get_trials(deepcopy=False, states=(*ENDED, TrialState.RUNNING)))
        number = interrupted.number if interrupted else started
        study.sampler = make_sampler(
            self._search_space.sampler, derived_seed(self._search_seed, "search", number)
        )
        if interrupted:
            self._ot_trials[trial_id] = Trial(study, interrupted._trial_id)
        values = super().suggest(trial_id) or {}
        trial = self._ot_trials[trial_id]
        record = read_record(interrupted) if interrupted else TrialRecord()
        self._records[trial_id] = record
        settings = self._search_space.settings(values)
        return {
            "number": trial.number,
            "suggested": values,
            "settings": settings.to_dict(),
            "resume_from": record.last_checkpoint,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Does nothing: Ray leaves out the result at which a trial stops; `record_epoch` is told of each."""

    def record_epoch(self, trial_id: str, result: dict[str, Any]) -> TrialRecord:
        """Records an epoch's figures, before Ray drops checkpoints that are neither best nor last."""
        trial = self._ot_trials[trial_id]
        checkpoint = f"{self._session}/{trial_folder(trial.number)}/{result['checkpoint_dir_name']}"
        figures = {name: result[name] for name in _reported(result)}
        with warnings.catch_warnings():
            # A restarted trial repeats the epochs since its checkpoint, with the same figures.
            warnings.filterwarnings("ignore", message="The reported value is ignored")
            trial.report(figures[self.metric], step_of(figures[keys.PROGRESS]))
        record = self._records[trial_id].after_epoch(figures, self.metric, checkpoint)
        self._records[trial_id] = record
        write_record(trial, record)
        return record

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ends a trial as COMPLETE, PRUNED or FAIL."""
        if trial_id in self._completed_trials:
            return
        self._completed_trials.add(trial_id)
        trial, record = self._ot_trials[trial_id], self._records[trial_id]
        if result and keys.FAILURE in result:
            record = dataclasses.replace(record, failure=str(result[keys.FAILURE]))
        elif error or not result:
            where = f"{self._session}/{trial_folder(trial.number)}/error.txt"
            record = dataclasses.replace(record, failure=f"its process raised or died; see trials/{where}")
        self._records[trial_id] = record
        write_record(trial, record)
        _tell(self.study, trial, record, self.metric)

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing in Ray's snapshot: the database is the search's state."""


def trial_folder(number: int) -> str:
    """Name of a trial's folder."""
    return f"trial_{number:04d}"


def step_of(progress: float) -> int:
    """Optuna's step of an epoch: thousandths of the trial's own schedule, so that schedules compare."""
    return round(10 * progress)


def _reported(result: dict[str, Any]) -> list[str]:
    names = {
        keys.EPOCH,
        keys.PROGRESS,
        keys.TRAIN_ACCURACY,
        keys.LR,
        keys.IMAGES_PER_SECOND,
        keys.SECONDS,
        *keys.RANKING,
    }
    return [name for name in result if name in names or name.split("/")[0] == keys.LOSS]


def settle_finished(storage: optuna.storages.BaseStorage, metric: str) -> None:
    """Ends trials that an earlier launch left running although they had reported their last epoch."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if read_record(trial).finished:
            _tell(study, trial.number, read_record(trial), metric)


def _tell(study: optuna.Study, trial: Trial | int, record: TrialRecord, metric: str) -> None:
    state = record.final_state
    study.tell(trial, record.best[metric] if state == TrialState.COMPLETE else None, state)
