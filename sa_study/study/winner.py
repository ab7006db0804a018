"""The winner of a study: its settings and weights, copied to files that can be used without Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from sa_study.metrics import names
from sa_study.settings.run import Settings, completed
from sa_study.settings.yaml_files import write_yaml
from sa_study.study.storage import Storage
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from sa_study.training.evaluate import TrainedNetwork, load_network
from sa_study.utils.errors import RunFailed, WeightsError
from sa_study.utils.program import usual_program


@contextmanager
def best_checkpoint_file(study: StudySummary, trial: TrialSummary) -> Iterator[Path]:
    """The checkpoint file of a trial's best epoch, fetched first where the storage is remote.

    Raises:
        RunFailed: The file cannot be read.
        StudyFolderError: The trial's record names a file outside of the storage.
    """
    path = trial.record.best_checkpoint
    try:
        with Storage(study.storage_uri).checkpoint(path).as_directory() as folder:
            file = Path(folder) / FILE_NAME
            if trial.number in study.cleaned and not file.exists():
                raise FileNotFoundError("'clean' has removed it")
            yield file
    except OSError as error:
        raise RunFailed(f"trial {trial.number}: {path} cannot be read ({error})") from None


def checkpoint_mismatch(
    checkpoint: Checkpoint, trial: TrialSummary, figures: Mapping[str, float], expected: Settings
) -> str:
    """How a checkpoint differs from a trial's settings, or from these figures of the trial's record.

    Returns:
        The difference, to be read after the checkpoint's name; empty if there is none.
    """
    if checkpoint.epoch != figures[names.EPOCH]:
        return f"is of epoch {checkpoint.epoch}, not {figures[names.EPOCH]:.0f}"
    settings = completed(checkpoint.settings)
    for name, value in expected.to_dict().items():
        # A later epoch may have been the first in which the GPU memory was full.
        if name != names.ACCUMULATE and settings.get(name) != value:
            return f"was made with another {name}"
    if checkpoint.history[-1].get(trial.metric) != figures[trial.metric]:
        return f"has another {trial.metric} than the trial's record"
    return ""


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts are equal in every bit."""
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in one.items()
    )


def save_trial_weights(study: StudySummary, trial: TrialSummary, path: Path) -> None:
    """Copies the weights of a trial's best epoch to one file, unless the file holds them already.

    Raises:
        RunFailed: The checkpoint is gone, or not of the trial's best epoch.
        WeightsError: The checkpoint is damaged.
    """
    best, settings = trial.record.best, study.settings(trial)
    with suppress(WeightsError):  # missing, or damaged: written again
        if not checkpoint_mismatch(load_checkpoint(path), trial, best, settings):
            return
    with best_checkpoint_file(study, trial) as file:
        checkpoint = load_checkpoint(file)
    if mismatch := checkpoint_mismatch(checkpoint, trial, best, settings):
        raise RunFailed(f"trial {trial.number}: {trial.record.best_checkpoint} {mismatch}")
    save_checkpoint(path, checkpoint.weights_only())


def winners_network(study: StudySummary) -> TrainedNetwork:
    """The best trial's network, from `best.pt`, which is written anew; RunFailed if none is complete."""
    if save_winner(study) is None:
        raise RunFailed(f"{study.folder.root}: no trial is complete yet")
    return load_network(study.folder.best_weights, {})


def save_winner(study: StudySummary) -> TrialSummary | None:
    """Writes `best.yaml` and `best.pt`; does nothing while no trial is complete."""
    folder, winner = study.folder, study.winner
    if winner is None:
        return None
    save_trial_weights(study, winner, folder.best_weights)
    name = "the baseline" if winner.baseline else f"trial {winner.number}"
    comment = (
        f"{name} of {folder.root.name}: validation {study.config.metric} {winner.score:.4f} "
        f"at epoch {winner.best_epoch}\n"
        f"{' '.join(usual_program())} train --config {folder.best_settings} "
        f"--data-dir {study.config.data_dir} --out DIR"
    )
    write_yaml(folder.best_settings, study.settings(winner).to_dict(), comment)
    return winner
