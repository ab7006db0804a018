"""Retraining: the configuration that was chosen, trained on all training identities with several seeds."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.analysis.compare import evaluated_runs, figure_differences
from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.metrics.comparability import why_not_comparable
from sa_study.provenance import require_same_images
from sa_study.settings.run import Settings
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE, TrialRecord, trial_settings
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.training.evaluate import summarise
from sa_study.training.run import RunFolder
from sa_study.utils.errors import ConfigError, RunFailed, StudyFolderError
from sa_study.utils.files import write_json
from sa_study.utils.progress import ProgressCallback

_CHANGED_SETTINGS = {"val_identities": 0, "fold": 0, "device": "auto", "threads": 0}
"""No identity is held out; device and threads are this machine's."""

_DATA_SETTINGS = ("height", "width", "identities", "split_seed", "batch_size")
"""Settings that the decoding of the images depends on, or the check that there are enough for a batch."""


@dataclass(frozen=True)
class RetrainChoice:
    """A configuration to train on all identities.

    Attributes:
        name: `best` or `baseline`.
        trial: The study's trial that ran it.
        configuration: Its searched settings.
        folders: The folder of each run, by the run's settings; runs differ in their seed.
    """

    name: str
    trial: int
    configuration: Mapping[str, Any]
    folders: Mapping[Settings, RunFolder]


@dataclass(frozen=True)
class RetrainPlan:
    """Configurations and seeds to train on all identities, and the study that they come from.

    Attributes:
        folder: The study.
        data_dir: Folder of the data set, or the list of its images.
        choices: The chosen configuration, and the baseline where it was asked for.
        reason: Why that configuration was chosen, in words.
    """

    folder: StudyFolder
    data_dir: Path
    choices: tuple[RetrainChoice, ...]
    reason: str


def plan_retraining(root: Path, data_dir: Path | None, *, seeds: int, baseline: bool) -> RetrainPlan:
    """Chooses what to train: the winner of `confirm` if that was run, else the study's; and the baseline.

    Each configuration is run with this many seeds, from its own upwards, on the study's data or `data_dir`.

    Raises:
        RunFailed: No trial is complete.
        DataError: The data set is gone.
        StudyFolderError: A folder holds the training of another configuration.
    """
    study = StudySummary.read(root)
    _ = study.ledger  # a damaged ledger is named before anything is trained
    if study.winner is None:
        raise RunFailed(f"{root}: no trial is complete yet; go on with 'resume --study {root}'")
    best, reason = _confirmed(study, study.winner)
    chosen = {} if best.baseline else {"best": best}
    if baseline or not chosen:
        if study.baseline is None:
            raise StudyFolderError(f"{study.folder.database}: has no trial {BASELINE}")
        chosen["baseline"] = study.baseline
    choices = tuple(_choice(study, trial, name, seeds) for name, trial in chosen.items())
    if data_dir is None:
        study.config.require_data()
    return RetrainPlan(study.folder, data_dir or study.config.data_dir, choices, reason)


def load_retraining_data(
    plan: RetrainPlan, dataset: ReidDataset, progress: ProgressCallback
) -> dict[str, TrainingData]:
    """The training images by each configuration's name, decoded once where two need the same.

    Raises:
        DataError: The images are not those that the study was begun with.
        ConfigError: There are fewer images than a batch.
    """
    decoded: dict[tuple[Any, ...], TrainingData] = {}
    found = {}
    for choice in plan.choices:
        settings = next(iter(choice.folders))
        needed = tuple(getattr(settings, name) for name in _DATA_SETTINGS)
        if needed not in decoded:
            data = decoded[needed] = load_training_data(dataset, settings, progress)
            require_same_images(plan.folder.provenance, data.store.fingerprint, dataset.root)
        found[choice.name] = decoded[needed]
    return found


def write_retrained(
    plan: RetrainPlan, evaluations: Mapping[str, Mapping[str, Any]], count: int, path: Path | None = None
) -> dict[str, Any]:
    """Writes `retrained.json`, or another file for figures on other data than the study's own.

    Args:
        plan: What was trained.
        evaluations: Each configuration's evaluations by seed.
        count: How often the study has been evaluated on the test set.
        path: The other file.

    Returns:
        The content. `difference` is the best less the baseline, paired by query; None where there is one
        configuration, or the two cannot be compared; `not_compared` says why.
    """
    by_name = {choice.name: list(evaluations[choice.name].values()) for choice in plan.choices}
    first, *others = itertools.chain.from_iterable(by_name.values())
    reason = next(filter(None, (why_not_comparable(first, other) for other in others)), "")
    difference = None
    if len(by_name) > 1 and not reason:
        difference = figure_differences(evaluated_runs(by_name["best"]), evaluated_runs(by_name["baseline"]))
    found = {
        "reason": plan.reason,
        "configurations": [
            {
                "name": choice.name,
                "trial": choice.trial,
                "settings": dict(choice.configuration),
                "seeds": [run.seed for run in choice.folders],
                "evaluations": by_name[choice.name],
                "summary": summarise(by_name[choice.name]),
            }
            for choice in plan.choices
        ],
        "difference": difference,
        "not_compared": reason,
        "looks": count,  # a look is an evaluation on test images
    }
    write_json(path or plan.folder.retrained, found)
    return found


def _confirmed(study: StudySummary, winner: TrialSummary) -> tuple[TrialSummary, str]:
    """The trial that `confirm` found to be the best, or the study's winner where it was not run; and why."""
    path, found = study.folder.confirmation, study.confirmation
    if found is None:
        if path.exists():
            raise StudyFolderError(f"{path}: is damaged; confirm again")
        return winner, f"trial {winner.number} won the study"
    later = winner.number not in found.trials
    since = f", but did not try trial {winner.number}, which now leads the study" if later else ""
    number = BASELINE if found.winner is None else found.winner
    best = next((trial for trial in study.trials if trial.number == number), None)
    if best is None:
        raise StudyFolderError(f"{path}: names no trial of this study; confirm again")
    if found.winner is None:
        return best, f"confirm found no configuration that beats the baseline{since}"
    return best, f"confirm found trial {number} to beat the baseline{since}"


def _choice(study: StudySummary, trial: TrialSummary, name: str, seeds: int) -> RetrainChoice:
    folder, own = study.folder, trial_settings(study.config.space, trial.params, TrialRecord())
    settings = Settings.from_mapping({**own.to_dict(), **_CHANGED_SETTINGS}, f"trial {trial.number}")
    runs = [dataclasses.replace(settings, seed=settings.seed + number) for number in range(seeds)]
    folders = {run: RunFolder(folder.final / name / f"seed_{run.seed}") for run in runs}
    for run, run_folder in folders.items():
        try:
            run_folder.check(run, resume=True)
        except ConfigError as error:
            raise StudyFolderError(
                f"{folder.final / name}: holds the training of another configuration ({error}); move it away"
            ) from None
        except StudyFolderError:
            raise StudyFolderError(f"{run_folder.root}: holds something, but no run; move it away") from None
    return RetrainChoice(name, trial.number, dict(trial.params), folders)
