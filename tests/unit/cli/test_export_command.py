"""`export` as a user types it: studies in every state, bad input, and nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from command_line import CommandLine
from written_study import FIXED, Trial, keep_network, make_study

from sa_study.export import network
from sa_study.export.export import new_export
from sa_study.settings.run import Settings
from sa_study.study.folder import StudyFolder
from sa_study.training.trainer import build_network

TABLES = {"README.md", "trials.csv", "trials.parquet", "epochs.csv", "epochs.parquet"}
PAPER = {"table.md", "table.tex", "references.bib"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each test run in the folder of the command line."""
    monkeypatch.chdir(tmp_path)


def files(out: Path) -> dict[str, set[str]]:
    return {group.name: {path.name for path in group.iterdir()} for group in out.iterdir()}


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """A study whose winner is trial 1, with its checkpoint."""
    trials = [Trial(), Trial(curve=(0.1, 0.6, 0.2, 0.3), lr=0.02, attention="softmax")]
    folder = make_study(tmp_path / "study", trials)
    for number, trial in enumerate(trials):
        keep_network(folder, number, trial)
    return folder


def test_a_whole_export(tool: CommandLine, study: StudyFolder) -> None:
    before = tool.contents()
    code, said, error = tool.run("export", "--study", study.root)
    assert code == 0, error
    out = study.root / "export"
    networks = {f"{name}.{end}" for name in ("features", "features_uint8") for end in ("onnx", "pt2")}
    assert files(out) == {
        "network": networks | {"README.md", "network.json"},
        "trials": TABLES,
        "paper": PAPER,
    }
    assert {
        path: content for path, content in tool.contents().items() if out not in (path, *path.parents)
    } == before
    about = json.loads((out / "network" / "network.json").read_text())
    assert about["source"]["trial"] == 1 and about["source"]["epoch"] == 2
    assert about["settings"]["attention"] == "softmax"
    assert "largest difference to PyTorch" in said and f"written: {out}" in said.replace("\n", "")
    # The winner's weights, and no other trial's.
    best = torch.load(
        study.trials / "session_1/trial_0001/checkpoint_000001/checkpoint.pt", weights_only=True
    )
    program = torch.export.load(out / "network" / "features.pt2")
    assert torch.equal(program.state_dict["base.conv1.weight"], best["state_dict"]["base.conv1.weight"])


def test_again_it_replaces_its_own_and_nothing_else(tool: CommandLine, study: StudyFolder) -> None:
    out = tool.folder / "a" / "b" / "out"
    assert tool.run("export", "--study", study.root, "--out", out, "--formats", "trials,markdown")[0] == 0
    (out / "paper" / "table.tex").write_text("old")
    (out / "mine.txt").write_text("mine")
    assert tool.run("export", "--study", study.root, "--out", out, "--formats", "markdown")[0] == 0
    assert (out / "paper" / "table.tex").read_text().startswith("%")
    assert (out / "mine.txt").read_text() == "mine" and (out / "trials" / "trials.csv").exists()
    assert {path.name for path in out.parent.iterdir()} == {"out"}
    (out / "paper" / "my.tex").write_text("mine")
    tool.refuses(
        "export", "--study", study.root, "--out", out, "--formats", "markdown", naming=["my.tex", "--out"]
    )


@pytest.mark.parametrize(
    ("trials", "note"),
    [
        ([], "no trial is complete"),
        ([Trial("FAIL", (), failure="loss is nan")], "no trial is complete"),
        ([Trial("RUNNING", (0.2,)), Trial("RUNNING", ())], "no trial is complete"),
    ],
    ids=["empty", "failed only", "running"],
)
def test_without_a_winner_there_is_the_rest(tool: CommandLine, trials: list[Trial], note: str) -> None:
    folder = make_study(tool.folder / "study", trials)
    tool.refuses("export", "--study", "study", "--formats", "onnx", naming=[note, "trials,markdown"])
    code, said, _ = tool.run("export", "--study", "study")
    assert code == 0 and note in said
    assert files(folder.root / "export") == {"trials": TABLES, "paper": PAPER}
    lines = (folder.root / "export" / "trials" / "trials.csv").read_text().splitlines()
    assert len(lines) == 1 + len(trials)


def test_a_network_that_fails_its_check_leaves_nothing(
    tool: CommandLine, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "LIMIT", -1.0)
    words = ("--study", study.root, "--formats", "torch,trials")
    tool.refuses("export", *words, naming=["differ from PyTorch's"], code=1)


def test_a_winner_whose_checkpoint_is_gone(tool: CommandLine, study: StudyFolder) -> None:
    (study.trials / "session_1/trial_0001/checkpoint_000001/checkpoint.pt").unlink()
    tool.refuses("export", "--study", study.root, naming=["checkpoint"])


def test_onnx_is_optional(tool: CommandLine, study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_NEEDED", {"onnx_is_not_here": "1.0"})
    advice = ["onnx_is_not_here", "pip install onnx_is_not_here==1.0"]
    tool.refuses("export", "--study", study.root, "--formats", "onnx", naming=advice)
    asked: list[set[str]] = []

    def write(trained: object, source: object, files: dict[str, Any], *_: object) -> dict[str, float]:
        asked.append(set(files))
        return {}

    monkeypatch.setattr("sa_study.export.network_files.write_networks", write)
    code, said, _ = tool.run("export", "--study", study.root)
    assert code == 0 and "pip install onnx_is_not_here==1.0" in said
    assert asked == [{"features.pt2", "features_uint8.pt2"}]
    assert files(study.root / "export") == {"trials": TABLES, "paper": PAPER}


def test_a_published_weights_file(tool: CommandLine) -> None:
    settings = Settings.from_mapping(FIXED)
    net = build_network(settings, 5)
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 100, "best_top1": 0.9}, "checkpoint.pth.tar")
    words = ("--weights", "checkpoint.pth.tar", "--set", "height=48", "--set", "width=32")
    tool.refuses("export", *words, naming=["--out"])
    tool.refuses(
        "export", *words, "--out", "out", "--formats", "trials", naming=["--formats", "trials needs --study"]
    )
    code, said, error = tool.run("export", *words, "--out", "out", "--formats", "onnx")
    assert code == 0, error
    assert "weights found under state_dict, their names read without module." in said
    about = json.loads(Path("out/network/network.json").read_text())
    assert about["source"] == {"weights file": "checkpoint.pth.tar", "epoch": 100}
    session = onnxruntime.InferenceSession("out/network/features.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, 48, 32]


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        ([], ["--study or --weights"]),
        (["--study", "s", "--weights", "w"], ["--study or --weights"]),
        (["--study", "gone"], ["gone: no such folder"]),
        (["--study", "plain"], ["plain: is not a study folder", "study.yaml"]),
        (["--study", "study", "--formats", "onnx,pdf"], ["--formats", "'pdf'", "markdown"]),
        (["--study", "study", "--formats", " , "], ["--formats", "none"]),
        (["--study", "study", "--set", "depth=18"], ["--set"]),
        (["--study", "study", "--out", "plain/file"], ["file: is a file"]),
        (["--study", "study", "--out", "plain/file/x"], ["plain/file", "cannot be written"]),
        (["--study", "study", "--out", "study"], ["trials: holds 'session_1'", "--out"]),
        (["--weights", "gone.pt", "--out", "o"], ["gone.pt"]),
        (["--weights", "plain/file", "--out", "o"], ["file", "not a weights file"]),
    ],
)
def test_bad_input(tool: CommandLine, words: list[str], naming: list[str]) -> None:
    if "study" in words:
        make_study(tool.folder / "study", [Trial()])
    (tool.folder / "plain").mkdir()
    (tool.folder / "plain" / "file").write_text("mine")
    tool.refuses("export", *words, naming=naming)


@pytest.mark.parametrize(
    ("harm", "naming"),
    [
        (lambda folder: folder.config.write_text("a: ["), ["study.yaml"]),
        (lambda folder: folder.database.write_bytes(b"no database"), ["optuna.db"]),
        (lambda folder: folder.provenance.unlink(), ["provenance.json"]),
        (lambda folder: folder.baseline_evaluation.write_text("{"), ["baseline_evaluation.json"]),
    ],
)
def test_a_damaged_study(tool: CommandLine, harm: Callable[[StudyFolder], Any], naming: list[str]) -> None:
    harm(make_study(tool.folder / "study", [Trial()]))
    tool.refuses("export", "--study", "study", naming=naming)


def test_an_export_and_a_launch_may_meet(tool: CommandLine) -> None:
    """A driver that begins clears half-written files of one that was killed; an export's are none."""
    folder = make_study(tool.folder / "study", [Trial()])
    with new_export(folder.root / "export") as made:
        (made / "paper").mkdir()
        (made / "paper" / "table.md").write_text("whole")
        folder.clear_leftovers()
    assert files(folder.root / "export") == {"paper": {"table.md"}}
    assert not list(folder.root.glob(".*"))


def test_a_folder_that_may_not_be_written(tool: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(tool.folder / "study", [Trial("FAIL", ())])
    own = Path.mkdir

    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.parent.name == "study":
            raise PermissionError(13, "Permission denied", str(path))
        own(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    tool.refuses(
        "export", "--study", "study", naming=["study: cannot be written (Permission denied)", "--out"]
    )
