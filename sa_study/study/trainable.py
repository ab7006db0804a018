"""One trial in a Ray worker: the engine's epochs, reported with their checkpoints."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from ray import tune

from sa_study import keys
from sa_study.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from sa_study.config import Settings
from sa_study.data.store import TrainingData
from sa_study.engine import Trainer
from sa_study.errors import Diverged
from sa_study.study.storage import Storage


def run_trial(config: dict[str, Any], data: TrainingData, storage: Storage, metric: str) -> None:
    """Trains one configuration, from its last checkpoint where it has one.

    Args:
        config: What `StudySearch.suggest` returned.
        data: The decoded images, shared by all trials of a node.
        storage: Where earlier launches' checkpoints lie.
        metric: The study's metric, which Ray wants in every report.
    """
    torch.cuda.empty_cache()  # the process may have run another trial before
    trainer = Trainer(Settings.from_mapping(config["settings"]), data)
    checkpoint = tune.get_checkpoint()
    if checkpoint is None and config["resume_from"]:
        checkpoint = storage.checkpoint(config["resume_from"])
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            trainer.restore(load_checkpoint(Path(folder) / FILE_NAME))
    while not trainer.finished:
        try:
            figures = trainer.run_epoch()
        except Diverged as error:
            # Reported, not raised: Ray would retry an error, and this one would only happen again.
            tune.report({metric: math.nan, keys.FAILURE: str(error)})
            return
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder) / FILE_NAME, trainer.checkpoint())
            tune.report(figures, checkpoint=tune.Checkpoint.from_directory(folder))
