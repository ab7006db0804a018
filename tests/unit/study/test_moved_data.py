"""Data that moved after a study was launched: every command that opens them says how to name their place."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from sound_study import copy, sound_study

from sa_study.study.config import StudyConfig


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    sound_study(root)
    (root / "market").rename(root / "moved")
    return root


LINES = (
    "resume --study {study} --trials 9",
    "evaluate --study {study}",
    "evaluate --study {study} --retrain",
    "visualize --study {study}",
    "visualize --study {study} --test",
    "reproduce --study {study} --trial 1",
    "confirm --study {study} --top 1 --seeds 2",
)


@pytest.mark.parametrize("emptied", [False, True], ids=["gone", "emptied, as where a disk is not mounted"])
@pytest.mark.parametrize("line", LINES)
def test_the_line_suggests_data_dir(
    line: str, emptied: bool, sound: Path, tmp_path: Path, tool: CommandLine
) -> None:
    study = copy(sound / "study", tmp_path / "study")
    (sound / "market").mkdir() if emptied else shutil.rmtree(sound / "market", ignore_errors=True)
    tool.refuses(*line.format(study=study).split(), naming=[str(sound / "market"), "--data-dir NEW"])


def test_a_first_launch_is_not_told_that_its_data_have_moved(tmp_path: Path, tool: CommandLine) -> None:
    _, complaint = tool("tune", "--study", tmp_path / "study", "--data-dir", tmp_path / "nowhere")
    assert "nowhere" in complaint and "NEW" not in complaint


def test_the_same_data_elsewhere_are_taken(sound: Path, tmp_path: Path, tool: CommandLine) -> None:
    study = copy(sound / "study", tmp_path / "study")
    code, complaint = tool("evaluate", "--study", study, "--data-dir", sound / "moved")
    assert code == 0, complaint


def test_a_complete_study_takes_trackers_and_no_other_change(
    sound: Path, tmp_path: Path, tool: CommandLine
) -> None:
    """Nothing else is checked; a tracker of another machine is told of, and kept."""
    study = copy(sound / "study", tmp_path / "study")
    elsewhere = dataclasses.replace(
        StudyConfig.read(study / "study.yaml"), track=("mlflow:sqlite:////gone/mlflow.db",)
    )
    elsewhere.write(study / "study.yaml")
    code, said, complaint = tool.run("resume", "--study", study, "--data-dir", tmp_path / "wrong")
    assert code == 0, complaint
    assert "--track none" in said + complaint
    assert StudyConfig.read(study / "study.yaml") == elsewhere
    code, complaint = tool("resume", "--study", study, "--data-dir", tmp_path / "wrong", "--track", "none")
    assert code == 0, complaint
    assert StudyConfig.read(study / "study.yaml") == dataclasses.replace(elsewhere, track=())
