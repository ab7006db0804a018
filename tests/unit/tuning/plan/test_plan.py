"""Plans: simulated runs against arithmetic, the probe against its own figures, and the memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from small_space import SMALL, SMALL_RESNET, small_space

from sa_study.data.dataset import ReidDataset
from sa_study.data.store import TrainingData, load_training_data
from sa_study.report.terminal.plan import plan_table
from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch.cluster import Slots
from sa_study.tuning.plan import plan
from sa_study.tuning.plan.plan import MemoryNeed, SimulatedRun, simulate_runs
from sa_study.tuning.plan.probe import probe

NONE, ASHA = Scheduler("none"), Scheduler("asha")


@pytest.fixture
def data(make_market: Callable[..., Path]) -> TrainingData:
    return load_training_data(ReidDataset(make_market()), Settings(**SMALL))


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds to the first epochs, from a trial's end to the next one, and between two epochs."""
    monkeypatch.setattr(plan, "_FIRST_START_SECONDS", 8.0)
    monkeypatch.setattr(plan, "_NEXT_START_SECONDS", 1.0)
    monkeypatch.setattr(plan, "_BETWEEN_EPOCHS_SECONDS", 0.5)


def simulated(
    searched: SearchSpace,
    scheduler: Scheduler = NONE,
    runs: int = 5,
    max_seconds: float = math.inf,
    *,
    trials: int = 5,
    slots: int = 2,
    gpus: float = 0.0,
    **budget: Any,
) -> list[SimulatedRun]:
    """Runs with an epoch of 10 seconds; the time that the simulation takes does not matter."""
    config = StudyConfig(data_dir=Path("/data"), space=searched, trials=trials, **budget)
    resources = Slots(1, gpus, slots)
    return simulate_runs(config, scheduler, resources, lambda _: 10.0, 100.0, runs, max_seconds)


FOUR_EPOCHS = small_space(
    fixed={**SMALL, "epochs": 4}, search={"lr": {"type": "float", "low": 0.01, "high": 0.3, "log": True}}
)
EPOCHS = small_space(
    search={
        "epochs": {"type": "int", "low": 40, "high": 120, "step": 20},
        "lr": {"type": "float", "low": 0.01, "high": 0.3},
    },
    baseline={"epochs": 100},
)


@pytest.mark.parametrize(("slots", "waves"), [(2, 3), (9, 1)])
def test_without_stopping_trials_run_in_waves_over_the_slots(slots: int, waves: int) -> None:
    seconds = 100 + 8 + waves * (4 * 10 + 3 * 0.5) + (waves - 1) * 1
    assert set(simulated(FOUR_EPOCHS, slots=slots)) == {SimulatedRun(5, 20, seconds, 0.0, "")}


def test_epochs_are_drawn_from_the_space() -> None:
    epochs = [run.epochs for run in simulated(EPOCHS, trials=40, runs=40)]
    assert sum(epochs) / len(epochs) == pytest.approx(100 + 39 * 80, rel=0.03)
    assert len(set(epochs)) > 10


def test_no_configuration_of_a_finite_space_is_repeated() -> None:
    few = small_space(search={"epochs": {"type": "categorical", "choices": [1, 10, 100]}})
    assert {run.epochs for run in simulated(few, trials=3)} == {111}
    assert {run.epochs for run in simulated(few, trials=2, runs=20)} == {101, 110}


def test_a_grid_has_each_of_its_configurations() -> None:
    epochs = {"type": "categorical", "choices": [3, 5, 11]}
    grid = small_space(search={"epochs": epochs}, baseline={"epochs": 5}, sampler="grid")
    assert {run.epochs for run in simulated(grid, trials=3)} == {19}


def test_one_fixed_configuration_runs_once() -> None:
    assert {run.epochs for run in simulated(small_space(fixed={**SMALL, "epochs": 7}), ASHA, trials=1)} == {7}


def test_asha_stops_about_two_of_three_at_each_rung() -> None:
    """At 10, 30 and 90 % one of three goes on: 10 + 20/3 + 60/9 + 10/27 %, and more as it does not wait."""
    with_asha, without = (simulated(EPOCHS, rule, trials=100, runs=10) for rule in (ASHA, NONE))
    share = sum(run.epochs for run in with_asha) / sum(run.epochs for run in without)
    assert 0.237 < share < 0.33


def test_the_baseline_is_never_stopped() -> None:
    runs = simulated(EPOCHS, Scheduler("asha", 10, 100), runs=20, trials=2, slots=1)
    assert min(run.epochs for run in runs) >= 100


@pytest.mark.parametrize(
    ("budget", "reason", "epochs", "trials"),
    [
        ({"epoch_budget": 7}, "the budget of 7 epochs is spent", 8, 2),
        ({"time_budget": 39}, "the time budget is spent", 6, 0),
        ({"gpu_hours": 60 / 3600}, "the budget of 0.0166667 GPU-hours is spent", 13, 2),
        ({"epoch_budget": 20}, "", 20, 5),
    ],
)
def test_a_budget_stops_the_trials_that_it_does_not_suffice_for(
    budget: dict[str, Any], reason: str, epochs: int, trials: int
) -> None:
    (run,) = set(simulated(FOUR_EPOCHS, gpus=0.5, **budget))
    assert (run.stop_reason, run.epochs, run.trials) == (reason, epochs, trials)
    assert run.gpu_hours == pytest.approx(epochs * 10 * 0.5 / 3600)


def test_the_simulation_ends_in_time() -> None:
    assert len(simulated(FOUR_EPOCHS, runs=9, max_seconds=0.0)) == 1


def test_the_table_has_means_and_deciles() -> None:
    runs = [SimulatedRun(4, epochs, 60.0 * epochs, 0.0, "") for epochs in range(11)]
    config = SimpleNamespace(space=SimpleNamespace(scheduler=ASHA))
    of_runs: Any = SimpleNamespace(config=config, slots=Slots(1, 0, 1), expected=runs, unstopped=runs[-1:])
    console = Console(width=100)
    with console.capture() as capture:
        console.print(plan_table(of_runs))
    rows = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "trials 4 4" in rows and "epochs 5 1 – 9 10" in rows
    assert any(row.startswith("time 5") for row in rows)


@pytest.mark.parametrize(("slots", "usable", "fits"), [(1, 1200, True), (2, 1200, False), (1, 1199, False)])
def test_memory(monkeypatch: pytest.MonkeyPatch, slots: int, usable: int, fits: bool) -> None:
    """Trials and the driver have what the probe had; the images lie in the object store and in the driver."""
    monkeypatch.setattr(plan, "peak_memory", lambda: 600)
    monkeypatch.setattr(plan, "usable_memory", lambda: usable)
    need = MemoryNeed.after_probe(100, Slots(1, 0, slots), joined=False)
    assert need == MemoryNeed(500, 500 * (slots + 1) + 200, usable) and need.suffices is fits
    assert MemoryNeed.after_probe(100, Slots(1, 0, 99), joined=True).suffices, "not known"


def test_a_probe_extrapolates_to_all_images(data: TrainingData) -> None:
    threads, reported = torch.get_num_threads(), []
    settings = Settings(**SMALL)
    speed = probe(settings, data, lambda done, total: reported.append(done))
    images = len(data.train) // 8 * 8
    validated = (len(data.query) + len(data.gallery)) * speed.latency / 1000
    assert speed.epoch_seconds == pytest.approx(images / speed.images_per_second + validated)
    assert speed.device == "cpu" and speed.images_per_second > 0 and speed.latency > 0
    assert torch.get_num_threads() == threads and reported[-1] == 100 and reported == sorted(reported)


def test_a_probe_scales_by_arithmetic(data: TrainingData) -> None:
    settings = Settings(**SMALL_RESNET)
    speed = probe(settings, data, lambda done, total: None)
    taller = dataclasses.replace(settings, height=64)
    assert speed.epoch_seconds_of(settings) == pytest.approx(speed.epoch_seconds)
    assert speed.epoch_seconds_of(taller) == pytest.approx(2 * speed.epoch_seconds)
    larger = dataclasses.replace(taller, width=32)
    assert speed.epoch_seconds_of(larger) == pytest.approx(4 * speed.epoch_seconds)
    deeper = dataclasses.replace(settings, depth=50)
    assert 1.8 < speed.epoch_seconds_of(deeper) / speed.epoch_seconds < 2.4


def test_a_probe_needs_no_weights_file(data: TrainingData) -> None:
    probe(Settings(**{**SMALL, "pretrained": "/nowhere/weights.pth"}), data, lambda done, total: None)
