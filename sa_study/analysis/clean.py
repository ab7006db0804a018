"""`clean`: frees the disk of checkpoints that nothing needs any more; the study stays whole otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna

from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.records import STUDY_NAME
from sa_study.study.storage import Storage
from sa_study.study.summary import CLEANED, StudySummary
from sa_study.study.winner import save_winner
from sa_study.tuning.launch.prepare import claim_storage
from sa_study.utils.errors import StudyFolderError


@dataclass(frozen=True)
class Cleaning:
    """The checkpoints that `clean` removes from a study, and whose they are.

    Attributes:
        trials: Numbers of the trials that lose their checkpoints.
        kept: Numbers of the ended trials that keep them.
        paths: The checkpoints that go.
        size: Their bytes.
    """

    trials: tuple[int, ...]
    kept: tuple[int, ...]
    paths: frozenset[str]
    size: int


def plan_cleaning(study: StudySummary, keep: int) -> Cleaning:
    """Finds the checkpoints to remove.

    The winner, the baseline, the next `keep` leaders and the trials of a Pareto front keep theirs. So does a
    trial that has not ended: `resume` continues from them.

    Raises:
        StudyFolderError: The study was made by `confirm` or `ablate`.
    """
    if study.of_repeats:
        raise StudyFolderError(
            f"{study.folder.root}: was made by confirm or ablate, which need every checkpoint"
        )
    others = [trial for trial in study.complete if trial not in (study.winner, study.baseline)]
    needed = [study.winner, study.baseline, *others[:keep], *study.front]
    kept = {trial.number for trial in needed if trial}
    sizes = Storage(study.storage_uri).checkpoint_sizes()
    owners = {path: trial for trial in study.trials for path in trial.record.checkpoints}
    removable = {
        path: owners[path].number
        for path in sizes
        if path in owners and owners[path].ended and owners[path].number not in kept
    }
    return Cleaning(
        trials=tuple(sorted(set(removable.values()))),
        kept=tuple(sorted(trial.number for trial in study.trials if trial.ended and trial.number in kept)),
        paths=frozenset(removable),
        size=sum(sizes[path] for path in removable),
    )


def clean_study(root: Path, keep: int) -> Cleaning:
    """Removes what `plan_cleaning` finds, and records whose it was, so that no command takes it for a loss.

    Raises:
        StudyInUse: The study is running.
        StudyFolderError: The trials' storage is another study's, or `plan_cleaning` raises one.
    """
    folder = StudyFolder.existing(root)
    with driver_lock(folder.lock):
        study = StudySummary.read(root)
        found = plan_cleaning(study, keep)
        save_winner(study)
        if found.paths:
            claim_storage(folder, StudyConfig.read(folder.config))
            database = optuna.load_study(study_name=STUDY_NAME, storage=open_storage(folder))
            # Recorded first: if this ends in between, checkpoints are left over, and none is missed.
            database.set_user_attr(CLEANED, sorted({*study.cleaned, *found.trials}))
            Storage(study.storage_uri).remove(found.paths)
    return found
