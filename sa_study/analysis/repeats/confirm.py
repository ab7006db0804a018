"""The command `confirm`: what it needs beforehand, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.analysis.repeats import ablation, confirmation
from sa_study.analysis.repeats.confirmation import Confirmation, choose, conclude, describe, kept_of
from sa_study.analysis.repeats.scoring import scored_runs
from sa_study.provenance import read_provenance
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, read_about, read_trials
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import holder
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import require_place, write_json
from sa_study.utils.progress import ProgressCallback

REPEATS = {confirmation.ABOUT, ablation.ABOUT}
"""What tells a study of repeats from one that searches."""


@dataclass(frozen=True)
class Prepared:
    """A confirmation that can be run.

    Attributes:
        parent: The study whose leaders are confirmed.
        folder: Where the repeats are.
        confirmation: What is confirmed.
        config: The study of the repeats.
        initial_trials: What it is given.
    """

    parent: StudyFolder
    folder: StudyFolder
    confirmation: Confirmation
    config: StudyConfig
    initial_trials: InitialTrials


def prepare(root: Path, *, top: int, seeds: int, folds: int, data_dir: Path | None) -> Prepared:
    """Decides what to run, by what was begun before or else by the study as it stands.

    Raises:
        StudyError: The study runs, has nothing to confirm, or a confirmation was begun otherwise.
    """
    parent = StudyFolder.existing(root)
    if owner := holder(parent.lock):
        raise StudyFolderError(f"{root}: is run by {owner}; confirm it when it has ended")
    if REPEATS & read_about(open_readonly(parent), parent).keys():
        raise StudyFolderError(f"{root}: repeats given configurations itself; confirm a study that searches")
    require_place(parent.confirmation)
    config = StudyConfig.read(parent.config)
    folder = StudyFolder(parent.confirm)
    if data_dir:
        config = replace(config, data_dir=data_dir.absolute())
    asked = choose(config, read_trials(parent), top=top, seeds=seeds, folds=folds)
    if folder.config.exists():
        about = read_about(open_readonly(StudyFolder.existing(folder.root)), folder)
        asked = kept_of(about, asked, folder)
    elif not data_dir:
        config.require_data()
    images = read_provenance(parent.provenance)["data_fingerprint"]
    return Prepared(
        parent,
        folder,
        asked,
        describe(asked, config),
        replace(asked.initial_trials, image_fingerprint=images),
    )


def finish(prepared: Prepared, trials: Sequence[FrozenTrial], report: ProgressCallback) -> dict[str, Any]:
    """Scores the runs and writes the study's `confirmation.json`.

    Raises:
        StudyError: A checkpoint or an image cannot be used.
    """
    runs = scored_runs(prepared.folder, trials, report=report)
    found = conclude(prepared.confirmation, runs, prepared.config)
    write_json(prepared.parent.confirmation, found)
    return found
