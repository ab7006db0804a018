"""A Ray worker's process: trains one trial after the other, and reports each epoch with its checkpoint."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.trainable.trainable import _TrainingResult  # type: ignore[attr-defined]

from sa_study.data.device_images import DeviceImages
from sa_study.data.store import DataByFold
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.checkpoint_writer import CheckpointWriter
from sa_study.tuning.launch.pretrained import PretrainedBackbones
from sa_study.utils.errors import ConfigError, Diverged, WeightsError
from sa_study.utils.files import DISK_FULL_ERRORS


class TrialProcess(tune.Trainable):
    """Trains an epoch of its trial with each step; what all trials need, it gets and prepares once.

    A step's checkpoint lies in the storage, whole, before Ray hears of the epoch.
    """

    _storage: Any  # Ray's own attributes: where the trial's checkpoints go, and the last step's result
    _last_result: Any

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        *,
        data: DataByFold,
        backbones: PretrainedBackbones,
        storage: Storage,
        metric: str,
    ) -> None:
        """Takes over what the trials of this process need.

        Args:
            config: The first trial, as `StudySearcher.suggest` returned it.
            data: The decoded images, shared by all processes of a node.
            backbones: The pretrained backbones; a worker's node need not have their files.
            storage: The study's storage, which has the checkpoints of earlier launches.
            metric: The study's metric, which Ray wants in every report.
        """
        self._data = data
        self._backbones = backbones
        self._trials = storage
        self._metric = metric
        self._images: DeviceImages | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes another trial, which begins with the next step."""
        self._trial_config = new_config
        self._run: TrialRun | None = None
        return True

    def step(self) -> dict[str, Any]:
        """Trains an epoch, from the trial's last intact checkpoint if this is the first here.

        Returns:
            The epoch's figures, or why the trial cannot go on.
        """
        # Reported, not raised: Ray would retry an error, and these would only happen again.
        try:
            return self._epoch(self._run or self._begin())
        except Diverged as error:
            return {self._metric: math.nan, names.FAILURE: str(error)}
        except _DiskFullError as error:
            return {self._metric: math.nan, names.HALT: str(error)}

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """The last step's checkpoint, which Ray asks for; its own method would copy the files once more."""
        return _TrainingResult(self._checkpoint(), self._last_result)

    def load_checkpoint(self, checkpoint: object) -> None:
        """Does nothing: after a crash the trial's first step goes on from its last checkpoint."""

    def _checkpoint(self) -> tune.Checkpoint:
        """The trial's last checkpoint of this launch, or the one that is being written."""
        return tune.Checkpoint(self._storage.checkpoint_fs_path, self._storage.storage_filesystem)

    def _begin(self) -> TrialRun:
        run = TrialRun(self._trial_config, self._data, self._backbones, self._trials, self._images)
        self._run, self._images = run, run.trainer.images
        if self._storage.current_checkpoint_index >= 0:
            run.last_checkpoint = self._checkpoint()
        run.restore()
        return run

    def _epoch(self, run: TrialRun) -> dict[str, Any]:
        self._storage._update_checkpoint_index({})
        what = f"the checkpoint of epoch {run.trainer.epoch + 1}"
        with _naming_full_disk(what, self._trials.uri), CheckpointWriter(self._checkpoint()) as writer:
            figures = run.run_epoch(writer.start)
            writer.finish(run.trainer.history[-1])
        run.last_checkpoint = self._checkpoint()
        return {
            **figures,
            SHOULD_CHECKPOINT: True,
            "checkpoint_dir_name": self._storage.checkpoint_dir_name,
        }


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

    Args:
        config: What `StudySearcher.suggest` returned.
        data: Training and validation data by fold.
        backbones: The pretrained backbones.
        storage: The study's storage.
        images: The data's images on the device, from an earlier trial.

    Attributes:
        trainer: The trainer.
        last_checkpoint: The trial's last checkpoint of this launch; None before the first.
    """

    def __init__(
        self,
        config: dict[str, Any],
        data: DataByFold,
        backbones: PretrainedBackbones,
        storage: Storage,
        images: DeviceImages | None = None,
    ):
        self._settings = Settings.from_mapping(config["settings"])
        self._resume_from: list[str] = config["resume_from"]
        self._data = data[self._settings.fold]
        self._backbones = backbones
        self._storage = storage
        self._images = images
        self._notes: list[str] = []
        self._doubled = False
        self.last_checkpoint: tune.Checkpoint | None = None
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

    def run_epoch(self, on_trained: Callable[[Checkpoint], None] | None = None) -> dict[str, Any]:
        """Trains an epoch and returns its figures.

        After a CUDA out-of-memory error the epoch is repeated once with twice the gradient accumulation.

        Args:
            on_trained: As in `Trainer.run_epoch`; called again where the epoch is repeated.

        Raises:
            Diverged: A figure is not finite, or GPU memory does not suffice even so.
        """
        try:
            figures = self.trainer.run_epoch(on_trained)
        except torch.OutOfMemoryError as error:
            if not self._double_accumulation():
                raise Diverged(f"epoch {self.trainer.epoch + 1}: {str(error).splitlines()[0]}") from None
            return self.run_epoch(on_trained)
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
        backbone = self._backbones.get((settings.backbone, settings.pretrained))
        trainer = Trainer(settings, self._data, backbone, self._images)
        self._images = trainer.images
        return trainer

    def _checkpoints(self) -> Iterator[tune.Checkpoint]:
        """The trial's checkpoints, the latest first: this launch's, then those of earlier launches."""
        if self.last_checkpoint:
            yield self.last_checkpoint
        yield from map(self._storage.checkpoint, self._resume_from)
