"""Calls a searcher as Ray's controller does, on a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from ray.tune.experiment import Trial

from sa_study.metrics import names
from sa_study.settings.space import Parameter, SearchSpace
from sa_study.study.records import TrialEvent, read_record
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.launch.callback import StudyCallback
from sa_study.tuning.search.initial_trials import create_study
from sa_study.tuning.search.ray_searcher import StudySearcher, finish_decided_trials

SPACE = SearchSpace(
    search={
        "lr": Parameter("float", 1e-3, 1.0, log=True),
        "epochs": Parameter("int", 2, 8, 2),
        "dropout": Parameter("float", 0.0, 0.8, 0.1),
        "attention": Parameter("categorical", choices=("mean", "none")),
    },
    fixed={"pretrained": "none"},
    baseline={"lr": 0.1, "epochs": 4, "dropout": 0.5, "attention": "mean"},
)


def figures(epoch: int, epochs: int, value: float) -> dict[str, Any]:
    ranking = dict.fromkeys(names.RANKING, value)
    return {
        **ranking,
        names.EPOCH: epoch,
        names.PROGRESS: 100 * epoch / epochs,
        names.LOSS: 1.0,
        names.SECONDS: 2.0,
        "checkpoint_dir_name": f"checkpoint_{epoch - 1:06d}",
        "trial_id": "Ray adds more than was reported",
    }


class SearcherDriver:
    """Calls a search as Ray's controller does."""

    def __init__(self, folder: Path, space: SearchSpace = SPACE, seed: int = 0):
        self._database = f"sqlite:///{folder / 'optuna.db'}"
        self.storage = self._open()
        self.space, self.seed = space, seed
        self.launches = 0
        self.slots = 100
        self.gpus = 0.0
        self.budget = Budget()

    def launch(self) -> StudySearcher:
        self.storage = self._open()  # as another process would
        if not self.launches:
            create_study(self.storage)
        self.launches += 1
        finish_decided_trials(self.storage, "mAP")
        session = f"session_{self.launches}"
        options: Any = {"space": self.space, "metric": "mAP", "storage": self.storage, "seed": self.seed}
        records = [read_record(trial) for trial in self.trials]
        self.tracker = BudgetTracker(self.budget, records, lambda: self.slots, self.gpus)
        return StudySearcher(**options, session=session, tracker=self.tracker)

    @property
    def trials(self) -> list[FrozenTrial]:
        return optuna.load_study(study_name="sa_study", storage=self.storage).trials

    def _open(self) -> optuna.storages.RDBStorage:
        return optuna.storages.RDBStorage(self._database)


RETRIES = 3


class DyingTrial:
    """A real Ray trial whose process reports epochs and dies; stands in for Ray's controller."""

    def __init__(self, folder: Path):
        self.driver = SearcherDriver(folder)
        self.search = self.driver.launch()
        self.events: list[TrialEvent] = []
        self.callback = StudyCallback(folder / "tb", self.search, self.events.append, lambda: None)
        config = self.search.suggest("a")
        options: dict[str, Any] = {"trial_id": "a", "config": config, "stub": True}
        self.trial = Trial("trainable", max_failures=RETRIES, **options)

    def epoch(self, number: int) -> None:
        result: dict[str, Any] = figures(number, 4, number / 10)
        self.search.record_epoch("a", result, stopped=False)
        self.callback.on_trial_result(0, [], self.trial, result)

    def dies(self) -> bool:
        """Lets the process die; returns whether Ray would restart it."""
        self.trial.run_metadata.num_failures += 1  # all that Ray counts
        return bool(self.trial.should_recover())
