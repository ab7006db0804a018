"""A study evaluated on other data than its own: its own test figures and looks stay as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from damage import change_json
from PIL import Image
from sound_study import copy

from sa_study.analysis.repeats.runs import _load_images
from sa_study.report.pictures.subject import subject_of_weights
from sa_study.report.verdict import test_gain as gain_on_test
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import DataError


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(copy(sound / "study", tmp_path / "study"))


def other_data(sound: Path, root: Path, *parts: str) -> Path:
    """The study's data set with one image of each named part drawn anew."""
    shutil.copytree(sound / "market", root)
    for part in parts:
        image = min((root / part).glob("0*_c1*.jpg"))
        Image.new("RGB", Image.open(image).size, "red").save(image)
    return root


def run(tool: CommandLine, *words: object) -> Any:
    code, said, error = tool.run(*words, "--json")
    assert code == 0, error
    return json.loads(said)


def own_figures(folder: StudyFolder) -> list[bytes]:
    return [path.read_bytes() for path in (folder.evaluation, folder.baseline_evaluation)]


@pytest.mark.parametrize(
    "parts", [("bounding_box_train", "query"), ("query",), ("bounding_box_test",)], ids="+".join
)
def test_figures_on_other_data_have_files_of_their_own(
    folder: StudyFolder, sound: Path, tmp_path: Path, tool: CommandLine, parts: tuple[str, ...]
) -> None:
    data, before = other_data(sound, tmp_path / "other", *parts), own_figures(folder)
    gain = gain_on_test(StudySummary.read(folder.root))
    words = ("evaluate", "--study", folder.root, "--data-dir", data, "--baseline")
    found = run(tool, *words)
    assert not found["own_test_set"] and found["test_looks"] == 1 and own_figures(folder) == before
    best, baseline = (Path(found["files"][name]) for name in ("best", "baseline"))
    digits = best.stem.removeprefix("evaluation-")
    assert len(digits) == 8 and baseline.name == f"baseline_evaluation-{digits}.json"
    assert json.loads(best.read_text()) == found["evaluations"]["best"]
    assert run(tool, "status", "--study", folder.root)["test_looks"] == 1, "its own was seen once, before"
    assert gain and gain_on_test(StudySummary.read(folder.root)) == gain
    said = tool.run(*words)[1]
    assert "other data than the study's own" in said and "Another test set seen 2 times" in said
    assert run(tool, "compare", baseline, best)["plain"]["mAP"]["queries"] == 4
    tool.refuses("compare", baseline, folder.evaluation, naming=["cannot be compared", "different"])


def test_the_same_data_elsewhere_are_the_studys_own(
    folder: StudyFolder, sound: Path, tmp_path: Path, tool: CommandLine
) -> None:
    moved = other_data(sound, tmp_path / "moved")
    for path in (folder.evaluation, folder.ledger):
        path.unlink()  # never evaluated: the training images tell
    found = run(tool, "evaluate", "--study", folder.root, "--data-dir", moved)
    assert found["own_test_set"] and Path(found["files"]["best"]) == folder.evaluation
    shutil.rmtree(moved / "bounding_box_train")
    shutil.copytree(sound / "market" / "query", moved / "bounding_box_train")
    again = run(tool, "evaluate", "--study", folder.root, "--data-dir", moved)
    assert again["own_test_set"] and again["test_looks"] == 2, "once evaluated, the test images tell"


def test_another_test_set_beside_the_same_training_images_is_other_data(
    folder: StudyFolder, sound: Path, tmp_path: Path, tool: CommandLine
) -> None:
    edited = other_data(sound, tmp_path / "edited", "query")
    for path in (folder.evaluation, folder.ledger):
        path.unlink()  # never evaluated
    assert not run(tool, "evaluate", "--study", folder.root, "--data-dir", edited)["own_test_set"]
    assert run(tool, "evaluate", "--study", folder.root)["own_test_set"] and folder.evaluation.exists()


def test_data_that_were_replaced_in_their_place_are_other_data(
    folder: StudyFolder, sound: Path, tmp_path: Path, tool: CommandLine
) -> None:
    """Also in a study that an earlier version has evaluated, whose ledger does not name its own test set."""
    ledger = json.loads(folder.ledger.read_text())
    for entry in ledger["looks"]:
        del entry["own"]
    folder.ledger.write_text(json.dumps(ledger))
    before, place = own_figures(folder), sound / "market" / "query"
    image = min(place.iterdir())
    content = image.read_bytes()
    try:
        image.unlink()
        Image.new("RGB", (16, 32), "red").save(image)
        assert not run(tool, "evaluate", "--study", folder.root)["own_test_set"]
    finally:
        image.write_bytes(content)
    assert own_figures(folder) == before
    assert run(tool, "evaluate", "--study", folder.root)["own_test_set"]


def test_runs_are_scored_on_the_images_that_they_were_validated_with(folder: StudyFolder) -> None:
    """A confirmation that goes on where it was stopped never mixes scores on two data sets."""
    assert len(_load_images(StudySummary.read(folder.root))[0].query)
    change_json(folder.provenance, data_fingerprint="c" * 64)
    with pytest.raises(DataError, match="training images are not those that the study was begun with"):
        _load_images(StudySummary.read(folder.root))


@pytest.mark.parametrize("own", [False, True])
def test_weights_and_pictures_look_at_what_they_are_shown(
    folder: StudyFolder, sound: Path, tmp_path: Path, tool: CommandLine, own: bool
) -> None:
    folder.ledger.unlink()
    folder.evaluation.unlink()
    folder.baseline_evaluation.unlink()
    data = other_data(sound, tmp_path / "data", *(() if own else ("bounding_box_train", "query")))
    weights = ("--weights", folder.root / "best.pt", "--data-dir", data)
    assert run(tool, "evaluate", *weights)["test_looks"] == 1
    shown = subject_of_weights(folder.root / "best.pt", data, {}).where
    assert ("of other data than the study's own, seen 2 times" in shown) == (not own)
    assert ("TEST SET, seen 2 times" in shown) == own
    assert run(tool, "status", "--study", folder.root)["test_looks"] == (2 if own else 0)
