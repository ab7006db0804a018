"""The folder of a study: the paths of all its files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sa_study.utils.errors import StudyFolderError

_OUTPUTS = ("pictures", "export")


class StudyFolder:
    """Paths inside a study's folder, and the checks that it is one.

    Attributes:
        root: The folder, absolute, because Ray's workers run elsewhere.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        self.config = self.root / "study.yaml"
        self.provenance = self.root / "provenance.json"
        self.database = self.root / "optuna.db"
        self.database_copy = self.root / "optuna.db.copy"
        self.lock = self.root / "driver.lock"
        self.trials = self.root / "trials"
        self.tensorboard = self.root / "tensorboard"
        self.wandb = self.root / "wandb"
        self.best_settings = self.root / "best.yaml"
        self.best_weights = self.root / "best.pt"
        self.evaluation = self.root / "evaluation.json"
        self.ledger = self.root / "test_ledger.json"
        self.final = self.root / "final"
        self.retrained = self.root / "retrained.json"
        self.confirm = self.root / "confirm"
        self.confirmation = self.root / "confirmation.json"
        self.ablation = self.root / "ablation.json"
        self.reproduction = self.root / "reproduction.json"
        self.baseline_weights = self.root / "baseline.pt"
        self.baseline_evaluation = self.root / "baseline_evaluation.json"

    @property
    def evaluation_files(self) -> dict[str, Path]:
        """Files of the evaluations on the study's own test set, `best` and `baseline`."""
        return {"best": self.evaluation, "baseline": self.baseline_evaluation}

    @classmethod
    def new(cls, root: Path) -> StudyFolder:
        """The folder of a new study, not written yet; StudyFolderError if it is there and not empty."""
        folder = cls(root)
        if folder.config.exists():
            raise StudyFolderError(f"{root}: holds a study already; go on with 'resume --study {root}'")
        if root.exists() and (
            not root.is_dir() or any(not folder.is_leftover(path) for path in root.iterdir())
        ):
            raise StudyFolderError(
                f"{root}: exists already and is not an empty folder; choose another --study"
            )
        return folder

    def is_leftover(self, path: Path) -> bool:
        """Whether a launch that was killed before it wrote `study.yaml` can have left this file."""
        mine = (self.provenance, self.database, self.config, self.lock)
        return path.name.lstrip(".").startswith(tuple(file.name for file in mine)) and path.is_file()

    def clear_leftovers(self) -> None:
        """Removes half-written files of a driver that was killed; to be called while the study is locked."""
        for path in (*self.root.glob(".*.tmp"), self.database_copy.with_suffix(".tmp")):
            path.unlink(missing_ok=True)

    @classmethod
    def existing(cls, root: Path) -> StudyFolder:
        """The folder of a study that was launched; StudyFolderError if it is missing, or holds no study."""
        folder = cls(root)
        if not root.is_dir():
            raise StudyFolderError(
                f"{root}: no such folder; 'tune --study {root} --data-dir DIR' makes a study"
            )
        missing = [path.name for path in (folder.config, folder.database) if not path.is_file()]
        if missing:
            raise StudyFolderError(f"{root}: is not a study folder ({' and '.join(missing)} missing)")
        own = [path for path in vars(folder).values() if path != folder.root]
        _refuse_links([*own, *(folder.root / name for name in _OUTPUTS)])
        return folder

    def require_own_files(self) -> None:
        """Raises a StudyFolderError for a link anywhere in it, before anything is written or removed."""
        for root, folders, files in os.walk(self.root):
            _refuse_links(Path(root, name) for name in (*folders, *files))
            if Path(root) == self.wandb:
                folders.clear()  # W&B has links in the folders of its runs


def trial_folder(number: int) -> str:
    """Name of a trial's folder among those of a launch, and of its curves'."""
    return f"trial_{number:04d}"


def _refuse_links(paths: Iterable[Path]) -> None:
    """Raises for a link: writing, locking or removing through it would change another folder."""
    for path in paths:
        if path.is_symlink():
            raise StudyFolderError(
                f"{path}: is a link; a study's own files lie in its folder (for trials --storage-path names "
                "another)"
            )
