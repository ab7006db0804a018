"""The command `plan`, and that it and `tune` read the same options alike."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from checkout import SEARCH_PATH

from sa_study.cli import main
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder

SMALL = [
    "depth=18",
    "pretrained=none",
    "height=32",
    "width=16",
    "parts=2",
    "batch_size=8",
    "val_identities=2",
]
SETS = [word for text in SMALL for word in ("--set", text)]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["run_study.py", *map(str, words)])
        return main()

    return call


def test_plan_tells_what_a_study_takes_and_writes_nothing(
    tool: Callable[..., int],
    make_market: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_market()
    before = sorted(tmp_path.rglob("*"))
    words = ("--study", "s", "--max-concurrent", "1", "--epoch-budget", "500", "--set", "height=48")
    assert tool("plan", "--data-dir", data, *SETS, *words) == 0
    output = capsys.readouterr().out
    for name in ("with asha", "no early stopping", "trials", "epochs", "time", "disk", "memory", "one epoch"):
        assert name in output
    assert "1 trial at a time" in output and "the budget of 500 epochs" in output
    assert "GPU-hours" not in output, "there is none"
    assert max(map(len, output.splitlines())) <= 80
    assert sorted(tmp_path.rglob("*")) == before


def test_a_grid_without_stopping_is_exact_and_cpus_are_chosen_by_a_measurement(
    tool: Callable[..., int],
    make_market: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", SEARCH_PATH)  # of Ray's workers
    words = ("--space", "ablation", "--trials", "50", "--storage-path", "s3://bucket/study")
    auto = ("--cpus-per-trial", "auto")
    assert tool("plan", "--data-dir", make_market(), *SETS, *words, *auto) == 0
    output = capsys.readouterr().out
    choice = re.search(
        r"--cpus-per-trial auto: (\d+) \(\d+ trials? of 1 core: \S+ images/s", " ".join(output.split())
    )
    assert choice and re.search(
        rf"slots +\d+ trials? at a time on this machine, {choice[1]} CPU each", output
    )
    rows = [line.split() for line in output.splitlines()]
    assert ["trials", "12"] in rows and ["epochs", "720"] in rows
    assert any(row[-2:] == ["not", "known"] for row in rows)


class Asked(Exception):
    """Ends a command where its work would begin."""

    def __init__(self, config: StudyConfig):
        self.config = config


OPTIONS: tuple[object, ...] = (
    *("--space", "wide", "--trials", 7, "--time-budget", "2h", "--epoch-budget", 90, "--gpu-hours", 1.5),
    *("--metric", "rank1", "--sampler", "random", "--scheduler", "none", "--minimize", "cost", "--seed", 3),
    *("--gpus-per-trial", 0.5, "--cpus-per-trial", 2, "--max-concurrent", 3, "--address", "auto"),
    *("--storage-path", "shared", "--set", "depth=18", "--set", "lr=0.2"),
)


def test_plan_and_tune_read_options_alike(
    tool: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> NoReturn:
        raise Asked(next(argument for argument in arguments if isinstance(argument, StudyConfig)))

    monkeypatch.setattr("sa_study.tuning.plan.plan.make_plan", stop)
    monkeypatch.setattr("sa_study.report.terminal.launch.launch", stop)
    found = []
    for command in ("plan", "tune"):
        with pytest.raises(Asked) as asked:
            tool(command, "--data-dir", "market", "--study", "s", *OPTIONS)
        found.append(asked.value.config)
    assert found[0] == found[1]
    config, space = found[0], found[0].space
    assert (config.data_dir, config.storage_path) == (tmp_path / "market", str(tmp_path / "shared"))
    assert (config.trials, config.time_budget, config.epoch_budget, config.gpu_hours) == (7, 7200, 90, 1.5)
    assert (config.metric, config.minimize, config.seed, config.address) == ("rank1", "cost", 3, "auto")
    assert (config.gpus_per_trial, config.cpus_per_trial, config.max_concurrent) == (0.5, 2, 3)
    assert (space.sampler, space.scheduler.name, space.fixed) == ("random", "none", {"depth": 18, "lr": 0.2})


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["--scheduler", "quick"], ["--scheduler quick", "asha", "none"]),
        (["--sampler", "guess"], ["--sampler guess", "tpe", "random"]),
        (["--sampler", "grid"], ["--sampler grid", "search.lr"]),
        (["--trials", "0"], ["--trials", "0"]),
        (["--set", "batch_size=500"], ["batch_size", "500"]),
    ],
)
def test_plan_refuses_what_tune_refuses(
    tool: Callable[..., int],
    make_market: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    naming: list[str],
) -> None:
    data = make_market()
    for command in ("plan", "tune"):
        assert tool(command, "--data-dir", data, "--study", "s", *SETS, *words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and all(word in error for word in naming), error


def test_a_taken_folder_is_refused(
    tool: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.root.mkdir()
    folder.config.write_text("format: 1\n")
    assert tool("plan", "--data-dir", tmp_path, "--study", "s") == 2
    assert "resume" in capsys.readouterr().err
