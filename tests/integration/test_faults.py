"""A study that is interrupted, loses a worker and loses its driver ends like one left alone."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from checkout import ROOT
from optuna.trial import TrialState
from study_processes import trials_of

from sa_study.data.sample import make_sample_data

sys.path.insert(0, str(ROOT / "benchmarks"))

from fault_injection.campaign import Campaign, Case, Kill, Result, differences
from fault_injection.moments import MOMENTS

CASE = Case("multifidelity", "asha", slots=1, trials=3, epochs=12, backbone="narrow")
MOMENT = {moment.name: moment for moment in MOMENTS}
KILLS = [
    Kill("ctrl-c", MOMENT["new trial"]),
    Kill("worker", MOMENT["at a checkpoint"]),
    Kill("driver", MOMENT["after an epoch"]),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("faults") / "data", identities=10, images_per_camera=2)


def run(kills: list[Kill], root: Path, data: Path) -> Result:
    result = Campaign(CASE, kills, root, data, random.Random(3)).run()
    assert result.failures == []
    return result


@pytest.fixture(scope="module")
def alone(data: Path) -> Result:
    return run([], data.with_name("alone"), data)


def test_kills_change_nothing(data: Path, alone: Result, tmp_path: Path) -> None:
    disturbed = run(KILLS, tmp_path / "disturbed", data)
    assert [kill["kind"] for kill in disturbed.kills] == ["ctrl-c", "worker", "driver"]
    assert disturbed.kills[0]["exit"] == 130, "Ctrl-C is no failure"
    assert disturbed.launches >= 3 and alone.launches == 1
    assert TrialState.PRUNED in {trial.state for trial in trials_of(alone.folder)}, "a decision is at stake"
    assert disturbed.audit == alone.audit == []
    assert differences(disturbed.folder, alone.folder) == []
    assert disturbed.left_behind == [], "what a killed driver had started must not stay"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE trial_intermediate_values SET intermediate_value = 0.5 WHERE trial_id = 2", "0.5"),
        ("UPDATE trials SET state = 'FAIL' WHERE trial_id = 2", "FAIL"),
        ("DELETE FROM trials WHERE number = 2", "2 trials, 3 undisturbed"),
    ],
)
def test_a_difference_is_told(alone: Result, tmp_path: Path, statement: str, told: str) -> None:
    for name in ("study.yaml", "optuna.db"):
        shutil.copy(alone.folder / name, tmp_path)
    assert differences(tmp_path, alone.folder) == []
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as database, database:
        database.execute(statement)
    [line] = differences(tmp_path, alone.folder)
    assert told in line
