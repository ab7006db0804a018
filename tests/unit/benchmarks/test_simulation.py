"""The landscapes and the simulated time of the search-efficiency benchmark."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkout import ROOT
from optuna.trial import TrialState

sys.path.insert(0, str(ROOT / "benchmarks"))

from simulation.landscapes import draw_landscape
from simulation.methods import Choice, Method, Simulation, StudyMethod
from simulation.written import write_study

from sa_study.metrics import names
from sa_study.study.config import StudyConfig
from sa_study.study.database import open_readonly, study_attributes, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.records import read_record

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_configuration_beats_the_optimum_and_every_curve_is_an_map(seed: int) -> None:
    landscape = draw_landscape(seed)
    rng = np.random.default_rng(seed)
    for number in range(200):
        lr, dropout = 10 ** rng.uniform(-3, 0), rng.integers(9) / 10
        run = landscape.run(lr, dropout, 20 * int(rng.integers(2, 7)), number)
        assert run.expected.max() <= landscape.optimum + 1e-4
        assert run.reported.min() > 0 and run.reported.max() <= 1
    assert 0.3 < landscape.optimum < 1


def test_equal_numbers_have_equal_luck_and_others_do_not() -> None:
    landscape = draw_landscape(0)
    first, again, other = (landscape.run(0.1, 0.5, 40, number) for number in (3, 3, 4))
    assert np.array_equal(first.reported, again.reported)
    assert np.array_equal(first.expected, other.expected)
    assert not np.array_equal(first.reported, other.reported)


def test_a_longer_schedule_is_behind_at_an_equal_epoch_and_ahead_at_its_end() -> None:
    behind, ahead = [], []
    for seed in range(50):
        landscape = draw_landscape(seed)
        lr = 10 ** (3 * landscape.rate - 3)
        short, long = (landscape.curve(lr, landscape.dropout, epochs) for epochs in (60, 120))
        behind.append(long[44] < short[44])
        ahead.append(long[-1] > short[-1])
    assert np.mean(behind) > 0.8 and np.mean(ahead) > 0.5, "the rest overfit, or want another rate"


class Recorder(Method):
    """Suggests one configuration, stops a trial at its third epoch, and notes who was told what."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.search = SimpleNamespace(
            suggest=lambda _: {"lr": 0.1, "dropout": 0.5, "epochs": 40},
            on_trial_result=self.told("search result"),
            on_trial_complete=self.told("search complete"),
        )
        self.scheduler = SimpleNamespace(
            on_trial_add=self.told("add"),
            on_trial_result=self.judge,
            on_trial_complete=self.told("scheduler complete"),
        )

    def told(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self.calls.append(name)

    def judge(self, _: Any, trial: Any, result: dict[str, Any]) -> str:
        self.calls.append("judge")
        return "STOP" if result["training_iteration"] == 3 else "CONTINUE"

    def reported(self, trial: Any, result: dict[str, Any]) -> None:
        self.calls.append("callback")

    def choice(self) -> Choice:
        return Choice(0, 1)


def test_calls_come_in_the_order_of_rays_controller() -> None:
    method = Recorder()
    simulation = Simulation(method, draw_landscape(0), slots=1)
    assert len(list(simulation.values(3))) == 3
    goes_on = ["judge", "search result", "callback"]
    ends = ["judge", "callback", "scheduler complete", "search complete"]
    assert method.calls == ["add", *goes_on, *goes_on, *ends, "add"]


def test_a_simulated_study_repeats_and_returns_a_completed_trial() -> None:
    landscape = draw_landscape(1)
    values = []
    for _ in range(2):
        method = StudyMethod(slots=4, seed=1)
        simulation = Simulation(method, landscape, slots=4)
        values.append(list(simulation.values(900)))
    assert values[0] == values[1] and len(values[0]) == 900
    choice = method.choice()
    assert choice and simulation.trials[choice.number].finished
    assert sum(trial.epoch for trial in simulation.trials) == 900


def test_a_written_study_is_one_that_launches_could_have_left(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", 30)
    config = StudyConfig.read(StudyFolder.existing(folder.root).config)
    database = open_readonly(folder)
    config.require_unchanged(study_attributes(database, folder)["lasting"])
    trials = trials_in(database, folder)
    assert [trial.number for trial in trials] == list(range(30))
    assert trials[0].params == config.space.baseline and trials[0].state == TrialState.COMPLETE
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        record = read_record(trial)
        assert record.over and trial.state == record.final_state
        assert len(trial.intermediate_values) == record.epoch == record.last[names.EPOCH]
        assert max(trial.intermediate_values.values()) == record.best[config.metric]
        assert all(config.space.search[name].contains(value) for name, value in trial.params.items())
