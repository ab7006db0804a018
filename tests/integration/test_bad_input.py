"""Bad input on the command line: one line, exit code 2, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from command_line import CommandLine

from sa_study.settings.space_file import load_space
from sa_study.study.config import StudyConfig

SMALL = ["depth=18", "pretrained=none", "height=32", "width=16", "parts=2", "batch_size=8", "threads=1"]
SETS = [word for text in SMALL for word in ("--set", text)]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("command", ["tune", "paper"])
class TestDataFolder:
    """What `tune` and `paper` say of a data folder that will not do."""

    def refuse(self, tool: CommandLine, command: str, data: Path, naming: Sequence[str]) -> None:
        if command == "tune":
            tool.refuses("tune", "--data-dir", data, "--study", "s", "--space", "paper", *SETS, naming=naming)
        else:
            tool.refuses("paper", "--data-dir", data, "--out", "o", *SETS, naming=naming)

    def test_missing(self, tool: CommandLine, command: str) -> None:
        self.refuse(tool, command, tool.folder / "nowhere", ["nowhere"])

    def test_wrong(self, tool: CommandLine, command: str) -> None:
        (tool.folder / "photos" / "holiday").mkdir(parents=True)
        self.refuse(tool, command, tool.folder / "photos", ["photos", "holiday", "bounding_box_train"])

    def test_no_images(self, tool: CommandLine, command: str, make_market: Callable[..., Path]) -> None:
        root = make_market()
        for image in (root / "bounding_box_train").iterdir():
            image.unlink()
        self.refuse(tool, command, root, ["bounding_box_train"])

    def test_an_unreadable_image(
        self, tool: CommandLine, command: str, make_market: Callable[..., Path]
    ) -> None:
        root = make_market()
        broken = min((root / "bounding_box_train").iterdir())
        broken.write_bytes(broken.read_bytes()[:200])
        self.refuse(tool, command, root, [broken.name])

    def test_an_id_in_both(self, tool: CommandLine, command: str, make_market: Callable[..., Path]) -> None:
        self.refuse(tool, command, make_market(train_ids=range(1, 11), test_ids=(1, 2)), ["1", "train"])


def test_cameras_that_leave_no_match(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    root = make_market(cameras=1)
    words = ("tune", "--data-dir", root, "--study", "s", "--space", "paper", *SETS)
    tool.refuses(*words, naming=["camera"])


def test_space_files(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    root, space = make_market(), tool.folder / "space.yaml"
    for content, naming in (
        ("search: {lrr: {type: float, low: 0.1, high: 1}}", ["space.yaml", "lrr", "lr"]),
        ("search: {lr: {type: float, low: 1, high: 0.1}}", ["space.yaml", "search.lr", "low 1", "high 0.1"]),
        ("search: {lr: {type: float, low: a, high: 1}}", ["space.yaml", "search.lr.low", "'a'"]),
        ("fixed: {dropout: 2}", ["space.yaml", "dropout", "2"]),
        ("fixed: [", ["space.yaml", "YAML"]),
    ):
        space.write_text(content)
        tool.refuses("tune", "--data-dir", root, "--study", "s", "--space", space, naming=naming)
    tool.refuses("tune", "--data-dir", root, "--study", "s", "--space", "gone.yaml", naming=["gone.yaml"])


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["--set", "dept=18"], ["--set dept=18", "depth"]),
        (["--set", "depth"], ["--set depth", "key=value"]),
        (["--metric", "rank7"], ["--metric", "rank7", "mAP"]),
        (["--trials", "0"], ["--trials", "0"]),
        (["--time-budget", "soon"], ["--time-budget soon", "2h"]),
        (["--time-budget", "0s"], ["--time-budget 0s"]),
        (["--cpus-per-trial", "0"], ["--cpus-per-trial"]),
        (["--cpus-per-trial", "many"], ["--cpus-per-trial", "many", "auto"]),
        (["--gpus-per-trial", "1.5"], ["--gpus-per-trial", "1.5"]),
        (["--gpus-per-trial", "nan"], ["--gpus-per-trial", "nan"]),
        (["--max-concurrent", "0"], ["--max-concurrent"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--time-budget", "0s"], ["--time-budget", "0s"]),
        (["--epoch-budget", "0"], ["--epoch-budget", "0", "above 0"]),
        (["--gpu-hours", "0"], ["--gpu-hours", "0", "above 0"]),
        (["--gpu-hours", "nan"], ["--gpu-hours", "nan"]),
        (["--gpu-hours", "2", "--gpus-per-trial", "0"], ["--gpu-hours", "no GPU"]),
        (["--minimize", "beauty"], ["--minimize", "beauty", "cost", "latency"]),
        (["--minimize", "cost", "--scheduler", "asha"], ["--minimize cost", "--scheduler none"]),
        (["--scheduler", "best"], ["--scheduler", "best", "asha", "hyperband", "median", "none"]),
        (["--sampler", "best"], ["--sampler", "best", "tpe", "random"]),
        (["--trials", "2"], ["--trials", "2", "nothing to search"]),
        (["--storage-path", "s3://key:secret@bucket/study"], ["--storage-path", "bucket", "credentials"]),
        (["--set", "val_identities=0"], ["val_identities"]),
        (["--set", "batch_size=500"], ["batch_size", "500", "32"]),
        (["--set", "pretrained=gone.pth"], ["pretrained", "gone.pth"]),
    ],
)
def test_options(
    tool: CommandLine, make_market: Callable[..., Path], words: list[str], naming: list[str]
) -> None:
    start = ("tune", "--data-dir", make_market(), "--study", "s", "--space", "paper", *SETS)
    tool.refuses(*start, *words, naming=naming)


def test_more_gpus_than_there_are(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    words = ("tune", "--data-dir", make_market(), "--study", "s", "--space", "paper", *SETS)
    have = torch.cuda.device_count()
    naming = ["--gpus-per-trial", f"only {have} may be used"]
    tool.refuses(*words, "--gpus-per-trial", str(have + 1), naming=naming)


def test_study_folders(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    root = make_market()
    taken, study = tool.folder / "taken", tool.folder / "study"
    taken.mkdir()
    (taken / "thesis.txt").touch()
    study.mkdir()
    (study / "study.yaml").write_text("format: 1\n")
    launch = ("tune", "--data-dir", root, "--space", "paper", *SETS)
    tool.refuses(*launch, "--study", taken, naming=["taken", "not an empty folder"])
    tool.refuses(*launch, "--study", study, naming=["study", "resume"])
    for command in ("resume", "status", "evaluate"):
        tool.refuses(command, "--study", tool.folder / "nowhere", naming=["nowhere", "no such folder"])
        tool.refuses(command, "--study", taken, naming=["taken", "study.yaml", "optuna.db"])
        tool.refuses(command, "--study", study, naming=["study", "optuna.db"])
    space = load_space(Path("paper"))
    StudyConfig(data_dir=root, space=space, trials=1).write(study / "study.yaml")
    for content in (b"no database", b""):
        (study / "optuna.db").write_bytes(content)
        for command in ("resume", "status", "evaluate"):
            tool.refuses(command, "--study", study, naming=["optuna.db"])
    (study / "study.yaml").write_text("format: 99\n")
    tool.refuses("status", "--study", study, naming=["study.yaml", "99"])


def test_weights_files(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    root, file = make_market(), tool.folder / "weights.pt"
    words = ("evaluate", "--data-dir", root, "--weights", file)
    tool.refuses(*words, naming=["weights.pt"])
    for content in (b"", b"no weights", b"\x80\x04K\x01."):
        file.write_bytes(content)
        tool.refuses(*words, naming=["weights.pt"])
    torch.save({"state_dict": {"some.other.network": torch.ones(3)}}, file)
    tool.refuses(*words, naming=["weights.pt"])
    shutil.rmtree(root / "query")
    tool.refuses(*words, naming=["query"])
    tool.refuses(*words, "--out", "gone/figures.json", naming=["--out gone/figures.json"])
    tool.refuses("evaluate", "--data-dir", root, naming=["--study or --weights"])


def test_run_folders_and_configs(tool: CommandLine, make_market: Callable[..., Path]) -> None:
    root, config = make_market(), tool.folder / "config.yaml"
    config.write_text("depth: 18\npretrained: none\nspeed: 3\n")
    tool.refuses(
        "train", "--config", config, "--data-dir", root, "--out", "o", naming=["config.yaml", "speed"]
    )
    tool.refuses("train", "--config", "gone.yaml", "--data-dir", root, "--out", "o", naming=["gone.yaml"])
    tool.refuses(
        "paper", "--data-dir", root, "--out", "o", "--variant", "best", naming=["--variant", "best", "main"]
    )
    taken = tool.folder / "taken"
    taken.mkdir()
    (taken / "thesis.txt").touch()
    tool.refuses("paper", "--data-dir", root, "--out", taken, *SETS, naming=["taken"])


def test_sample_data_is_not_drawn_over_something(tool: CommandLine) -> None:
    (tool.folder / "there").mkdir()
    tool.refuses("data", "make", tool.folder / "there", naming=["there"])
    tool.refuses("data", "make", tool.folder / "new", "--identities", "1", naming=["identities", "1"])


def test_a_broken_data_set_is_described_with_exit_code_2(
    tool: CommandLine, make_market: Callable[..., Path]
) -> None:
    root = make_market()
    broken = min((root / "query").iterdir())
    broken.write_bytes(b"")
    assert tool("data", "check", root)[0] == 2
    tool.refuses("data", "check", tool.folder / "nowhere", naming=["nowhere"])


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["tune"], ["--data-dir", "run_study.py tune --help"]),
        (["fly"], ["fly", "run_study.py --help"]),
        (["status", "--study"], ["--study"]),
        (["status", "--study", "s", "--watch"], ["--watch", "terminal"]),
        (["tune", "--data-dir", "d", "--study", "s", "--trials", "some"], ["--trials", "integer"]),
        (["data", "check"], ["DIR", "run_study.py data check --help"]),
        (["evaluate", "--study", "s", "--size", "3"], ["--size"]),
    ],
)
def test_usage(tool: CommandLine, words: list[str], naming: list[str]) -> None:
    tool.refuses(*words, naming=naming)
