"""One trial in a Ray worker: the engine's epochs, reported with their checkpoints."""

from __future__ import annotations

import dataclasses
import errno
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

from sa_study.data.store import Folds
from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.pretrained import Starts
from sa_study.tuning.launch.session import Session
from sa_study.utils.errors import ConfigError, Diverged, WeightsError

_LEAST_PART = 2
"""Images that batch normalisation needs."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


def run_trial(
    config: dict[str, Any],
    data: Folds,
    starts: Starts,
    storage: Storage,
    metric: str,
    session: Session | None = None,
) -> None:
    """Trains one configuration, from its last whole checkpoint where it has one.

    Args:
        config: What `StudySearcher.suggest` returned.
        data: The decoded images by fold, shared by all trials of a node.
        starts: The pretrained backbones; a worker's node need not have their files.
        storage: Where checkpoints lie.
        metric: The study's metric, which Ray wants in every report.
        session: The launch's folders on this machine; None on a joined cluster, where each node has its own.
    """
    # Faults are reported, not raised: Ray would retry an error, and these would only happen again.
    try:
        run = Run(config, data, starts, storage)
        run.go_on()
        while not run.trainer.finished:
            _report(run.epoch(), run.trainer, storage, session.checkpoints if session else None)
    except Diverged as error:
        tune.report({metric: math.nan, names.FAILURE: str(error)})
    except _DiskFullError as error:
        tune.report({metric: math.nan, names.HALT: str(error)})


def _report(figures: dict[str, Any], trainer: Trainer, storage: Storage, temporary: Path | None) -> None:
    """Reports an epoch with its checkpoint, by way of a temporary folder."""
    what = f"the checkpoint of epoch {trainer.epoch}"
    place = str(temporary.parent if temporary else tempfile.gettempdir())
    with _naming_full_disk(what, place), tempfile.TemporaryDirectory(dir=temporary) as folder:
        save_checkpoint(Path(folder) / FILE_NAME, trainer.checkpoint())
        with _naming_full_disk(what, storage.uri):
            tune.report(figures, checkpoint=tune.Checkpoint.from_directory(folder))


class _DiskFullError(Exception):
    """A file finds no room; says which, and in which folder."""


@contextmanager
def _naming_full_disk(what: str, place: str) -> Iterator[None]:
    """Has a full disk say where it is.

    Args:
        what: What is written.
        place: The folder that holds it.

    Raises:
        _DiskFullError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        reason = f"no room for {what} in {place} on {platform.node()} ({os.strerror(error.errno)})"
        raise _DiskFullError(reason) from None


class Run:
    """A trainer, where it can go on from, and what is told of it with its next epoch."""

    def __init__(self, config: dict[str, Any], data: Folds, starts: Starts, storage: Storage):
        self._settings = Settings.from_mapping(config["settings"])
        self._resume_from: list[str] = config["resume_from"]
        self._data = data[self._settings.fold]
        self._starts = starts
        self._storage = storage
        self._notes: list[str] = []
        self._retried = False
        self.trainer = self._make(self._settings)

    def go_on(self) -> None:
        """Restores the last checkpoint that is whole, or begins.

        Raises:
            _DiskFullError: One that lies elsewhere cannot be copied here.
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
                damaged, self.trainer = True, self._make(self.trainer.settings)
                continue
            break
        if damaged:
            epoch = self.trainer.epoch
            self._notes.append(f"went on from epoch {epoch}" if epoch else "began again at its first epoch")

    def epoch(self) -> dict[str, Any]:
        """Trains an epoch; a full GPU memory is met, once, by gradients of half as many images at a time.

        Raises:
            Diverged: A figure is not finite, or the GPU memory is full for good.
        """
        try:
            figures = self.trainer.run_epoch()
        except torch.OutOfMemoryError as error:
            if not self._halve():
                raise Diverged(f"epoch {self.trainer.epoch + 1}: {_first_line(error)}") from None
            return self.epoch()
        told: dict[str, Any] = {names.ACCUMULATE: self.trainer.settings.accumulate}
        if self._notes:
            told[names.NOTES], self._notes = self._notes, []
        return {**figures, **told}

    def _halve(self) -> bool:
        """Goes back to the last epoch's end with twice as many parts a batch; once, and if that can be."""
        settings, parts = self.trainer.settings, 2 * self.trainer.settings.accumulate
        if self._retried or settings.batch_size // parts < _LEAST_PART:
            return False
        self._retried = True
        self._notes.append(
            f"out of GPU memory in epoch {self.trainer.epoch + 1}; from there on gradients of "
            f"{settings.batch_size // parts} images at a time are added up to the same batch"
        )
        del self.trainer  # its tensors must go before the next one's come
        gc.collect()
        self.trainer = self._make(dataclasses.replace(settings, accumulate=parts))
        self.go_on()
        return True

    def _make(self, settings: Settings) -> Trainer:
        torch.cuda.empty_cache()  # the process may have run another trial before
        return Trainer(settings, self._data, self._starts.get((settings.backbone, settings.pretrained)))

    def _checkpoints(self) -> Iterator[tune.Checkpoint]:
        """Where the trial can go on from, the latest first: this launch's own, then earlier ones'."""
        latest = tune.get_checkpoint()
        if latest is not None:
            yield latest
        for path in self._resume_from:
            yield self._storage.checkpoint(path)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
