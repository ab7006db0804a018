"""A real Ray trial whose process reports epochs and dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from searcher_driver import SearcherDriver, figures

from sa_study.study.records import TrialEvent
from sa_study.tuning.launch.callback import StudyCallback

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
