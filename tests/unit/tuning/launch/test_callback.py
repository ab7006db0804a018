"""Which failures of a trial's process count against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from test_search import Driver, figures

from sa_study.study.records import TrialEvent
from sa_study.tuning.launch.callback import StudyCallback

RETRIES = 3


class Process:
    """A real Ray trial whose process reports epochs and dies, as the controller tells of it."""

    def __init__(self, folder: Path):
        self.driver = Driver(folder)
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
        """Whether Ray starts it again."""
        self.trial.run_metadata.num_failures += 1  # all that Ray counts
        return bool(self.trial.should_recover())


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_failures_with_a_new_epoch_between_do_not_count(process: Process) -> None:
    for epoch in (1, 2, 3):
        process.epoch(epoch)
        assert [process.dies() for _ in range(RETRIES)] == [True] * RETRIES
    assert not process.dies()


def test_an_epoch_that_is_run_again_is_no_progress(process: Process) -> None:
    process.epoch(1)
    for _ in range(RETRIES):
        assert process.dies()
        process.epoch(1)
    assert not process.dies(), "else it would go round for ever"


def test_a_process_that_died_too_often_is_a_failed_trial(process: Process) -> None:
    process.epoch(1)
    process.search.on_trial_complete("a", error=True)
    process.callback.on_trial_error(0, [], process.trial)
    (trial,) = process.driver.trials
    assert trial.state == TrialState.FAIL and process.events[-1].kind == "FAIL"
    assert "error.txt" in process.events[-1].record.failure
