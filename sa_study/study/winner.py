"""The winner of a study: its settings and weights, ready to be used without Ray."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sa_study.metrics import names
from sa_study.settings.run import completed
from sa_study.settings.yaml_files import write_yaml
from sa_study.study.storage import Storage
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from sa_study.utils.errors import RunFailed, WeightsError


def keep_weights(study: StudySummary, trial: TrialSummary, path: Path) -> None:
    """Copies the weights of a trial's best epoch to one file, unless it holds them already.

    Raises:
        RunFailed: The checkpoint is gone, or not that of the trial's best epoch.
        WeightsError: It is damaged.
    """
    metric, best, place = study.config.metric, trial.record.best, trial.record.best_checkpoint
    settings = study.settings(trial).to_dict()

    def is_it(checkpoint: Checkpoint) -> bool:
        same_epoch = checkpoint.history[-1].get(metric) == best[metric]
        # The best epoch may lie before the one in which the GPU memory was full.
        same = {**completed(checkpoint.settings), names.ACCUMULATE: settings[names.ACCUMULATE]} == settings
        return same_epoch and checkpoint.epoch == best[names.EPOCH] and same

    with suppress(WeightsError):  # missing, or damaged: written again
        if is_it(load_checkpoint(path)):
            return
    try:
        with Storage(study.storage_uri).checkpoint(place).as_directory() as folder:
            checkpoint = load_checkpoint(Path(folder) / FILE_NAME)
    except OSError as error:
        raise RunFailed(f"trial {trial.number}: {place} cannot be read ({error})") from None
    if not is_it(checkpoint):
        raise RunFailed(f"trial {trial.number}: {place} is not of the trial's best epoch")
    save_checkpoint(path, checkpoint.weights_only())


def keep_winner(study: StudySummary) -> TrialSummary | None:
    """Writes `best.yaml` and `best.pt`; does nothing while no trial is complete."""
    folder, winner = study.folder, study.winner
    if winner is None:
        return None
    keep_weights(study, winner, folder.best_weights)
    name = "the baseline" if winner.baseline else f"trial {winner.number}"
    comment = (
        f"{name} of {folder.root.name}: validation {study.config.metric} {winner.score:.4f} "
        f"at epoch {winner.best_epoch}\n"
        f"python run_study.py train --config {folder.best_settings} --data-dir {study.config.data_dir} "
        "--out DIR"
    )
    write_yaml(folder.best_settings, study.settings(winner).to_dict(), comment)
    return winner
