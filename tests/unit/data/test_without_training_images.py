"""Commands that only evaluate need query and gallery; the training images are neither read nor missed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import CommandLine
from synthetic_layouts import make_msmt17

from sa_study.data.dataset import ReidDataset
from sa_study.data.layouts import TEST_SPLITS
from sa_study.report.pictures.subject import subject_of_study
from sa_study.settings.run import Settings
from sa_study.training.trainer import build_network
from sa_study.utils.errors import DataError

VALUES: dict[str, Any] = {"depth": 18, "pretrained": "none", "num_features": 8, "parts": 2}
SETS = ("--set", "height=32", "--set", "width=16")

Harm = Callable[[Path], None]


def without(train: Path) -> None:
    shutil.rmtree(train)


def with_an_empty(train: Path) -> None:
    shutil.rmtree(train)
    train.mkdir()


def with_a_file_for(train: Path) -> None:
    shutil.rmtree(train)
    train.touch()


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sa_study.report.pictures.figure._COMPRESSION", 1)
    return CommandLine(tmp_path, monkeypatch, capsys)


def compiled_weights(folder: Path) -> Path:
    """Weights of an untrained network, as a program saves them that uses torch.compile."""
    torch.manual_seed(0)
    state = build_network(Settings.from_mapping(VALUES), 5).state_dict()
    path = folder / "weights.pt"
    torch.save({"model": {f"_orig_mod.{name}": value for name, value in state.items()}}, path)
    return path


FOUND = "weights found under model, their names read without _orig_mod."


def test_evaluate_and_visualize(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    data, weights = make_market(), compiled_weights(tool.folder)
    words = ("--weights", weights, "--data-dir", data, *SETS)
    code, _, error = tool.run("evaluate", *words, "--out", "before.json")
    assert code == 0, error
    without(data / "bounding_box_train")
    code, said, error = tool.run("evaluate", *words, "--out", "after.json")
    assert code == 0, error
    assert f"{weights.name}: {FOUND}" in said.replace("\n", "")
    before, after = (json.loads(Path(name).read_text()) for name in ("before.json", "after.json"))
    del before["seconds"], after["seconds"]
    assert after == before
    code, said, error = tool.run("visualize", *words, "--out", "pictures")
    assert code == 0, error
    assert f"{weights.name}: {FOUND}" in said
    tool.refuses("paper", "--data-dir", data, "--out", "run", naming=["bounding_box_train"])


@pytest.mark.parametrize("harm", [without, with_an_empty, with_a_file_for])
def test_a_study_on_the_test_set(tmp_path: Path, made_study: Callable[..., Path], harm: Harm) -> None:
    study = made_study()
    harm(tmp_path / "market" / "bounding_box_train")
    assert len(subject_of_study(study, None, test=True).query.images) == 18
    with pytest.raises(DataError, match="bounding_box_train"):
        subject_of_study(study, None, test=False)


def test_of_msmt17_too(tmp_path: Path, draw_image: Callable[..., Path]) -> None:
    root = make_msmt17(tmp_path / "MSMT17", draw_image)
    whole = ReidDataset(root)
    shutil.rmtree(root / "train")
    for name in ("list_train.txt", "list_val.txt"):
        (root / name).unlink()
    part = ReidDataset(root, TEST_SPLITS)
    assert (part.query, part.gallery, part.train) == (whole.query, whole.gallery, ())
    with pytest.raises(DataError, match="train"):
        ReidDataset(root)


@pytest.mark.parametrize("missing", ["query", "bounding_box_test"])
def test_the_others_are_still_needed(make_market: Callable[..., Path], missing: str) -> None:
    root = make_market()
    shutil.rmtree(root / missing)
    with pytest.raises(DataError, match=missing):
        ReidDataset(root, TEST_SPLITS)
