"""A study's folder with many trials, as launches leave it, without the launches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, create_trial

from sa_study.metrics import names
from sa_study.settings.space import Parameter, SearchSpace
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder, trial_folder
from sa_study.study.records import (
    LAUNCH,
    STUDY_NAME,
    TrialRecord,
    objectives,
    step_of,
)
from sa_study.tuning.search.initial_trials import create_study
from sa_study.tuning.search.suggest import distribution
from simulation.landscapes import Landscape, Run, draw_landscape

SESSION = "session_1"
RUNGS = (10, 30, 100)
"""Percentages of their schedules at which trials end."""

GO_ON = 1 / 3
"""Share of the trials that go on past a rung."""


def write_study(root: Path, trials: int, seed: int = 0) -> StudyFolder:
    """Makes the folder of a study on the default space whose trials have all ended.

    Args:
        root: Where to; must not exist.
        trials: How many.
        seed: Of the landscape and of what is tried.
    """
    root.mkdir(parents=True)
    folder = StudyFolder(root)
    config = StudyConfig(data_dir=root, space=load_space(Path("default")), trials=trials, gpus_per_trial=0)
    storage = open_storage(folder)
    used = {"seconds": 1.0, "slot_seconds": 1.0, "training_seconds": 0.95, "epochs": 1}
    create_study(storage, config.directions, {"lasting": config.unchangeable(), f"{LAUNCH}{SESSION}": used})
    add_trials(storage, config.space, range(trials), seed)
    config.write(folder.config)
    return folder


def add_trials(
    storage: optuna.storages.BaseStorage, space: SearchSpace, numbers: Iterable[int], seed: int = 0
) -> None:
    """Adds ended trials with their curves and records; of three one goes on past each rung."""
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    landscape = draw_landscape(seed)
    for number in numbers:
        study.add_trial(ended_trial(space, landscape, number))


def ended_trial(space: SearchSpace, landscape: Landscape, number: int) -> FrozenTrial:
    """A trial of the landscape: the baseline, or one drawn at random."""
    rng = np.random.default_rng([landscape.seed, number])
    point = space.baseline if number == 0 else {name: _draw(p, rng) for name, p in space.search.items()}
    run = landscape.run(**point, number=number)
    rung = min(int(np.log(rng.random()) / np.log(GO_ON)), len(RUNGS) - 1) if number else -1
    epochs = len(run.reported) * RUNGS[rung] // 100
    record = TrialRecord()
    for epoch in range(1, epochs + 1):
        figures = _figures(run, epoch)
        checkpoint = f"{SESSION}/{trial_folder(number)}/checkpoint_{epoch - 1:06d}"
        record = record.after_epoch(figures, names.MAP, checkpoint)
    record = dataclasses.replace(record, stopped=not record.finished)
    curve = {step_of(100 * (i + 1) / len(run.reported)): float(run.reported[i]) for i in range(epochs)}
    return create_trial(
        state=record.final_state,
        values=objectives(record, names.MAP, None) if record.finished else None,
        params=point,
        distributions={name: distribution(space.search[name]) for name in point},
        user_attrs={"record": dataclasses.asdict(record)},
        intermediate_values=curve,
    )


def _draw(parameter: Parameter, rng: np.random.Generator) -> Any:
    """One of the allowed values."""
    if parameter.count is not None:
        return parameter.value(int(rng.integers(parameter.count)))
    return float(np.exp(rng.uniform(*np.log(parameter.ends))))


def _figures(run: Run, epoch: int) -> dict[str, float]:
    """What an epoch reports."""
    value = float(run.reported[epoch - 1])
    return {
        names.EPOCH: epoch,
        names.PROGRESS: 100 * epoch / len(run.reported),
        names.LOSS: 1 - value,
        **dict.fromkeys(names.RANKING, value),
        names.LATENCY: 1.0,
        names.SECONDS: float(run.durations[epoch - 1]),
    }
