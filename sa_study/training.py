"""A fixed configuration trained in this process, without Ray, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sa_study import keys
from sa_study.checkpoint import load_checkpoint, save_checkpoint
from sa_study.config import Settings, read_yaml
from sa_study.data.images import Progress
from sa_study.data.market1501 import Market1501
from sa_study.data.store import TrainingData, training_data
from sa_study.engine import Trainer, best_epoch
from sa_study.errors import ConfigError, StudyFolderError
from sa_study.files import write_json, write_yaml
from sa_study.provenance import describe_run
from sa_study.report.tensorboard import RunWriter


class RunFolder:
    """Paths inside the folder of one training run.

    Attributes:
        root: The folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self.config = root / "config.yaml"
        self.provenance = root / "provenance.json"
        self.last = root / "last.pt"
        self.best = root / "best.pt"
        self.tensorboard = root / "tensorboard"
        self.evaluation = root / "evaluation.json"

    def require_free(self) -> None:
        """Checks that a new run may be made here.

        Raises:
            StudyFolderError: Something stands there already.
        """
        if self.config.exists():
            raise StudyFolderError(
                f"{self.root}: holds a run already; go on with --resume, or choose another --out"
            )
        if self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir())):
            raise StudyFolderError(
                f"{self.root}: exists already and is not an empty folder; choose another --out"
            )

    def require_run_of(self, settings: Settings) -> None:
        """Checks that a run of these settings was begun here.

        Raises:
            StudyFolderError: There is none.
            ConfigError: It has other settings.
        """
        if not self.config.is_file():
            raise StudyFolderError(f"{self.root}: holds no run to resume; leave --resume out")
        before = Settings.from_mapping(read_yaml(self.config), str(self.config)).to_dict()
        for name, value in settings.to_dict().items():
            if before[name] != value:
                raise ConfigError(
                    f"{name}: the run was begun with {before[name]!r}, not {value!r}; give the same"
                )


def load_training_data(
    dataset: Market1501, settings: Settings, progress: Progress | None = None
) -> TrainingData:
    """Decodes what the settings train and validate on.

    Raises:
        DataError: The images cannot be used.
        ConfigError: There are fewer training images than a batch.
    """
    data = training_data(
        dataset,
        val_identities=settings.val_identities,
        split_seed=settings.split_seed,
        size=(settings.height, settings.width),
        max_identities=settings.identities or None,
        progress=progress,
    )
    if settings.batch_size > len(data.train):
        raise ConfigError(
            f"batch_size: {settings.batch_size}, but only {len(data.train)} images are trained on"
        )
    return data


def train(
    settings: Settings,
    data: TrainingData,
    folder: RunFolder,
    *,
    resume: bool = False,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda figures: None,
) -> Mapping[str, float]:
    """Trains to the last epoch, keeping `last.pt` to go on from and `best.pt` to use.

    `best.pt` is of the epoch with the best validation mAP; of the last where nothing is held out.

    Args:
        settings: What to train.
        data: Images, as `load_training_data` gives them.
        folder: Where to; free, or with `resume` that of an earlier run of the same settings.
        resume: Go on from `last.pt`.
        on_epoch: Called with each epoch's figures.

    Returns:
        The figures of the epoch that `best.pt` is of.

    Raises:
        StudyError: Bad input, or the loss is not finite.
    """
    if resume:
        folder.require_run_of(settings)
    else:
        folder.require_free()
    trainer = Trainer(settings, data)
    if resume and folder.last.exists():
        trainer.restore(load_checkpoint(folder.last))
    folder.root.mkdir(parents=True, exist_ok=True)
    write_yaml(folder.config, settings.to_dict())
    write_json(folder.provenance, {"data_fingerprint": data.store.fingerprint, **describe_run()})
    writer = RunWriter(folder.tensorboard, trainer.epoch + 1)
    while not trainer.finished:
        figures = trainer.run_epoch()
        checkpoint = trainer.checkpoint()
        if best_epoch(trainer.history, keys.MAP) is figures:
            # Before last.pt: a run killed between the two repeats the epoch, so neither is ever lost.
            save_checkpoint(folder.best, checkpoint.weights_only())
        save_checkpoint(folder.last, checkpoint)
        writer.write_epoch(figures)
        on_epoch(figures)
    best = best_epoch(trainer.history, keys.MAP)
    writer.close(
        {"lr": settings.lr, "dropout": settings.dropout, "epochs": settings.epochs}, best, "COMPLETE"
    )
    return best
