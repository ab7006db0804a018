"""The command `ablate`: what it needs beforehand, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sa_study.analysis.repeats.ablation import Ablation, conclude, describe, plan_ablation, require_same
from sa_study.analysis.repeats.scoring import scored_runs
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, read_about
from sa_study.study.folder import StudyFolder
from sa_study.utils.files import write_json
from sa_study.utils.progress import ProgressCallback


@dataclass(frozen=True)
class Prepared:
    """An ablation that can be run.

    Attributes:
        folder: Where it is.
        ablation: The grid and its seeds.
        config: The ablation as a study.
    """

    folder: StudyFolder
    ablation: Ablation
    config: StudyConfig


def prepare(root: Path, asked: StudyConfig, seeds: int) -> Prepared:
    """Checks that an ablation can be made or gone on with.

    Raises:
        StudyError: The space is no grid, or the folder holds something else.
    """
    ablation = plan_ablation(asked.space, seeds)
    config = describe(ablation, asked)
    folder = StudyFolder(root)
    if folder.config.exists():
        about = read_about(open_readonly(StudyFolder.existing(root)), folder)
        require_same(folder, about, config)
    return Prepared(folder, ablation, config)


def finish(prepared: Prepared, trials: Sequence[FrozenTrial], report: ProgressCallback) -> dict[str, Any]:
    """Scores the runs and writes `ablation.json`.

    Raises:
        StudyError: A checkpoint or an image cannot be used.
    """
    runs = scored_runs(prepared.folder, trials, reranked=True, report=report)
    found = conclude(prepared.ablation, runs, prepared.config)
    write_json(prepared.folder.ablation, found)
    return found
