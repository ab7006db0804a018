"""TensorBoard event files: one run a trial, tidy tags, and HParams with the best epoch's figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from sa_study import keys

_TAGS = {
    keys.LOSS: "train/loss/sum",
    keys.TRAIN_ACCURACY: "train/accuracy",
    keys.LR: "train/lr",
    keys.IMAGES_PER_SECOND: "speed/images_per_second",
    keys.SECONDS: "speed/seconds_per_epoch",
    keys.LATENCY: "speed/milliseconds_per_image",
    keys.PROGRESS: "progress",
    **{name: f"val/{name}" for name in keys.RANKING},
}


def tag_of(name: str) -> str | None:
    """The tag under which a reported figure is written, or None for one that is no curve."""
    return _TAGS.get(name) or (f"train/{name}" if name.startswith(f"{keys.LOSS}/") else None)


class RunWriter:
    """Writes one training run's curves.

    Args:
        folder: The run's own folder of event files.
        first_epoch: Curves of an earlier launch are kept up to here and continued.
    """

    def __init__(self, folder: Path, first_epoch: int = 1):
        self._folder = str(folder)
        self._begin(first_epoch)

    def _begin(self, epoch: int) -> None:
        # Of what was written from this epoch on, TensorBoard shows only what comes now.
        self._writer = SummaryWriter(self._folder, purge_step=epoch)
        self._next = epoch

    def write_epoch(self, figures: Mapping[str, Any]) -> None:
        """Writes an epoch's figures at its number; one that was run again takes its place."""
        if (epoch := int(figures[keys.EPOCH])) < self._next:
            self._writer.close()
            self._begin(epoch)
        self._next = epoch + 1
        for name, value in figures.items():
            if tag := tag_of(name):
                self._writer.add_scalar(tag, float(value), int(figures[keys.EPOCH]))
        self._writer.flush()

    def close(self, settings: Mapping[str, Any], best: Mapping[str, float], state: str) -> None:
        """Writes the HParams record and ends the files.

        Args:
            settings: The searched settings of the run.
            best: The best epoch's figures; empty when there is none.
            state: How the run ended, e.g. `COMPLETE`.
        """
        figures = {f"best/{name}": float(best[name]) for name in (keys.EPOCH, *keys.RANKING) if name in best}
        self._writer.add_hparams({**settings, "state": state}, figures, run_name=".")
        self._writer.close()
