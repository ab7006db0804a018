"""Which failures of a trial's process count against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState
from searcher_driver import RETRIES, DyingTrial


@pytest.fixture
def process(tmp_path: Path) -> DyingTrial:
    return DyingTrial(tmp_path)


def test_failures_with_a_new_epoch_between_do_not_count(process: DyingTrial) -> None:
    for epoch in (1, 2, 3):
        process.epoch(epoch)
        assert [process.dies() for _ in range(RETRIES)] == [True] * RETRIES
    assert not process.dies()


def test_an_epoch_that_is_run_again_is_no_progress(process: DyingTrial) -> None:
    process.epoch(1)
    for _ in range(RETRIES):
        assert process.dies()
        process.epoch(1)
    assert not process.dies(), "else it would go round for ever"


def test_a_process_that_died_too_often_is_a_failed_trial(process: DyingTrial) -> None:
    process.epoch(1)
    process.search.on_trial_complete("a", error=True)
    process.callback.on_trial_error(0, [], process.trial)
    (trial,) = process.driver.trials
    assert trial.state == TrialState.FAIL and process.events[-1].kind == "FAIL"
    assert "error.txt" in process.events[-1].record.failure
