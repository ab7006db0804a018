"""Trains one fixed configuration in this process, without Ray, in a folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from sa_study.data.store import TrainingData
from sa_study.metrics.protocol import PROTOCOL
from sa_study.provenance import append_launch
from sa_study.settings.run import Settings
from sa_study.settings.yaml_files import read_yaml, write_yaml
from sa_study.training.checkpoint import load_checkpoint, save_checkpoint
from sa_study.training.epoch_loggers import start_loggers
from sa_study.training.score import best_epoch
from sa_study.training.trainer import Trainer
from sa_study.utils.errors import ConfigError, StudyFolderError, WeightsError


class RunFolder:
    """Paths inside the folder `root` of one training run."""

    def __init__(self, root: Path):
        self.root = root
        self.config = root / "config.yaml"
        self.provenance = root / "provenance.json"
        self.last = root / "last.pt"
        self.best = root / "best.pt"
        self.evaluation = root / "evaluation.json"

    def check(self, settings: Settings, resume: bool) -> None:
        """Checks that a run of these settings may begin here, or be resumed.

        Raises:
            StudyFolderError: Something else stands there, or a run that is not to be resumed.
            ConfigError: The run that is to be resumed has other settings.
        """
        if not self.config.is_file():
            found = list(self.root.iterdir()) if self.root.is_dir() else []
            # A run that was killed while it wrote its settings leaves a temporary file behind.
            killed = [
                path for path in found if path.name.startswith(f".{self.config.name}.") and path.is_file()
            ]
            if len(found) > len(killed) or (self.root.exists() and not self.root.is_dir()):
                raise StudyFolderError(f"{self.root}: holds something, but no run; choose another --out")
            return
        if not resume:
            raise StudyFolderError(
                f"{self.root}: holds a run; go on with it by --resume, or choose another --out"
            )
        before = Settings.from_mapping(read_yaml(self.config), str(self.config))
        for name, value in dataclasses.asdict(settings).items():  # not as stored: a key that both have
            if (was := getattr(before, name)) != value:
                raise ConfigError(f"{name}: the run was begun with {was!r}, not {value!r}; give the same")


def train(
    settings: Settings,
    data: TrainingData,
    folder: RunFolder,
    *,
    resume: bool = False,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda figures: None,
) -> Mapping[str, float]:
    """Trains to the last epoch, keeping `last.pt` to resume from and `best.pt`, of the best epoch, to use.

    Args:
        settings: The run's settings.
        data: Images, as `load_training_data` gives them.
        folder: The run's folder: free, or with `resume` that of a run of the same settings and images.
        resume: Continue from `last.pt` if there is one.
        on_epoch: Called with each epoch's figures.

    Returns:
        The figures of the best epoch.

    Raises:
        StudyError: Bad input, or the loss is not finite.
    """
    folder.check(settings, resume)
    trainer = Trainer(settings, data)
    if folder.last.exists():
        try:
            trainer.restore(load_checkpoint(folder.last))
        except WeightsError as error:
            fault = str(error).removeprefix(f"{folder.last}: ")
            raise WeightsError(f"{folder.last}: {fault}; move {folder.root} away, and begin again") from None
    folder.root.mkdir(parents=True, exist_ok=True)
    write_yaml(folder.config, settings.to_dict())
    append_launch(folder.provenance, data.store.fingerprint, **{PROTOCOL: data.store.protocol})
    loggers = start_loggers(folder.root, first_epoch=trainer.epoch + 1)
    while not trainer.finished:
        figures = trainer.run_epoch()
        checkpoint = trainer.checkpoint()
        if best_epoch(trainer.history, settings.metric) is figures:
            # Before last.pt: a run killed between the two repeats the epoch, so neither is ever lost.
            save_checkpoint(folder.best, checkpoint.weights_only())
        save_checkpoint(folder.last, checkpoint)
        for logger in loggers:
            logger.log_epoch(figures)
        on_epoch(figures)
    best = best_epoch(trainer.history, settings.metric)
    shown = {"lr": settings.peak_lr, "dropout": settings.dropout, "epochs": settings.epochs}
    for logger in loggers:
        logger.close(shown, best, "COMPLETE")
    return best
