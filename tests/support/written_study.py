"""Writes studies with given trials, without Ray; on request with checkpoints and evaluations too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import torch
from database_copies import write_once
from optuna.trial import TrialState, create_trial

from sa_study.settings.space_file import parse_space
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.records import STUDY_NAME, TrialRecord, objectives, trial_settings
from sa_study.training.checkpoint import FILE_NAME, Checkpoint, save_checkpoint
from sa_study.training.trainer import build_network
from sa_study.tuning.search.initial_trials import create_study
from sa_study.tuning.search.suggest import distribution
from sa_study.utils.files import write_json

EPOCHS = 4
START = datetime(2026, 11, 25, 8, 0, 0)
FIXED = {
    "backbone": "narrow",
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "num_features": 8,
    "epochs": EPOCHS,
    "batch_size": 8,
}
SPACE: dict[str, Any] = {
    "search": {
        "lr": {"type": "float", "low": 0.01, "high": 0.3, "log": True},
        "attention": {"type": "categorical", "choices": ["mean", "softmax", "none"]},
    },
    "fixed": FIXED,
    "baseline": {"lr": 0.1, "attention": "mean"},
    "trials": 5,
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """A made-up trial: its settings, its mAP after each epoch, and how it ended."""

    state: str = "COMPLETE"
    curve: Sequence[float] = (0.1, 0.2, 0.4, 0.3)
    lr: float = 0.1
    attention: str = "mean"
    failure: str = ""
    notes: tuple[str, ...] = ()


def figures_of(trial: Trial, epoch: int) -> dict[str, float]:
    value = trial.curve[epoch - 1]
    return {
        "epoch": epoch,
        "progress": 100 * epoch / EPOCHS,
        "loss": 9.0 - epoch,
        "loss/part1": 4.0,
        "lr": trial.lr,
        "mAP": value,
        "rank1": value + 0.1,
        "rank5": value + 0.2,
        "rank10": value + 0.3,
        "seconds": 1.5,
        "latency": 2.0,
    }


def make_study(root: Path, trials: Sequence[Trial], **changes: Any) -> StudyFolder:
    """Writes a study with these trials and their epochs' results; `keep_network` writes checkpoints."""
    root.mkdir(parents=True)
    folder = StudyFolder(root)
    config = StudyConfig(
        data_dir=Path("/data/Market-1501-v15.09.15"), space=parse_space(SPACE, "space"), trials=5
    )
    config = dataclasses.replace(config, **changes)
    config.write(folder.config)
    write_json(folder.provenance, {"data_fingerprint": "f" * 64, "launches": []})
    write_once(folder.database, f"{trials} {config.minimize}", lambda: _write_trials(folder, config, trials))
    for number, trial in enumerate(trials):
        _write_results(folder, number, trial)
    return folder


def keep_network(folder: StudyFolder, number: int, trial: Trial) -> None:
    """Writes the checkpoint of a trial's best epoch, with random weights."""
    config = StudyConfig.read(folder.config)
    record = record_of(number, trial)
    settings = trial_settings(config.space, {"lr": trial.lr, "attention": trial.attention}, record)
    torch.manual_seed(number)
    net = build_network(settings, 5)
    path = folder.trials / record.best_checkpoint
    path.mkdir(parents=True)
    best = record.best
    save_checkpoint(
        path / FILE_NAME,
        Checkpoint(net.state_dict(), settings.to_dict(), 5, int(best["epoch"]), [best]),
    )


def record_of(number: int, trial: Trial) -> TrialRecord:
    record = TrialRecord()
    for epoch in range(1, len(trial.curve) + 1):
        path = f"session_1/trial_{number:04d}/checkpoint_{epoch - 1:06d}"
        record = record.after_epoch(figures_of(trial, epoch), "mAP", path, gpus=0.5)
    return dataclasses.replace(
        record, failure=trial.failure, notes=list(trial.notes), stopped=trial.state == "PRUNED"
    )


def _frozen(number: int, trial: Trial, minimize: str | None) -> optuna.trial.FrozenTrial:
    state, record = TrialState[trial.state], record_of(number, trial)
    steps = {
        round(1000 * epoch / EPOCHS): figures_of(trial, epoch)["mAP"] for epoch in range(1, record.epoch + 1)
    }
    space = parse_space(SPACE, "space")
    made = create_trial(
        state=state,
        values=objectives(record, "mAP", minimize) if state == TrialState.COMPLETE else None,
        params={"lr": trial.lr, "attention": trial.attention},
        distributions={name: distribution(parameter) for name, parameter in space.search.items()},
        user_attrs={"record": dataclasses.asdict(record)},
        intermediate_values={} if minimize else steps,
    )
    made.datetime_start = START + timedelta(minutes=number)
    if state.is_finished():
        made.datetime_complete = made.datetime_start + timedelta(seconds=30)
    return made


def _write_trials(folder: StudyFolder, config: StudyConfig, trials: Sequence[Trial]) -> None:
    storage = open_storage(folder)
    create_study(storage, config.directions)
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    for number, trial in enumerate(trials):
        study.add_trial(_frozen(number, trial, config.minimize))


def _write_results(folder: StudyFolder, number: int, trial: Trial) -> None:
    place = folder.trials / "session_1" / f"trial_{number:04d}"
    place.mkdir(parents=True)
    lines = [
        json.dumps({**figures_of(trial, epoch), "timestamp": 1_790_000_000 + epoch})
        for epoch in range(1, len(trial.curve) + 1)
    ]
    (place / "result.json").write_text("".join(f"{line}\n" for line in lines))


def evaluate(folder: StudyFolder, path: Path, number: int, trials: Sequence[Trial], **figures: Any) -> None:
    """Writes an evaluation of a trial as `evaluate` would."""
    config, record = StudyConfig.read(folder.config), record_of(number, trials[number])
    trial = trials[number]
    settings = trial_settings(config.space, {"lr": trial.lr, "attention": trial.attention}, record).to_dict()
    rates = {"rank5": 0.9, "rank10": 0.9, "mAP_trapezoid": 0.6, "mINP": 0.3, "allshots_rank1": 0.4}
    write_json(
        path,
        {
            "rank1": 0.7,
            "mAP": 0.5,
            **rates,
            "reranked": {"rank1": 0.8, "mAP": 0.65, **rates},
            "queries": 9,
            "gallery": 20,
            "data": {"query": "a" * 64, "gallery": "b" * 64},
            "settings": {**settings, "device": "auto", "pretrained": "none"},
            "checkpoint_epoch": record.best["epoch"],
            **figures,
        },
    )
