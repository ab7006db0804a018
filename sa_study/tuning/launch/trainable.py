"""One trial in a Ray worker: trains epoch by epoch and reports each with its checkpoint."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune

from sa_study.data.store import DataByFold
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.local_ray import Session
from sa_study.tuning.launch.pretrained import PretrainedBackbones
from sa_study.utils.errors import ConfigError, Diverged, WeightsError
from sa_study.utils.files import DISK_FULL_ERRORS


def run_trial(
    config: dict[str, Any],
    data: DataByFold,
    backbones: PretrainedBackbones,
    storage: Storage,
    metric: str,
    session: Session | None = None,
) -> None:
    """Trains one configuration, from its last intact checkpoint if it has one.

    Args:
        config: What `StudySearcher.suggest` returned.
        data: The decoded images, shared by all trials on a node.
        backbones: The pretrained backbones; a worker's node need not have their files.
        storage: The study's storage, which has the checkpoints of earlier launches.
        metric: The study's metric, which Ray wants in every report.
        session: The launch's temporary folders; None on a joined cluster, where each node has its own.
    """
    # Reported, not raised: Ray would retry an error, and these would only happen again.
    try:
        trial = TrialRun(config, data, backbones, storage)
        trial.restore()
        while not trial.trainer.finished:
            _report(trial.run_epoch(), trial.trainer, storage, session.checkpoints if session else None)
    except Diverged as error:
        tune.report({metric: math.nan, names.FAILURE: str(error)})
    except _DiskFullError as error:
        tune.report({metric: math.nan, names.HALT: str(error)})


def _report(figures: dict[str, Any], trainer: Trainer, storage: Storage, temporary: Path | None) -> None:
    """Reports an epoch with its checkpoint, from which Ray copies it to the storage."""
    what = f"the checkpoint of epoch {trainer.epoch}"
    place = str(temporary.parent if temporary else tempfile.gettempdir())
    with _naming_full_disk(what, place), tempfile.TemporaryDirectory(dir=temporary) as folder:
        save_checkpoint(Path(folder) / FILE_NAME, trainer.checkpoint())
        with _naming_full_disk(what, storage.uri):
            tune.report(figures, checkpoint=tune.Checkpoint.from_directory(folder))


class _DiskFullError(Exception):
    """A disk is full; the message names the file and the folder."""


@contextmanager
def _naming_full_disk(what: str, place: str) -> Iterator[None]:
    """Turns the system's error on a full disk into one that names what is written, and to which folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
        reason = f"no room for {what} in {place} on {platform.node()} ({os.strerror(error.errno)})"
        raise _DiskFullError(reason) from None


class TrialRun:
    """A trial's trainer, which recovers from damaged checkpoints and from a lack of GPU memory.

    Attributes:
        trainer: The trainer.
    """

    def __init__(
        self, config: dict[str, Any], data: DataByFold, backbones: PretrainedBackbones, storage: Storage
    ):
        self._settings = Settings.from_mapping(config["settings"])
        self._resume_from: list[str] = config["resume_from"]
        self._data = data[self._settings.fold]
        self._backbones = backbones
        self._storage = storage
        self._notes: list[str] = []
        self._doubled = False
        self.trainer = self._new_trainer(self._settings)

    def restore(self) -> None:
        """Restores the latest intact checkpoint, if there is one.

        Raises:
            _DiskFullError: A checkpoint cannot be copied to this machine.
        """
        damaged = False
        for candidate in self._checkpoints():
            try:
                copied = f"a copy of {candidate.path}"
                with _naming_full_disk(copied, tempfile.gettempdir()), candidate.as_directory() as folder:
                    checkpoint = load_checkpoint(Path(folder) / FILE_NAME)
            except (OSError, WeightsError) as error:
                self._notes.append(f"a checkpoint cannot be used: {candidate.path} ({error})")
                damaged = True
                continue
            try:
                self.trainer.restore(checkpoint)
            except (ConfigError, WeightsError) as error:
                self._notes.append(f"a checkpoint cannot be used: {candidate.path} ({error})")
                damaged, self.trainer = True, self._new_trainer(self.trainer.settings)
                continue
            break
        if damaged:
            epoch = self.trainer.epoch
            self._notes.append(f"went on from epoch {epoch}" if epoch else "began again at its first epoch")

    def run_epoch(self) -> dict[str, Any]:
        """Trains an epoch and returns its figures.

        After a CUDA out-of-memory error the epoch is repeated once with twice the gradient accumulation.

        Raises:
            Diverged: A figure is not finite, or GPU memory does not suffice even so.
        """
        try:
            figures = self.trainer.run_epoch()
        except torch.OutOfMemoryError as error:
            if not self._double_accumulation():
                raise Diverged(f"epoch {self.trainer.epoch + 1}: {str(error).splitlines()[0]}") from None
            return self.run_epoch()
        report: dict[str, Any] = {**figures, names.ACCUMULATE: self.trainer.settings.accumulate}
        if self._notes:
            report[names.NOTES], self._notes = self._notes, []
        return report

    def _double_accumulation(self) -> bool:
        """Returns to the last checkpoint with twice the accumulation; False if that was done or cannot be."""
        settings, parts = self.trainer.settings, 2 * self.trainer.settings.accumulate
        if self._doubled or parts > settings.max_accumulate:
            return False
        images = settings.batch_size // parts
        self._doubled = True
        self._notes.append(
            f"out of GPU memory in epoch {self.trainer.epoch + 1}; from there on gradients of {images} "
            "images at a time are added up to the same batch"
        )
        del self.trainer  # frees its memory before the next one needs it
        gc.collect()
        self.trainer = self._new_trainer(dataclasses.replace(settings, accumulate=parts))
        self.restore()
        return True

    def _new_trainer(self, settings: Settings) -> Trainer:
        torch.cuda.empty_cache()  # the process may have run another trial before
        return Trainer(settings, self._data, self._backbones.get((settings.backbone, settings.pretrained)))

    def _checkpoints(self) -> Iterator[tune.Checkpoint]:
        """The trial's checkpoints, the latest first: this launch's, then those of earlier launches."""
        if latest := tune.get_checkpoint():
            yield latest
        yield from map(self._storage.checkpoint, self._resume_from)
