"""The audit names every kind of damage, and nothing in an undamaged study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sound_study
import yaml
from damage import COMPLETE, DATABASE, FILES, PRUNED, change_yaml, query, repeat_epoch, result_file
from study_processes import TINY, run

from sa_study.analysis.audit.checks import audit
from sa_study.data.sample import make_sample_data
from sa_study.study.lock import driver_lock
from sa_study.training.checkpoint import load_checkpoint, save_checkpoint
from sa_study.training.tensorboard import write_images

SPACE = {
    "search": {"lr": {"type": "categorical", "choices": [0.02, 1.0e-6, 100.0]}},
    "fixed": {**TINY, "epochs": 3},
    "baseline": {"lr": 0.02},
    "sampler": "grid",
    "scheduler": {"name": "asha", "grace_period": 30, "reduction_factor": 2},
    "trials": 3,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study with a trial of each end."""
    folder = tmp_path_factory.mktemp("audit")
    data = make_sample_data(folder / "data", identities=10, images_per_camera=2)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    words = ("tune", "--data-dir", data, "--study", folder / "study", "--space", folder / "space.yaml")
    told = json.loads(run(*words, "--max-concurrent", "1", "--json"))
    assert [trial["state"] for trial in told["trials"]] == ["COMPLETE", "PRUNED", "FAIL"]
    assert (told["winner"], told["difference"], told["stopped"]) == (0, 0.0, "")
    states = [state for (state,) in query(folder / "study", "SELECT state FROM trials ORDER BY number")]
    assert states == ["COMPLETE", "PRUNED", "FAIL"]
    return folder / "study"


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return sound_study.copy(study, tmp_path / "study")


def test_a_sound_study_is_clean_and_left_as_it_was(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert audit(copy) == []
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_what_a_killed_driver_leaves_is_no_contradiction(copy: Path) -> None:
    repeat_epoch(copy, COMPLETE)
    with result_file(copy, PRUNED).open("a") as file:
        file.write('{"epoch": 2, "progr')
    assert audit(copy) == []
    [snapshot] = copy.glob("trials/session_1/experiment_state-*.json")
    whole = snapshot.read_text()
    brace = whole.index("}") + 1  # of an inner object
    for written in (*range(brace - 2, brace + 2), len(whole) // 2, len(whole) - 1, 1, 0):
        snapshot.write_text(whole[:written])  # Ray writes it in place
        assert audit(copy) == [], whole[:written]


def test_pictures_beside_the_curves_are_none(copy: Path) -> None:
    write_images(copy / "tensorboard" / "trial_0000", {"a": np.zeros((2, 2, 3), np.uint8)})
    assert audit(copy) == []


def test_a_running_trial_is_fine_while_a_driver_runs(copy: Path) -> None:
    query(copy, "UPDATE trials SET state = 'RUNNING' WHERE number = 1")
    with driver_lock(copy / "driver.lock"):
        assert not any("RUNNING" in line for line in audit(copy))
    assert "trial 1: is RUNNING, but no driver runs" in audit(copy)


def test_trials_may_lie_elsewhere(copy: Path, tmp_path: Path) -> None:
    change_yaml(copy / "study.yaml", storage_path=str(tmp_path / "elsewhere"))
    assert "trial 0: Ray has results of epochs []; the record ends at epoch 3" in audit(copy)
    (copy / "trials").rename(tmp_path / "elsewhere")
    assert audit(copy) == []


@pytest.mark.parametrize("name", [*DATABASE, *FILES])
def test_damage_is_named(copy: Path, name: str) -> None:
    damage, expected = {**DATABASE, **FILES}[name]
    damage(copy)
    lines = audit(copy)
    assert any(expected in line for line in lines), lines


def test_a_changed_weight_is_noticed(copy: Path) -> None:
    best = load_checkpoint(copy / "best.pt")
    next(iter(best.state_dict.values())).mul_(1 + 1e-6)
    save_checkpoint(copy / "best.pt", best)
    assert [line.split(":")[0] for line in audit(copy)] == ["best.pt"]
