"""The winner of a study: its settings and weights, ready to be used without Ray."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from optuna.trial import FrozenTrial

from sa_study.metrics import names
from sa_study.settings.run import completed
from sa_study.settings.yaml_files import write_yaml
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE, choose_winner, read_record, trial_settings
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from sa_study.utils.errors import RunFailed, WeightsError


def keep_weights(trial: FrozenTrial, config: StudyConfig, storage: Storage, path: Path) -> None:
    """Copies the weights of a trial's best epoch to one file, unless it holds them already.

    Raises:
        RunFailed: The checkpoint is gone, or not that of the trial's best epoch.
        WeightsError: It is damaged.
    """
    record = read_record(trial)
    settings = trial_settings(config.space, trial.params, record).to_dict()

    def is_it(checkpoint: Checkpoint) -> bool:
        same_epoch = checkpoint.history[-1].get(config.metric) == record.best[config.metric]
        # The best epoch may lie before the one in which the GPU memory was full.
        same = {**completed(checkpoint.settings), names.ACCUMULATE: settings[names.ACCUMULATE]} == settings
        return same_epoch and checkpoint.epoch == record.best[names.EPOCH] and same

    with suppress(WeightsError):  # missing, or damaged: written again
        if is_it(load_checkpoint(path)):
            return
    try:
        with storage.checkpoint(record.best_checkpoint).as_directory() as folder:
            checkpoint = load_checkpoint(Path(folder) / FILE_NAME)
    except OSError as error:
        raise RunFailed(f"trial {trial.number}: {record.best_checkpoint} cannot be read ({error})") from None
    if not is_it(checkpoint):
        raise RunFailed(f"trial {trial.number}: {record.best_checkpoint} is not of the trial's best epoch")
    save_checkpoint(path, checkpoint.weights_only())


def keep_winner(folder: StudyFolder, config: StudyConfig, trials: list[FrozenTrial]) -> FrozenTrial | None:
    """Writes `best.yaml` and `best.pt`; does nothing while no trial is complete."""
    winner = choose_winner(trials, config.metric)
    if winner is None:
        return None
    record = read_record(winner)
    keep_weights(winner, config, Storage.of_study(folder, config.storage_path), folder.best_weights)
    name = "the baseline" if winner.number == BASELINE else f"trial {winner.number}"
    comment = (
        f"{name} of {folder.root.name}: validation {config.metric} {record.best[config.metric]:.4f} "
        f"at epoch {record.best[names.EPOCH]:.0f}\n"
        f"python run_study.py train --config {folder.best_settings} --data-dir {config.data_dir} --out DIR"
    )
    settings = trial_settings(config.space, winner.params, record)
    write_yaml(folder.best_settings, settings.to_dict(), comment)
    return winner
