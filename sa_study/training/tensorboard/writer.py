"""TensorBoard event files: one run a trial, tidy tags, and HParams with the best epoch's figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from sa_study.metrics import names
from sa_study.settings.space import Parameter
from sa_study.training.tensorboard.hparams import columns, session_end, session_start
from sa_study.training.tensorboard.tags import tag_of

_LAYOUT = {
    "Validation": {
        "mAP of all trials": ["Multiline", [r"^val/mAP$"]],
        "rank-1 of all trials": ["Multiline", [r"^val/rank1$"]],
    },
    "Training loss": {
        "all branches, added up": ["Multiline", [r"^train/loss$"]],
        "body parts": ["Multiline", [r"^train/loss/part\d+$"]],
        "whole image": ["Multiline", [r"^train/loss/global$"]],
        "deep supervision": ["Multiline", [r"^train/loss/stage\d+$"]],
    },
    "Schedule and speed": {
        "learning rate": ["Multiline", [r"^train/lr$"]],
        "images a second": ["Multiline", [r"^speed/images_per_second$"]],
    },
}
"""Charts of TensorBoard's Custom Scalars tab, each with the tags it takes as regular expressions."""

FOLDER = "tensorboard"
"""Name of the folder of event files in a run's or a study's folder."""

_EVENT_FILES = "events.out.tfevents.*"


class TensorBoardLogger:
    """Writes a run's curves and its line in HParams; an `EpochLogger`, whose arguments it takes."""

    def __init__(self, folder: Path, run: str = "", first_epoch: int = 1):
        self._folder = str(folder / FOLDER / run)
        self._begin(first_epoch)

    @staticmethod
    def start_study(folder: Path, search: Mapping[str, Parameter]) -> None:
        """Writes what belongs to all trials: HParams' columns and the layout of Custom Scalars.

        Args:
            folder: Folder of the study; what an earlier launch wrote of this is replaced.
            search: The searched settings, HParams' first columns.
        """
        earlier = list((folder / FOLDER).glob(_EVENT_FILES))
        with SummaryWriter(str(folder / FOLDER)) as writer:
            writer._get_file_writer().add_summary(columns(search))
            writer.add_custom_scalars(_LAYOUT)
        for path in earlier:
            path.unlink()

    def _begin(self, epoch: int) -> None:
        # Of what was written from this epoch on, TensorBoard shows only what comes now.
        self._writer = SummaryWriter(self._folder, purge_step=epoch)
        self._next = epoch

    def log_epoch(self, figures: Mapping[str, Any]) -> None:
        """Writes an epoch's figures at its number; an epoch that was run again replaces its first run."""
        if (epoch := int(figures[names.EPOCH])) < self._next:
            self._writer.close()
            self._begin(epoch)
        self._next = epoch + 1
        for name, value in figures.items():
            if tag := tag_of(name):
                self._writer.add_scalar(tag, float(value), epoch)
        self._writer.flush()

    def close(self, settings: Mapping[str, Any], best: Mapping[str, float], state: str) -> None:
        """Writes the HParams record and ends the files.

        PyTorch's own writer would take no NumPy numbers, show truth values as 0 and 1, and call every trial a
        success; and of the columns that it writes for each trial TensorBoard heeds the first trial's alone.

        Args:
            settings: The searched settings of the run.
            best: The best epoch's figures; empty when there is none.
            state: How the run ended: `COMPLETE`, `PRUNED` or `FAIL`.
        """
        events = self._writer._get_file_writer()
        events.add_summary(session_start({**settings, "state": state}))
        for name in (names.EPOCH, *names.RANKING):
            if name in best:
                self._writer.add_scalar(f"best/{name}", float(best[name]), int(best[names.EPOCH]))
        events.add_summary(session_end(failed=state == "FAIL"))
        self._writer.close()


def write_images(folder: Path, images: Mapping[str, NDArray[np.uint8]], step: int = 0) -> None:
    """Writes pictures of a run, for TensorBoard's Images tab, as a run `pictures` inside it.

    Args:
        folder: The run's folder, e.g. that of a study's best trial; earlier pictures of it are replaced.
        images: By tag (`samples/gallery`; a slash groups): uint8, height × width × 3, RGB.
        step: Their place on the slider, e.g. the epoch of the weights.

    Raises:
        ValueError: An image has another shape or type; nothing is written.
    """
    for tag, image in images.items():
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"{tag}: {image.dtype} {image.shape} is not uint8, height × width × 3")
    target = folder / "pictures"
    earlier = list(target.glob(_EVENT_FILES))
    with SummaryWriter(str(target)) as writer:
        for tag, image in images.items():
            writer.add_image(tag, image, step, dataformats="HWC")
    for path in earlier:
        path.unlink()
