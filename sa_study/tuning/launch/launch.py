"""Launching a study, and going on with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import FrozenTrial, TrialState
from ray import tune

from sa_study.data.store import Folds, any_of
from sa_study.provenance import count_launches, differences
from sa_study.study.config import StudyConfig
from sa_study.study.database import keep_copy, mend, open_storage, read_about, read_trials, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.records import ENDED, TrialEvent, read_record, trial_folder
from sa_study.study.storage import Storage
from sa_study.study.summary import StudySummary
from sa_study.study.winner import keep_winner
from sa_study.training.epoch_loggers import EPOCH_LOGGERS
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.launch.callback import StudyCallback
from sa_study.tuning.launch.cluster import Slots, capacity, connect, slots
from sa_study.tuning.launch.disk_space import require_room
from sa_study.tuning.launch.head import exit_when_lost
from sa_study.tuning.launch.memory import MemoryKills
from sa_study.tuning.launch.prepare import check_slots, claim, load_data, made, note, resolve
from sa_study.tuning.launch.pretrained import Starts, load_starts
from sa_study.tuning.launch.relaunch import Changes
from sa_study.tuning.launch.result_logger import result_files
from sa_study.tuning.launch.session import Session
from sa_study.tuning.launch.trainable import run_trial
from sa_study.tuning.search.initial_trials import InitialTrials, enqueue_trials
from sa_study.tuning.search.ray_searcher import StudySearcher, finish_decided_trials
from sa_study.tuning.search.samplers import check_sampler
from sa_study.tuning.stopping.ray_scheduler import StudyScheduler
from sa_study.utils.errors import ConfigError, RunFailed

_RETRIES = 3
"""Restarts in a row of a trial whose process died or raised, each from its last checkpoint."""

_FULL = ("database or disk is full", "No space left on device")  # in SQLite's words, and the system's

INTERRUPTED = "interrupted"
_NOTHING = InitialTrials()


class LaunchObserver(Protocol):
    """Hears of a launch while it runs, as the live view does."""

    def decoded(self, done: int, total: int) -> None:
        """Called with the number of images that are decoded, and of all."""

    def begin(self, config: StudyConfig, trials: Sequence[FrozenTrial], slots: int) -> None:
        """Called before any trial runs, with the study's trials and how many may run at a time."""

    def announce(self, event: TrialEvent) -> None:
        """Called with every event of a trial."""

    def say(self, text: str) -> None:
        """Called with a message about the launch."""

    def fail(self, text: str) -> None:
        """Called, from any thread, with the reason why the launch cannot go on; then the process ends."""


@dataclass(frozen=True)
class Outcome:
    """How a launch ended.

    Attributes:
        trials: All trials of the study.
        stopped: Why it ended before all trials had, or empty; `INTERRUPTED` after Ctrl-C.
    """

    trials: list[FrozenTrial]
    stopped: str

    @property
    def interrupted(self) -> bool:
        """Whether it ended by Ctrl-C."""
        return self.stopped == INTERRUPTED


def launch(
    root: Path, config: StudyConfig, observer: LaunchObserver, initial_trials: InitialTrials = _NOTHING
) -> Outcome:
    """Makes a study and runs it.

    Args:
        root: Folder of the study; must be free.
        config: What is asked for.
        observer: Hears of the launch while it runs.
        initial_trials: Configurations to run before the search suggests any.

    Raises:
        StudyError: Bad input; nothing was written.
    """
    folder = StudyFolder.free(root)
    check_sampler(config.space, len(config.directions))
    storage = Storage.of_study(folder, config.storage_path)
    data, starts = load_data(config, observer.decoded), load_starts(config, observer.say)
    initial_trials.require_images(any_of(data).store.fingerprint)
    with connect(config.address) as session:
        room = slots(config)
        config = resolve(config, room)
        if config.storage_path:
            storage.require_free()
        storage.require_reachable()
        require_room(folder, config, any_of(data), room, config.goal, session)
        with made(folder, config, data, starts, room, initial_trials, observer.say):
            claim(folder, config)
            return _run(folder, config, data, starts, room, session, observer)


def resume(
    root: Path, changes: Changes, observer: LaunchObserver, initial_trials: InitialTrials = _NOTHING
) -> Outcome:
    """Goes on with a study that was stopped or killed, or extends it.

    Args:
        root: The study's folder.
        changes: What is asked for beyond the study's own description.
        observer: Hears of the launch while it runs.
        initial_trials: Configurations to run that the study may not have yet.

    Raises:
        StudyError: Bad input; the study is as it was.
    """
    folder = StudyFolder.existing(root)
    with driver_lock(folder.lock, observer.say) as dead:
        if dead:
            observer.say(f"the last driver died: {dead}")
        folder.require_own_files()
        folder.clear_remains()
        config = changes.apply(StudyConfig.read(folder.config))
        storage = Storage.of_study(folder, config.storage_path)
        check_sampler(config.space, len(config.directions))
        if mended := mend(folder):
            observer.say(mended)
        database = open_storage(folder)
        config.require_lasting(read_about(database, folder).get("lasting"))
        _require_enough(config, trials_in(database, folder))
        finish_decided_trials(database, config.metric, config.minimize)
        left = config.goal - _ended(trials_in(database, folder))
        if left <= 0:
            return _outcome(folder, "")
        data = load_data(config, observer.decoded, recorded=not changes.data_dir)
        starts = load_starts(config, observer.say)
        for difference in differences(folder.provenance):
            observer.say(difference)
        with connect(config.address) as session:
            room = slots(config)
            config = check_slots(config, room)
            storage.require_reachable()
            require_room(folder, config, any_of(data), room, left, session)
            claim(folder, config)
            note(folder, data, starts, room)
            config.write(folder.config)
            enqueue_trials(database, initial_trials.configurations)
            return _run(folder, config, data, starts, room, session, observer)


def _require_enough(config: StudyConfig, trials: Sequence[FrozenTrial]) -> None:
    begun = sum(trial.state != TrialState.WAITING for trial in trials)
    if config.trials < begun:
        raise ConfigError(
            f"--trials: {config.trials}, but {begun} trials have begun already; give as many or more"
        )


def _run(
    folder: StudyFolder,
    config: StudyConfig,
    data: Folds,
    starts: Starts,
    room: Slots,
    session: Session | None,
    observer: LaunchObserver,
) -> Outcome:
    """Lets Ray run the trials that are left, in a session of their own inside the trials' storage."""
    storage, database = Storage.of_study(folder, config.storage_path), open_storage(folder)
    earlier = trials_in(database, folder)
    storage.prune({path for trial in earlier for path in read_record(trial).checkpoints})
    left = config.goal - _ended(earlier)
    tracker = _tracker(config, room, earlier)
    name = f"session_{count_launches(folder.provenance)}"
    options: dict[str, Any] = {"storage": database, "session": name, "tracker": tracker}
    search = StudySearcher(
        space=config.space, metric=config.metric, minimize=config.minimize, seed=config.seed, **options
    )
    trainable = tune.with_parameters(
        run_trial, data=data, starts=starts, storage=storage, metric=config.metric, session=session
    )
    kills = MemoryKills(joined=config.address is not None)
    scheduler = StudyScheduler(config.space.scheduler, config.metric, search, tracker, earlier, kills)
    keep_copy(folder)
    for logger in EPOCH_LOGGERS:
        logger.start_study(folder.root, config.space.search)
    observer.begin(config, earlier, room.concurrent)
    callback = StudyCallback(folder.root, search, observer.announce, partial(keep_copy, folder))
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": room.cpus, "gpu": room.gpus}),
        tune_config=_tune_config(search, scheduler, left),
        run_config=_run_config(config, storage, name, callback),
    )
    with exit_when_lost(folder.root, observer.fail):
        _fit(tuner, tracker, folder)
    if tracker.aborted:
        raise RunFailed(f"{tracker.stop_reason}; make room, then 'resume --study {folder.root}'")
    ended = _ended(trials_in(database, folder)) - _ended(earlier)
    return _outcome(folder, "" if ended >= left else tracker.stop_reason or INTERRUPTED)


def _tracker(config: StudyConfig, room: Slots, earlier: Sequence[FrozenTrial]) -> BudgetTracker:
    most = config.max_concurrent

    def slots_now() -> int:
        if most and config.address:
            return most  # trials that wait make an autoscaling cluster grow
        fit = capacity(room.cpus, room.gpus)
        return min(most or fit, fit)

    budget = Budget(config.time_budget, config.epoch_budget, config.gpu_hours)
    return BudgetTracker(budget, map(read_record, earlier), slots_now, room.gpus)


def _outcome(folder: StudyFolder, stopped: str) -> Outcome:
    keep_winner(StudySummary.read(folder.root))
    return Outcome(read_trials(folder), stopped)


def _ended(trials: Sequence[FrozenTrial]) -> int:
    return sum(trial.state in ENDED for trial in trials)


def _fit(tuner: tune.Tuner, tracker: BudgetTracker, folder: StudyFolder) -> None:
    try:
        tuner.fit()
    except tune.TuneError as error:
        said = [line.strip() for line in str(error).splitlines() if any(words in line for words in _FULL)]
        if not said:
            raise
        tracker.abort(f"{folder.root}: the disk is full" if _FULL[0] in said[-1] else said[-1])


def _tune_config(search: StudySearcher, scheduler: StudyScheduler, left: int) -> tune.TuneConfig:
    def name(trial: Any) -> str:
        return trial_folder(trial.config["number"])

    return tune.TuneConfig(
        metric=search.metric,
        mode="max",
        search_alg=search,
        scheduler=scheduler,
        num_samples=left,
        reuse_actors=True,
        trial_name_creator=name,
        trial_dirname_creator=name,
    )


def _run_config(config: StudyConfig, storage: Storage, name: str, callback: StudyCallback) -> tune.RunConfig:
    return tune.RunConfig(
        name=name,
        storage_path=storage.uri,
        failure_config=tune.FailureConfig(max_failures=_RETRIES),
        # Of equals Ray keeps the later, as a trial's record does; the last is kept beside the best.
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1, checkpoint_score_attribute=config.metric, checkpoint_score_order="max"
        ),
        callbacks=[result_files(storage), callback],
        verbose=0,
    )
