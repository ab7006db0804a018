"""Launching a study, and going on with one."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray import tune

from sa_study.data.images import Progress
from sa_study.data.market1501 import Market1501
from sa_study.data.store import TrainingData
from sa_study.engine import build_network
from sa_study.errors import ConfigError, RunFailed, StudyFolderError
from sa_study.provenance import count_launches, note_launch
from sa_study.space_file import complete, override
from sa_study.study.callback import StudyCallback
from sa_study.study.cluster import Slots, connect, slots
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import ENDED, TrialEvent, open_storage, read_trials, trials_in
from sa_study.study.scheduler import make_scheduler
from sa_study.study.search import StudySearch, create_study, settle_finished, trial_folder
from sa_study.study.selection import keep_winner
from sa_study.study.storage import Storage
from sa_study.study.trainable import run_trial
from sa_study.training import load_training_data

Announce = Callable[[TrialEvent], None]

_RETRIES = 3
"""Restarts of a trial whose process died or raised, each from its last checkpoint."""

_FULL = ("database or disk is full", "No space left on device")
"""What SQLite and the operating system say of a full disk."""


@dataclass(frozen=True)
class Outcome:
    """How a launch ended.

    Attributes:
        trials: All trials of the study.
        winner: The best completed trial, or None.
        interrupted: Whether Ctrl-C ended it.
    """

    trials: list[FrozenTrial]
    winner: FrozenTrial | None
    interrupted: bool

    @property
    def unfinished(self) -> list[FrozenTrial]:
        """Trials that `resume` goes on with."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]


def launch(root: Path, config: StudyConfig, announce: Announce, progress: Progress | None) -> Outcome:
    """Makes a study and runs it.

    Args:
        root: Folder of the study; must be free.
        config: What is asked for.
        announce: Called with every trial event.
        progress: Told the number of images decoded and in all.

    Raises:
        StudyError: Bad input; nothing was written.
    """
    folder = StudyFolder.free(root)
    data = _load_data(config, progress)
    with connect(config.address):
        room = slots(config)
        if config.storage_path:
            Storage(config.storage_path).require_free()
        config = _resolve(config, room)
        _make_folder(folder, config, data, room)
        return _run(folder, config, data, room, announce)


def resume(root: Path, trials: int | None, announce: Announce, progress: Progress | None) -> Outcome:
    """Goes on with a study that was stopped or killed, or extends it.

    Args:
        root: The study's folder.
        trials: New number of trials in all, or None for the one asked for before.
        announce: Called with every trial event.
        progress: Told the number of images decoded and in all.

    Raises:
        StudyError: Bad input; the study is as it was.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    storage = open_storage(folder)
    begun = [trial for trial in trials_in(storage, folder) if trial.state != TrialState.WAITING]
    if trials is not None and trials < len(begun):
        raise ConfigError(
            f"--trials: {trials}, but {len(begun)} trials have begun already; give as many or more"
        )
    # The time budget was that of the first launch; this one runs what is left.
    config = dataclasses.replace(config, trials=trials or config.trials, time_budget=None)
    settle_finished(storage, config.metric)
    if not _left(config, trials_in(storage, folder)):
        return _outcome(folder, config, interrupted=False)
    data = _load_data(config, progress)
    with connect(config.address):
        room = slots(config)
        note_launch(folder.provenance, data.store.fingerprint, slots=dataclasses.asdict(room))
        config.write(folder.config)
        return _run(folder, config, data, room, announce)


def _load_data(config: StudyConfig, progress: Progress | None) -> TrainingData:
    """Decodes the training images and checks that every trial can use them."""
    space = config.space
    settings = space.settings(space.baseline)
    if not settings.val_identities:
        raise ConfigError("val_identities: 0 leaves nothing to compare trials by; a study needs at least 1")
    dataset = Market1501(config.data_dir)
    data = load_training_data(dataset, settings, progress)
    batches = space.search.get("batch_size")
    if batches and (largest := max(batches.choices or (batches.high,))) > len(data.train):
        raise ConfigError(f"batch_size: {largest:g}, but only {len(data.train)} images are trained on")
    # Weights that cannot be had are named here, not by every trial.
    starts = {key: space.search[key].choices for key in ("depth", "pretrained") if key in space.search}
    for values in itertools.product(*starts.values()):
        start = space.settings({**space.baseline, **dict(zip(starts, values, strict=True))})
        build_network(start, data.num_classes)
    return data


def _resolve(config: StudyConfig, room: Slots) -> StudyConfig:
    """The study with every setting decided, so that neither defaults nor machines change it later."""
    decided = {"threads": max(1, int(room.cpus)), "device": "auto" if room.gpus else "cpu"}
    space = complete(override(config.space, {"metric": config.metric}), decided)
    if space.fixed["device"] == "cuda" and not room.gpus:
        raise ConfigError("device: cuda, but trials are given no GPU; raise --gpus-per-trial")
    return dataclasses.replace(config, space=space, gpus_per_trial=room.gpus)


def _make_folder(folder: StudyFolder, config: StudyConfig, data: TrainingData, room: Slots) -> None:
    """Writes the folder of a new study, `study.yaml` last: a folder that has one is complete."""
    made = not folder.root.exists()
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        note_launch(folder.provenance, data.store.fingerprint, slots=dataclasses.asdict(room))
        create_study(open_storage(folder), config.space)
        config.write(folder.config)
    except BaseException as error:
        for path in (folder.provenance, folder.database, folder.config):
            path.unlink(missing_ok=True)
        if made:
            shutil.rmtree(folder.root, ignore_errors=True)
        if isinstance(error, OSError):
            raise StudyFolderError(f"{folder.root}: cannot be written ({error.strerror})") from None
        raise


def _run(
    folder: StudyFolder, config: StudyConfig, data: TrainingData, room: Slots, announce: Announce
) -> Outcome:
    storage = open_storage(folder)
    earlier = trials_in(storage, folder)
    left = _left(config, earlier)
    started = time.monotonic()
    _fit(folder, config, data, room, announce, earlier, left)
    over = config.time_budget is not None and time.monotonic() - started >= config.time_budget
    ended = _ended(trials_in(storage, folder)) - _ended(earlier)
    return _outcome(folder, config, interrupted=ended < left and not over)


def _outcome(folder: StudyFolder, config: StudyConfig, *, interrupted: bool) -> Outcome:
    trials = read_trials(folder)
    return Outcome(trials, keep_winner(folder, config, trials), interrupted)


def _left(config: StudyConfig, trials: list[FrozenTrial]) -> int:
    """How many trials are still to end; a grid's are all in the database from the start."""
    goal = min(config.trials, len(trials)) if config.space.sampler == "grid" else config.trials
    return max(0, goal - _ended(trials))


def _ended(trials: list[FrozenTrial]) -> int:
    return sum(trial.state in ENDED for trial in trials)


def _fit(
    folder: StudyFolder,
    config: StudyConfig,
    data: TrainingData,
    room: Slots,
    announce: Announce,
    earlier: list[FrozenTrial],
    left: int,
) -> None:
    """Lets Ray run the trials that are left, in a session of their own inside the trials' storage."""
    storage = Storage.of_study(folder, config.storage_path)
    session = f"session_{count_launches(folder.provenance)}"
    search = StudySearch(
        space=config.space,
        metric=config.metric,
        storage=open_storage(folder),
        seed=config.seed,
        session=session,
    )
    callback = StudyCallback(folder.tensorboard, search, announce)
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(run_trial, data=data, storage=storage, metric=config.metric),
            {"cpu": room.cpus, "gpu": room.gpus},
        ),
        tune_config=_tune_config(config, room, search, earlier, left),
        run_config=_run_config(config, storage, session, callback),
    )
    try:
        tuner.fit()
    except tune.TuneError as error:
        if not any(words in str(error) for words in _FULL):
            raise
        raise RunFailed(
            f"{folder.root}: the disk is full; make room, then 'resume --study {folder.root}'"
        ) from None


def _tune_config(
    config: StudyConfig, room: Slots, search: StudySearch, earlier: list[FrozenTrial], left: int
) -> tune.TuneConfig:
    def name(trial: Any) -> str:
        return trial_folder(trial.config["number"])

    return tune.TuneConfig(
        metric=config.metric,
        mode="max",
        search_alg=search,
        scheduler=make_scheduler(config.space.scheduler, earlier),
        num_samples=left,
        max_concurrent_trials=room.concurrent,
        time_budget_s=config.time_budget,
        reuse_actors=True,
        trial_name_creator=name,
        trial_dirname_creator=name,
    )


def _run_config(
    config: StudyConfig, storage: Storage, session: str, callback: StudyCallback
) -> tune.RunConfig:
    return tune.RunConfig(
        name=session,
        storage_path=storage.uri,
        failure_config=tune.FailureConfig(max_failures=_RETRIES),
        # Of equals Ray keeps the later, as a trial's record does; the last is kept beside the best.
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=1, checkpoint_score_attribute=config.metric, checkpoint_score_order="max"
        ),
        callbacks=[tune.logger.JsonLoggerCallback(), callback],
        verbose=0,
    )
