"""`--cpus-per-trial auto`, on machines of any size."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from sa_study.data.store import ImageStore, TrainingData
from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig
from sa_study.tuning.launch.cluster import divide_into_slots
from sa_study.tuning.plan.cpus_per_trial import Rate, candidates, choose, decide_cpus_per_trial

AUTO = StudyConfig(data_dir=Path("/data"), space=load_space(Path("small")), trials=20, cpus_per_trial=None)
NONE = np.empty(0, np.int64)
DATA = TrainingData(ImageStore(np.empty((0, 64, 32, 3), np.uint8), NONE, NONE, ""), NONE, NONE, NONE, NONE, 2)


@pytest.mark.parametrize(
    ("cpus", "most_trials", "expected"),
    [
        (1, 20, [(1, 1)]),
        (2, 20, [(1, 2), (2, 1)]),
        (6, 20, [(1, 6), (2, 3), (4, 1), (6, 1)]),
        (8, 3, [(1, 3), (2, 3), (4, 2), (8, 1)]),
    ],
)
def test_what_is_measured_uses_the_machine(
    cpus: int, most_trials: int, expected: list[tuple[int, int]]
) -> None:
    assert candidates(cpus, most_trials) == expected


@pytest.mark.parametrize(
    ("rates", "cpus"),
    [
        ([Rate(1, 2, 51.4), Rate(2, 1, 45.1)], 1),
        ([Rate(1, 2, 45.1), Rate(2, 1, 51.4)], 2),
        ([Rate(1, 2, 50.0), Rate(2, 1, 48.0)], 2),  # as good, with half the memory
        ([Rate(1, 3, 30.0), Rate(2, 3, 50.0), Rate(4, 2, 40.0)], 2),
        ([Rate(1, 1, 10.0), Rate(2, 1, 19.0), Rate(4, 1, 19.5)], 4),
    ],
)
def test_the_choice(rates: list[Rate], cpus: int) -> None:
    assert choose(rates).cpus == cpus


@pytest.mark.parametrize(
    ("nodes", "options", "cpus", "concurrent"),
    [
        ([{"CPU": 16.0, "GPU": 1.0}], {}, 16, 1),
        ([{"CPU": 16.0, "GPU": 1.0}], {"gpus_per_trial": 0.25}, 4, 4),
        ([{"CPU": 16.0, "GPU": 1.0}], {"gpus_per_trial": 0.3}, 5, 3),
        ([{"CPU": 16.0, "GPU": 4.0}], {"gpus_per_trial": 2.0}, 8, 2),
        ([{"CPU": 16.0, "GPU": 4.0}], {"max_concurrent": 2}, 8, 2),
        ([{"CPU": 2.0, "GPU": 4.0}], {}, 1, 2),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 12.0, "GPU": 4.0}, {"CPU": 2.0}], {"address": "auto"}, 3, 6),
        ([{"CPU": 16.0}, {"CPU": 8.0}], {"address": "auto"}, 1, 24),
    ],
)
def test_what_is_not_measured(
    nodes: list[dict[str, float]],
    options: dict[str, Any],
    cpus: int,
    concurrent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])
    told: list[str] = []
    config = decide_cpus_per_trial(dataclasses.replace(AUTO, **options), DATA, told.append)
    assert config.cpus_per_trial == cpus and divide_into_slots(config).concurrent == concurrent
    assert len(told) == 1 and told[0].startswith(f"--cpus-per-trial auto: {cpus} (")
    assert decide_cpus_per_trial(config, DATA, told.append) is config and len(told) == 1, "it is decided"
