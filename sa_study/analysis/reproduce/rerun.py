"""Trains a trial again in this process, and compares the weights of its best epoch with the checkpoint's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sa_study.analysis.reproduce.compare_epochs import DIFFERENT, EQUAL, NOT_COMPARED
from sa_study.analysis.reproduce.original import OriginalTrial
from sa_study.data.store import TrainingData, load_training_data
from sa_study.study.winner import best_checkpoint_file, checkpoint_mismatch
from sa_study.training.checkpoint import load_checkpoint
from sa_study.training.trainer import Trainer, pretrained_backbone
from sa_study.tuning.launch.pretrained import fingerprint
from sa_study.utils.errors import DataError, Diverged, StudyError
from sa_study.utils.progress import ProgressCallback


@dataclass
class Rerun:
    """The outcome of training a trial again.

    Attributes:
        epochs: Figures by epoch.
        weights: The network's state at the recorded best epoch; None where training did not reach it.
        failure: Why training could not go on, or empty.
        device: The type of the device.
        backbone_fingerprint: That of the pretrained backbone it started from; empty for random weights.
    """

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None
    failure: str = ""
    device: str = "cpu"
    backbone_fingerprint: str = ""


def load_images(original: OriginalTrial, data_dir: Path | None, progress: ProgressCallback) -> TrainingData:
    """Decodes the images that the trial was trained on and validated with.

    Raises:
        DataError: The images cannot be used, or are not those of the study.
    """
    config, expected = original.study.config, original.study.provenance["data_fingerprint"]
    data = load_training_data(config.dataset(data_dir), original.settings, progress)
    if data.store.fingerprint != expected:
        raise DataError(
            f"{data_dir or config.data_dir}: its training images are not those that the study was begun with "
            f"(fingerprint {data.store.fingerprint[:12]}, not {expected[:12]}); give the same by --data-dir"
        )
    return data


def rerun_trial(
    original: OriginalTrial, data: TrainingData, on_epoch: Callable[[Mapping[str, float]], None]
) -> Rerun:
    """Trains with a trial's settings up to its last epoch; where it failed, until training fails.

    Args:
        original: The trial.
        data: The images, as `load_images` returns them.
        on_epoch: Called with the figures of each epoch.

    Raises:
        StudyError: The settings cannot be used on this machine.
    """
    settings = original.settings
    if settings.device == "cuda":  # where there is no GPU, the CPU may still come within the tolerance
        settings = dataclasses.replace(settings, device="auto")
    start = pretrained_backbone(settings.backbone, settings.pretrained)
    trainer = Trainer(settings, data, start)
    rerun = Rerun(device=trainer.device.type, backbone_fingerprint=fingerprint(start) if start else "")
    while trainer.epoch < original.goal:
        try:
            figures = trainer.run_epoch()
        except Diverged as error:
            rerun.failure = str(error)
            break
        except (RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
            if not original.failure and not isinstance(error, torch.OutOfMemoryError):
                raise  # a fault of this program
            rerun.failure = f"epoch {trainer.epoch + 1}: {_line(error)}"
            break
        rerun.epochs[trainer.epoch] = figures
        if trainer.epoch == original.summary.best_epoch:
            state = trainer.checkpoint().state_dict
            rerun.weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        on_epoch(figures)
    return rerun


def compare_weights(original: OriginalTrial, weights: Mapping[str, Tensor] | None) -> tuple[str, str]:
    """Compares the weights of the best epoch with those of the best checkpoint, bit by bit.

    Returns:
        `equal`, `different` or `not compared`, and in words why they were not compared.
    """
    if not original.summary.best_epoch:
        return NOT_COMPARED, ""
    if weights is None:
        return NOT_COMPARED, "weights: not compared, as the rerun did not come to the best epoch"
    try:
        with best_checkpoint_file(original.study, original.summary) as path:
            checkpoint = load_checkpoint(path)
    except StudyError as error:
        return NOT_COMPARED, f"weights: not compared ({_line(error)})"
    if mismatch := checkpoint_mismatch(checkpoint, original.summary, original.settings):
        return NOT_COMPARED, f"weights: not compared, as the best checkpoint {mismatch}"
    state = checkpoint.state_dict
    same = state.keys() == weights.keys() and all(
        value.dtype == weights[name].dtype and torch.equal(value, weights[name])
        for name, value in state.items()
    )
    return EQUAL if same else DIFFERENT, ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
