"""`visualize` as it is typed: what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import CommandLine
from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator

from sa_study.data.dataset import ReidDataset
from sa_study.report.pictures.make import make_pictures
from sa_study.report.pictures.subject import subject_of_study
from sa_study.settings.run import Settings
from sa_study.training.checkpoint import Checkpoint, save_checkpoint
from sa_study.training.evaluate import evaluate, load_network, load_test_images
from sa_study.training.trainer import build_network
from sa_study.utils.errors import StudyFolderError, WeightsError

pytestmark = pytest.mark.usefixtures("small_pictures")


Tool = Callable[..., str]


@pytest.fixture(name="tool")
def visualize(tool: CommandLine) -> Tool:
    """Runs the command; returns what it prints, or its line of error where it is to be refused."""

    def run(*words: object, code: int = 2) -> str:
        found, said, complaint = tool.run("visualize", *words)
        assert found == code
        assert not code or (complaint.startswith("error: ") and complaint.count("\n") == 1)
        return complaint if code else said

    return run


def test_the_command(made_study: Callable[..., Path], tool: Tool) -> None:
    root = made_study("stu\x1b[2Jdy")
    said = tool("--study", root, code=0)
    assert "\x1b" not in said and "cmc_curve.png" in said and "validation split" in said
    assert len(list((root / "pictures").iterdir())) >= 8
    said = tool(
        "--weights", root / "best.pt", "--data-dir", root.parent / "market", "--out", root / "o", code=0
    )
    assert "TEST SET" in said


@pytest.mark.usefixtures("plots_alone")
def test_attention_comes_into_tensorboard(made_study: Callable[..., Path], tool: Tool) -> None:
    root = made_study()
    tool("--study", root, "--out", root / "elsewhere", code=0)
    assert not (root / "tensorboard").exists()
    tool("--study", root, code=0)
    tool("--study", root, code=0)
    reader = EventAccumulator(str(root / "tensorboard" / "best" / "pictures"), {IMAGES: 0})
    tags = {"attention/images", *(f"attention/stage{stage}" for stage in (1, 2, 3))}
    assert set(reader.Reload().Tags()[IMAGES]) == tags
    for tag in tags:
        (picture,) = reader.Images(tag)
        assert (picture.step, picture.height) == (3, 64)  # as stored


def test_bad_input_is_one_line(made_study: Callable[..., Path], tool: Tool, tmp_path: Path) -> None:
    root, empty = made_study(), made_study("fresh", weights=False)
    data = root.parent / "market"
    assert "either --study or --weights" in tool()
    assert "either --study or --weights" in tool("--study", root, "--weights", root / "best.pt")
    assert "takes no --set" in tool("--study", root, "--set", "attention=none")
    assert "needs --data-dir" in tool("--weights", root / "best.pt")
    assert "needs --out" in tool("--weights", root / "best.pt", "--data-dir", data)
    assert "has no best.pt yet" in tool("--study", empty)
    assert "no such folder" in tool("--study", tmp_path / "none")
    assert "is not a study folder" in tool("--study", data)
    assert "No such file" in tool("--study", root, "--data-dir", tmp_path / "stu")
    assert "no data set" in tool("--study", root, "--data-dir", empty)
    (tmp_path / "file").write_text("a file")
    assert "is a file" in tool("--study", root, "--out", tmp_path / "file")
    assert "file" in tool("--study", root, "--out", tmp_path / "file" / "below")
    (empty / "best.pt").write_bytes(b"damaged")
    assert "best.pt" in tool("--study", empty)
    assert not (root / "pictures").exists() and not (empty / "pictures").exists()


def test_images_that_are_gone_or_changed(made_study: Callable[..., Path], tool: Tool) -> None:
    root = made_study()
    first = next(iter((root.parent / "market" / "bounding_box_train").iterdir()))
    first.unlink()
    assert "not those that" in tool("--study", root)
    (root.parent / "market").rename(root.parent / "elsewhere")
    assert "market" in tool("--study", root)
    assert not (root / "pictures").exists()


def test_weights_of_another_study(made_study: Callable[..., Path]) -> None:
    root = made_study()
    content = torch.load(root / "best.pt", weights_only=True)
    settings = Settings.from_mapping(content["settings"])
    other = build_network(settings, 5)
    save_checkpoint(
        root / "best.pt", dataclasses.replace(Checkpoint(**content), state_dict=other.state_dict())
    )
    with pytest.raises(WeightsError, match="distinguishes 5 identities"):
        subject_of_study(root, None, test=False)


@pytest.mark.usefixtures("plots_alone")
def test_an_unwritable_folder(
    made_study: Callable[..., Path], tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made_study()

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert f"{root / 'pictures'}: Permission denied" in tool("--study", root)


def test_a_file_in_the_folders_place(made_study: Callable[..., Path]) -> None:
    root = made_study()
    (root / "pictures").write_text("mine")
    with pytest.raises(StudyFolderError, match="is a file"):
        make_pictures(subject_of_study(root, None, test=False), root / "pictures")
    assert (root / "pictures").read_text() == "mine"


@pytest.mark.usefixtures("plots_alone")
def test_pictures_of_test_images_are_looks(
    made_study: Callable[..., Path], tool: Tool, tmp_path: Path
) -> None:
    root = made_study()
    weights, data, ledger = root / "best.pt", root.parent / "market", root / "test_ledger.json"
    tool("--study", root, code=0)
    assert not ledger.exists(), "the validation split is no look"
    assert "Test set seen once" in tool("--study", root, "--test", code=0)
    words = ("--weights", weights, "--data-dir", data, "--rerank")
    assert "TEST SET, seen 2 times" in tool(*words, "--out", tmp_path / "out", code=0)
    first, second = json.loads(ledger.read_text())["looks"]
    assert first["queries"] == 18 and first["gallery"] == 37 and second["data"] == first["data"]
    assert (first["reranked"], second["reranked"]) == (False, True)
    expected = evaluate(
        load_network(weights, {}), load_test_images(ReidDataset(data), Settings()), reranked=True
    )
    for figures in (first["figures"]["best.pt"], second["figures"]["best.pt"]):
        for name in ("rank1", "mAP"):
            assert figures[name] == pytest.approx(expected[name])
    again = second["figures"]["best.pt"]["reranked"]
    assert first["figures"]["best.pt"]["reranked"] is None
    assert again["mAP"] == pytest.approx(expected["reranked"]["mAP"])
    weights.rename(tmp_path / "best.pt")
    tool("--weights", tmp_path / "best.pt", "--data-dir", data, "--out", tmp_path / "out", code=0)
    assert len(json.loads(ledger.read_text())["looks"]) == 2, "weights outside are nobody's"
