"""What hears of every epoch of a run, single or a trial, and writes files into its folder: TensorBoard.

Another is a class with the methods of `EpochLogger`, in a file of its own, and in `EPOCH_LOGGERS`. What sends
to a server, which may be slow or away, is a tracker instead: see `sa_study.trackers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sa_study.settings.space import Parameter
from sa_study.training.tensorboard import TensorBoardLogger


class EpochLogger(Protocol):
    """Logs the epochs of one training run.

    Args:
        folder: Folder of the run, or of the study whose trial it is.
        run: The trial's name within its study, such as `trial_0003`; empty for a run on its own.
        first_epoch: The next epoch's number; what an earlier launch logged from there on is superseded.
    """

    def __init__(self, folder: Path, run: str, first_epoch: int) -> None: ...

    @staticmethod
    def start_study(folder: Path, search: Mapping[str, Parameter]) -> None:
        """Logs what all trials of the study in a folder share; called once a launch, before any trial."""

    def log_epoch(self, figures: Mapping[str, Any]) -> None:
        """Logs an epoch; one that was run again replaces its first run and what came after it.

        The figures have the names in `sa_study.metrics.names`; others are to be left out.
        """

    def close(self, settings: Mapping[str, Any], best: Mapping[str, float], state: str) -> None:
        """Logs the end of the run.

        Args:
            settings: The searched settings of the run.
            best: The best epoch's figures; empty when there is none.
            state: How it ended: `COMPLETE`, `PRUNED` or `FAIL`.
        """


EPOCH_LOGGERS: tuple[type[EpochLogger], ...] = (TensorBoardLogger,)


def start_loggers(folder: Path, run: str = "", first_epoch: int = 1) -> list[EpochLogger]:
    """A logger of each kind for one run; the arguments are those of `EpochLogger`."""
    return [logger(folder, run, first_epoch) for logger in EPOCH_LOGGERS]
