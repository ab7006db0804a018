"""A trial trained again in this process, and its best weights beside those that are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sa_study.analysis.reproduce.compare_epochs import DIFFERENT, EQUAL, NOT_COMPARED
from sa_study.analysis.reproduce.recorded import Recorded
from sa_study.data.store import TrainingData
from sa_study.metrics import names
from sa_study.settings.run import completed
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint
from sa_study.training.run import load_training_data
from sa_study.training.trainer import Trainer, backbone_start
from sa_study.tuning.launch.pretrained import fingerprint
from sa_study.utils.errors import DataError, Diverged, StudyFolderError, WeightsError
from sa_study.utils.progress import ProgressCallback


@dataclass
class Rerun:
    """What a rerun gave.

    Attributes:
        epochs: Figures of its epochs.
        weights: The network's state at the best epoch of the record; None where it did not come to it.
        failure: Why it could not go on, or empty.
        device: Where it ran.
        start: Fingerprint of the backbone that it started from; empty for random weights.
    """

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None
    failure: str = ""
    device: str = "cpu"
    start: str = ""


def load_images(recorded: Recorded, data_dir: Path | None, progress: ProgressCallback) -> TrainingData:
    """Decodes what the trial was trained on and validated with.

    Raises:
        DataError: The images cannot be used, or are not those of the study.
    """
    place = data_dir or recorded.config.data_dir
    data = load_training_data(recorded.config.dataset(data_dir), recorded.settings, progress)
    if data.store.fingerprint != recorded.fingerprint:
        raise DataError(
            f"{place}: its training images are not those that the study was begun with (fingerprint "
            f"{data.store.fingerprint[:12]}, not {recorded.fingerprint[:12]}); give the same by --data-dir"
        )
    return data


def run_again(
    recorded: Recorded, data: TrainingData, on_epoch: Callable[[Mapping[str, float]], None]
) -> Rerun:
    """Trains as the trial was trained, to the epoch to which it came; a failed one until it fails.

    Raises:
        StudyError: The settings cannot be had here.
    """
    settings, record = recorded.settings, recorded.record
    if settings.device == "cuda":  # where there is none, the CPU may still come close
        settings = dataclasses.replace(settings, device="auto")
    start = backbone_start(settings.backbone, settings.pretrained)
    trainer, best = Trainer(settings, data, start), record.best.get(names.EPOCH)
    rerun = Rerun(device=trainer.device.type, start=fingerprint(start) if start else "")
    while trainer.epoch < recorded.goal:
        try:
            figures = trainer.run_epoch()
        except Diverged as error:
            rerun.failure = str(error)
            break
        except (RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
            if not record.failure and not isinstance(error, torch.OutOfMemoryError):
                raise
            rerun.failure = f"epoch {trainer.epoch + 1}: {' '.join(str(error).split())[:200]}"
            break
        rerun.epochs[trainer.epoch] = figures
        if trainer.epoch == best:
            state = trainer.checkpoint().state_dict
            rerun.weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        on_epoch(figures)
    return rerun


def compare_weights(recorded: Recorded, weights: Mapping[str, Tensor] | None) -> tuple[str, str]:
    """Compares the best epoch's weights with those of the best checkpoint.

    Returns:
        Whether they are equal, and why they were not compared, in words.
    """
    if not recorded.record.best:
        return NOT_COMPARED, ""
    if weights is None:
        return NOT_COMPARED, "weights: not compared, as the rerun did not come to the best epoch"
    checkpoint = _checkpoint(recorded)
    if isinstance(checkpoint, str):
        return NOT_COMPARED, f"weights: not compared, as the best checkpoint {checkpoint}"
    state = checkpoint.state_dict
    same = state.keys() == weights.keys() and all(
        value.dtype == weights[name].dtype and torch.equal(value, weights[name])
        for name, value in state.items()
    )
    return EQUAL if same else DIFFERENT, ""


def _checkpoint(recorded: Recorded) -> Checkpoint | str:
    """The checkpoint of the best epoch, or why it is not there."""
    record = recorded.record
    storage = Storage.of_study(recorded.folder, recorded.config.storage_path)
    try:
        with storage.checkpoint(record.best_checkpoint).as_directory() as folder:
            checkpoint = load_checkpoint(Path(folder) / FILE_NAME)
    except (OSError, WeightsError, StudyFolderError) as error:
        return f"cannot be read ({' '.join(str(error).split())[:200]})"
    if checkpoint.epoch != record.best[names.EPOCH]:
        return f"is of epoch {checkpoint.epoch}"
    wanted = {**recorded.settings.to_dict(), names.ACCUMULATE: None}
    settings = {**completed(checkpoint.settings), names.ACCUMULATE: None}
    apart = [name for name, value in wanted.items() if settings.get(name) != value]
    return f"was made with another {apart[0]}" if apart else checkpoint
