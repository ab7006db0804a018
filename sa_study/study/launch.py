"""Launching a study, and going on with one."""

from __future__ import annotations

import dataclasses
import json
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
from sa_study.errors import ConfigError, DataError, StudyFolderError
from sa_study.files import write_json
from sa_study.provenance import describe_run
from sa_study.study.callback import StudyCallback, TrialEvent
from sa_study.study.cluster import Slots, connect, slots
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import ENDED, open_storage, read_trials
from sa_study.study.scheduler import make_scheduler
from sa_study.study.search import StudySearch, create_study, trial_folder
from sa_study.study.selection import keep_winner
from sa_study.study.storage import Storage
from sa_study.study.trainable import run_trial
from sa_study.training import load_training_data

Announce = Callable[[TrialEvent], None]

_RETRIES = 3
"""Restarts of a trial whose process died, each from its last checkpoint."""


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
        Storage.of_study(folder, config.storage_path).check()
        try:
            folder.root.mkdir(parents=True, exist_ok=True)
            config.write(folder.config)
            _note_launch(folder, data)
            create_study(open_storage(folder), config.space)
        except OSError as error:
            shutil.rmtree(folder.root, ignore_errors=True)
            raise StudyFolderError(f"{root}: cannot be written ({error.strerror})") from None
        return _run(folder, config, data, room, announce)


def resume(root: Path, trials: int | None, announce: Announce, progress: Progress | None) -> Outcome:
    """Goes on with a study that was stopped or killed, or extends it.

    Args:
        root: The study's folder.
        trials: New number of trials in all, or None for the one asked for at first.
        announce: Called with every trial event.
        progress: Told the number of images decoded and in all.

    Raises:
        StudyError: Bad input; the study is as it was.
    """
    folder = StudyFolder.existing(root)
    config = StudyConfig.read(folder.config)
    ended = _ended(read_trials(folder))
    if trials is not None and trials < ended:
        raise ConfigError(f"--trials: {trials}, but {ended} trials have ended already")
    # The time budget was that of the first launch; this one runs what is left.
    config = dataclasses.replace(config, trials=trials or config.trials, time_budget=None)
    data = _load_data(config, progress)
    _check_same_data(folder, data)
    with connect(config.address):
        room = slots(config)
        config.write(folder.config)
        _note_launch(folder, data)
        return _run(folder, config, data, room, announce)


def _load_data(config: StudyConfig, progress: Progress | None) -> TrainingData:
    """Decodes the training images and checks that every trial can use them."""
    settings = config.space.settings(config.space.baseline)
    if not settings.val_identities:
        raise ConfigError("val_identities: 0 leaves nothing to compare trials by; a study needs at least 1")
    dataset = Market1501(config.data_dir)
    data = load_training_data(dataset, settings, progress)
    batches = config.space.search.get("batch_size")
    largest = max(batches.choices or (batches.high,)) if batches else settings.batch_size
    if largest > len(data.train):
        raise ConfigError(f"batch_size: {largest:g}, but only {len(data.train)} images are trained on")
    build_network(settings, data.num_classes)  # fails here, not in every trial, where weights cannot be had
    return data


def _note_launch(folder: StudyFolder, data: TrainingData) -> None:
    """Adds this launch to the provenance; the data's fingerprint is that of the first."""
    entry: dict[str, Any] = {"data_fingerprint": data.store.fingerprint, "launches": []}
    if folder.provenance.exists():
        entry = json.loads(folder.provenance.read_text())
    entry["launches"].append(describe_run())
    write_json(folder.provenance, entry)


def _check_same_data(folder: StudyFolder, data: TrainingData) -> None:
    before = json.loads(folder.provenance.read_text())["data_fingerprint"]
    if before != data.store.fingerprint:
        raise DataError(
            "the training images differ from those the study was launched with; resume needs the same"
        )


def _run(
    folder: StudyFolder, config: StudyConfig, data: TrainingData, room: Slots, announce: Announce
) -> Outcome:
    earlier = read_trials(folder)
    left = config.trials - _ended(earlier)
    if config.space.sampler == "grid":  # all of its points are in the database from the start
        left = min(left, len(earlier) - _ended(earlier))
    interrupted = False
    if left > 0:
        started = time.monotonic()
        _fit(folder, config, data, room, announce, earlier, left)
        over = config.time_budget is not None and time.monotonic() - started >= config.time_budget
        interrupted = not over and _ended(read_trials(folder)) < _ended(earlier) + left
    trials = read_trials(folder)
    return Outcome(trials, keep_winner(folder, config, trials), interrupted)


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
    storage = Storage.of_study(folder, config.storage_path)
    session = f"session_{len(json.loads(folder.provenance.read_text())['launches'])}"
    search = StudySearch(
        space=config.space,
        metric=config.metric,
        storage=open_storage(folder),
        seed=config.seed,
        threads=config.threads,
        session=session,
    )
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, data=data, storage=storage, metric=config.metric),
        {"cpu": room.cpus, "gpu": room.gpus},
    )
    logger = tune.logger.JsonLoggerCallback()
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=config.metric,
            mode="max",
            search_alg=search,
            scheduler=make_scheduler(config.space.scheduler, earlier),
            num_samples=left,
            max_concurrent_trials=room.concurrent,
            time_budget_s=config.time_budget,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial_folder(trial.config["number"]),
            trial_dirname_creator=lambda trial: trial_folder(trial.config["number"]),
        ),
        run_config=tune.RunConfig(
            name=session,
            storage_path=storage.uri,
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute=config.metric, checkpoint_score_order="max"
            ),
            callbacks=[logger, StudyCallback(folder.tensorboard, search, announce)],
            verbose=0,
        ),
    )
    tuner.fit()
