"""One network on several data sets: a table whose rows can be told apart, and what is refused at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from image_lists import listed, without_cameras
from sound_study import copy

from sa_study.study.folder import StudyFolder


@pytest.fixture
def data(sound: Path, tmp_path: Path) -> list[Path]:
    """Two folders of one name with different galleries, and a list without cameras."""
    folders = [tmp_path / name / "market" for name in ("a", "b")]
    for folder in folders:
        shutil.copytree(sound / "market", folder)
    (folders[1] / "bounding_box_test" / "0001_c1s1_000001_01.jpg").unlink()
    return [*folders, without_cameras(listed(folders[0], tmp_path / "mine.csv"))]


def words(data: list[Path]) -> list[object]:
    return [word for folder in data for word in ("--data-dir", folder)]


def test_weights_on_several_data_sets(
    sound: Path, data: list[Path], tmp_path: Path, tool: CommandLine
) -> None:
    weights = shutil.copy(sound / "study" / "best.pt", tmp_path / "net.pt")
    code, text, error = tool.run("evaluate", "--weights", weights, *words(data))
    assert code == 0, error
    said = " ".join(text.split())
    assert "a/market: 4 queries, 5 gallery images; b/market: 4 queries (1 without a match, left out)" in said
    assert "(without cameras, every other image of an identity is a match)" in said
    found = json.loads(tool.run("evaluate", "--weights", weights, *words(data), "--json")[1])
    assert list(found["data_sets"]) == ["a/market", "b/market", f"{tmp_path.name}/mine.csv"]
    for name, path in zip(found["data_sets"], data, strict=True):
        alone = json.loads(tool.run("evaluate", "--weights", weights, "--data-dir", path, "--json")[1])
        one, other = found["data_sets"][name]["evaluations"]["net.pt"], alone["evaluations"]["net.pt"]
        assert {**one, "seconds": {}} == {**other, "seconds": {}}


def test_a_study_on_several_data_sets_keeps_a_file_and_counts_looks_of_each(
    sound: Path, data: list[Path], tmp_path: Path, tool: CommandLine
) -> None:
    folder = StudyFolder(copy(sound / "study", tmp_path / "study"))
    before = folder.baseline_evaluation.read_bytes()
    asked = ("evaluate", "--study", folder.root, *words(data), "--json")
    found = json.loads(tool.run(*asked)[1])["data_sets"]
    own, other, _ = found.values()
    assert [one["own_test_set"] for one in found.values()] == [True, False, False]
    assert [one["test_looks"] for one in found.values()] == [2, 1, 1]
    assert len({one["files"]["best"] for one in found.values()}) == 3
    assert json.loads(Path(other["files"]["best"]).read_text()) == other["evaluations"]["best"]
    assert (
        own["files"]["best"] == str(folder.evaluation) and folder.baseline_evaluation.read_bytes() == before
    )
    assert [one["test_looks"] for one in json.loads(tool.run(*asked)[1])["data_sets"].values()] == [3, 2, 2]


def test_what_is_refused_before_anything_is_evaluated(
    sound: Path, data: list[Path], tmp_path: Path, tool: CommandLine
) -> None:
    study = copy(sound / "study", tmp_path / "study")
    weights = ("evaluate", "--weights", study / "best.pt", *words(data))
    tool.refuses(*weights, "--data-dir", data[0].parent, naming=[f"{data[0].parent}: is given twice"])
    tool.refuses(*weights, "--data-dir", tmp_path / "none", naming=["none: No such file"])
    tool.refuses(*weights, "--out", tmp_path / "x.json", naming=["--out", "takes one --data-dir"])
    asked = ("evaluate", "--study", study, *words(data))
    tool.refuses(*asked, "--retrain", naming=["--retrain: takes one --data-dir"])
    tool.refuses(*asked, "--data-dir", tmp_path / "none", naming=["none: No such file"])
