"""Launching a study, and resuming one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray import tune

from sa_study.data.store import DataByFold, any_fold
from sa_study.provenance import differences, read_provenance
from sa_study.study.config import StudyConfig
from sa_study.study.database import back_up_database, open_storage, repair, study_attributes, trials_in
from sa_study.study.folder import StudyFolder, trial_folder
from sa_study.study.lock import driver_lock
from sa_study.study.records import ENDED, read_record
from sa_study.study.storage import Storage
from sa_study.study.summary import StudySummary
from sa_study.study.winner import save_winner
from sa_study.trackers.process import COMPLETE_SECONDS, tracking
from sa_study.trackers.table import resolve_trackers
from sa_study.training.epoch_loggers import EPOCH_LOGGERS
from sa_study.tuning.budget import BudgetTracker
from sa_study.tuning.launch.callback import StudyCallback, result_writer
from sa_study.tuning.launch.cluster import (
    Slots,
    divide_into_slots,
    exit_when_head_is_lost,
    slots_now,
)
from sa_study.tuning.launch.disk_space import measure_disks, name_full_disk, require_disk_space
from sa_study.tuning.launch.local_ray import Session
from sa_study.tuning.launch.memory import MemoryKills
from sa_study.tuning.launch.observer import LaunchObserver
from sa_study.tuning.launch.prepare import (
    StudyChanges,
    check_new_study,
    check_slots,
    claim_storage,
    connect_and_decode,
    find_images,
    new_study_folder,
    record_launch,
    resolve_settings,
)
from sa_study.tuning.launch.pretrained import PretrainedBackbones, load_backbones
from sa_study.tuning.launch.trainable import TrialProcess
from sa_study.tuning.plan.cpus_per_trial import decide_cpus_per_trial
from sa_study.tuning.search.initial_trials import InitialTrials, enqueue_trials
from sa_study.tuning.search.ray_searcher import StudySearcher, finish_decided_trials
from sa_study.tuning.search.samplers import check_sampler
from sa_study.tuning.stopping.ray_scheduler import StudyScheduler
from sa_study.utils.errors import ConfigError, RunFailed

_MAX_RESTARTS = 3
"""Restarts in a row of a trial whose process died or raised, each from its last checkpoint."""

_DISK_FULL = ("database or disk is full", "No space left on device")  # SQLite's words, and the system's

INTERRUPTED = "interrupted"
_NOTHING = InitialTrials()


@dataclass(frozen=True)
class Outcome:
    """The end of a launch: whether all its trials had ended, or what stopped it.

    Attributes:
        stopped: Why it ended before all its trials had, or empty; `INTERRUPTED` after Ctrl-C.
        larger_budget: Options that `resume` needs to go on; empty for none.
    """

    stopped: str
    larger_budget: tuple[str, ...] = ()

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
        config: The study.
        observer: Hears of the launch while it runs.
        initial_trials: Configurations to run before the search suggests any.

    Raises:
        StudyError: Bad input, and nothing was written; or a `RunFailed`, after which `resume` goes on.
    """
    folder = StudyFolder.new(root)
    check_new_study(config)
    config = dataclasses.replace(config, track=resolve_trackers(config.track))
    storage = Storage.of_study(folder, config.storage_path)
    images, backbones = find_images(config), load_backbones(config, observer.say)
    with connect_and_decode(config, images, config.goal, observer) as (session, data):
        initial_trials.require_images(any_fold(data).store.fingerprint)
        config = decide_cpus_per_trial(config, any_fold(data), observer.say)
        slots = divide_into_slots(config)
        config = resolve_settings(config, slots)
        if config.storage_path:
            storage.require_free()
        storage.require_reachable()
        require_disk_space(measure_disks(folder, config, any_fold(data), slots, config.goal, session))
        with new_study_folder(folder, config, data, backbones, slots, initial_trials, observer.say):
            claim_storage(folder, config)
            return _run(folder, config, data, backbones, slots, session, observer)


def resume(
    root: Path, changes: StudyChanges, observer: LaunchObserver, initial_trials: InitialTrials = _NOTHING
) -> Outcome:
    """Resumes a study that was stopped or killed, or extends it.

    Args:
        root: The study's folder.
        changes: Changes to the study's description.
        observer: Hears of the launch while it runs.
        initial_trials: Configurations to run; those that the study has already are left out.

    Raises:
        StudyError: Bad input, and no trial has run; or a `RunFailed`, after which `resume` goes on.
    """
    folder = StudyFolder.existing(root)
    with driver_lock(folder.lock, observer.say) as dead:
        if dead:
            observer.say(f"the last driver died: {dead}")
        folder.require_own_files()
        folder.clear_leftovers()
        config = changes.apply(before := StudyConfig.read(folder.config))
        storage = Storage.of_study(folder, config.storage_path)
        check_sampler(config.space, len(config.directions))
        if mended := repair(folder):
            observer.say(mended)
        database = open_storage(folder)
        config.require_unchanged(study_attributes(database, folder).get("lasting"))
        _require_trials(config.trials, trials_in(database, folder))
        finish_decided_trials(database, config.metric, config.minimize)
        trials = trials_in(database, folder)
        if outcome := _outcome_without_run(root, config, trials, changes):
            if changes.track is not None:  # no other change was checked
                dataclasses.replace(before, track=config.track).write(folder.config)
            with tracking(folder.root, config.track, observer.say, limit=COMPLETE_SECONDS):
                return outcome
        images = find_images(config, recorded=not changes.data_dir)
        backbones = load_backbones(config, observer.say)
        for difference in differences(folder.provenance):
            observer.say(difference)
        left = config.goal - _ended(trials)
        with connect_and_decode(config, images, left, observer) as (session, data):
            slots = divide_into_slots(config)
            config = check_slots(config, slots)
            storage.require_reachable()
            require_disk_space(measure_disks(folder, config, any_fold(data), slots, left, session))
            claim_storage(folder, config)
            record_launch(folder, data, backbones, slots)
            config.write(folder.config)
            enqueue_trials(database, initial_trials.configurations)
            return _run(folder, config, data, backbones, slots, session, observer)


def _outcome_without_run(
    root: Path, config: StudyConfig, trials: Sequence[FrozenTrial], changes: StudyChanges
) -> Outcome | None:
    """The outcome of a launch that has nothing to run: all trials have ended, or a budget is spent."""
    if _ended(trials) >= config.goal:
        save_winner(StudySummary.read(root))
        return Outcome("")
    budget = BudgetTracker.of_study(config, trials)
    spent = budget.stop_reason and changes == StudyChanges()  # changes are checked on the way to a run
    return Outcome(budget.stop_reason, budget.larger_budget) if spent else None


def _require_trials(total: int, trials: Sequence[FrozenTrial]) -> None:
    """Checks that a study is to have at least as many trials as have begun."""
    begun = sum(trial.state != TrialState.WAITING for trial in trials)
    if total < begun:
        raise ConfigError(f"--trials: {total}, but {begun} trials have begun already; give as many or more")


def _run(
    folder: StudyFolder,
    config: StudyConfig,
    data: DataByFold,
    backbones: PretrainedBackbones,
    slots: Slots,
    session: Session | None,
    observer: LaunchObserver,
) -> Outcome:
    """Has Ray run the remaining trials, in a session folder of their own inside the study's storage."""
    storage, database = Storage.of_study(folder, config.storage_path), open_storage(folder)
    earlier = trials_in(database, folder)
    storage.prune({path for trial in earlier for path in read_record(trial).checkpoints})
    capacity = partial(slots_now, config, slots.cpus, slots.gpus)
    tracker = BudgetTracker.of_study(config, earlier, capacity, slots.gpus)
    name = f"session_{len(read_provenance(folder.provenance)['launches'])}"
    searcher = StudySearcher(
        space=config.space,
        metric=config.metric,
        minimize=config.minimize,
        seed=config.seed,
        storage=database,
        session=name,
        tracker=tracker,
    )
    trainable = tune.with_parameters(
        TrialProcess, data=data, backbones=backbones, storage=storage, metric=config.metric
    )
    kills = MemoryKills(joined=config.address is not None)
    scheduler = StudyScheduler(config.space.scheduler, config.metric, searcher, tracker, earlier, kills)
    back_up_database(folder)
    for logger in EPOCH_LOGGERS:
        logger.start_study(folder.root, config.space.search)
    observer.begin(config, earlier, slots.concurrent)
    callback = StudyCallback(folder.root, searcher, observer.announce, partial(back_up_database, folder))
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": slots.cpus, "gpu": slots.gpus}),
        tune_config=_tune_config(searcher, scheduler, config.goal - _ended(earlier)),
        run_config=_run_config(config, storage, name, callback),
    )
    watch = exit_when_head_is_lost(folder.root, observer.fail, local=session is not None)
    with tracking(folder.root, config.track, observer.say):
        with watch, name_full_disk(folder.root, session):
            _fit(tuner, tracker, folder)
        save_winner(StudySummary.read(folder.root))
    all_ended = _ended(trials_in(database, folder)) >= config.goal
    return Outcome("") if all_ended else Outcome(tracker.stop_reason or INTERRUPTED, tracker.larger_budget)


def _ended(trials: Sequence[FrozenTrial]) -> int:
    return sum(trial.state in ENDED for trial in trials)


def _fit(tuner: tune.Tuner, tracker: BudgetTracker, folder: StudyFolder) -> None:
    try:
        tuner.fit()
    except tune.TuneError as error:
        said = [line.strip() for line in str(error).splitlines() if any(map(line.count, _DISK_FULL))]
        if not said:
            raise
        tracker.abort(f"{folder.root}: the disk is full" if _DISK_FULL[0] in said[-1] else said[-1])
    if tracker.aborted:
        raise RunFailed(f"{tracker.stop_reason}; make room, then 'resume --study {folder.root}'")


def _tune_config(searcher: StudySearcher, scheduler: StudyScheduler, left: int) -> tune.TuneConfig:
    def name(trial: Any) -> str:
        return trial_folder(trial.config["number"])

    return tune.TuneConfig(
        metric=searcher.metric,
        mode="max",
        search_alg=searcher,
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
        failure_config=tune.FailureConfig(max_failures=_MAX_RESTARTS),
        # Of equals Ray keeps the later, as a trial's record does; the last is kept beside the best.
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1,
            checkpoint_score_attribute=config.metric,
            checkpoint_score_order="max",
            checkpoint_at_end=False,  # each epoch has one already
        ),
        callbacks=[result_writer(storage), callback],
        verbose=0,
        progress_reporter=tune.CLIReporter(),  # silent, but in a notebook Ray's own choice clears the output
    )
