"""Going on with a study: what is refused, what is mended, and that the end is the same."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from study_processes import TINY, Launch, run, run_here, trials_of

from sa_study.cli import main
from sa_study.data.sample import make_sample_data
from sa_study.study.lock import driver_lock
from sa_study.training.checkpoint import load_checkpoint

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.05, "log": True}},
    "fixed": {**TINY, "epochs": 3},
    "baseline": {"lr": 0.01},
    "sampler": "random",
    "scheduler": {"name": "none"},
    "trials": 2,
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("data") / "sample", identities=10, images_per_camera=2)


@pytest.fixture(scope="module")
def words(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    space = tmp_path_factory.mktemp("space") / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    return ["tune", "--data-dir", sample, "--space", space, "--max-concurrent", "1"]


@pytest.fixture(scope="module")
def alone(words: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("alone") / "study"
    run(*words, "--study", study)
    return study


@pytest.fixture(scope="module")
def paused_once(words: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("paused") / "study"
    output = run(*words, "--study", study, "--epoch-budget", "5")
    assert "the budget of 5 epochs is spent; go on with" in " ".join(output.split())
    lines = output.splitlines()
    assert f"saved in {study}: 1 ended trial, trial 1 up to epoch 2 of 3" in lines
    assert any(line.endswith(f"run_study.py resume --study {study} --epoch-budget 10") for line in lines)
    told = [" ".join(line.split()) for line in lines]
    assert any(line.startswith("trial 1 started lr=") for line in told)
    assert any(line.startswith("trial 1 epoch 2/3 loss ") for line in told)
    return study


@pytest.fixture
def paused(paused_once: Path, tmp_path: Path) -> Path:
    """A study that a budget stopped after two epochs of trial 1; each test has a copy of its own."""
    return Path(shutil.copytree(paused_once, tmp_path / "study"))


def end(study: Path) -> list[Any]:
    trials = trials_of(study)
    return [(t.number, t.state, t.params, t.intermediate_values, t.value) for t in trials]


def refuses(study: Path, *more: str | Path) -> str:
    """The one line with which `resume` refuses, before Ray starts; the study is as it was."""
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    command = ["run_study.py", "resume", "--study", str(study), *map(str, more)]
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as error:
        patch.setattr(sys, "argv", command)
        assert main() == 2
    assert not ray.is_initialized()
    line = error.getvalue()
    assert line.startswith("error: ") and line.count("\n") == 1, line
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before
    return line


def edit(study: Path, old: str, new: str) -> None:
    text = (study / "study.yaml").read_text()
    assert old in text
    (study / "study.yaml").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("dropout: 0.5", "dropout: 0.4", ["space.fixed.dropout", "0.4", "0.5"]),
        ("high: 0.05", "high: 0.5", ["space.search.lr.high", "0.5", "0.05"]),
        ("\nseed: 0", "\nseed: 1", ["seed", "1", "0"]),
        ("\nmetric: mAP", "\nmetric: rank1", ["metric", "rank1", "mAP"]),
        ("format: 2", "format: 3", ["study.yaml", "3", "newer", "update"]),
        ("format: 2", "format: 1", ["study.yaml", "1"]),
    ],
)
def test_a_changed_description_is_refused(paused: Path, old: str, new: str, named: list[str]) -> None:
    edit(paused, old, new)
    line = refuses(paused)
    for word in named:
        assert word in line


def test_another_studys_trials_are_not_cleared_away(paused: Path, alone: Path) -> None:
    others = {path: path.read_bytes() for path in (alone / "trials").rglob("*") if path.is_file()}
    edit(paused, "storage_path: null", f"storage_path: {alone / 'trials'}")
    line = refuses(paused, "--epoch-budget", "100")
    assert str(alone / "trials") in line and "does not hold this study's trials" in line
    assert {path: path.read_bytes() for path in (alone / "trials").rglob("*") if path.is_file()} == others


def test_other_images_are_refused(paused: Path, tmp_path: Path) -> None:
    other = make_sample_data(tmp_path / "other", identities=10, seed=1)
    assert "are not those" in refuses(paused, "--data-dir", other)


def test_a_second_driver_is_refused(paused: Path) -> None:
    with driver_lock(paused / "driver.lock"):
        assert re.search(
            rf"is being run by process {os.getpid()} on .*, begun 0 min \d+ s ago", refuses(paused)
        )


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--trials", "1"], ["--trials", "1", "2 trials have begun"]),
        (["--epoch-budget", "0"], ["--epoch-budget", "0"]),
        (["--gpu-hours", "3"], ["--gpu-hours", "no GPU"]),
        (["--time-budget", "0s"], ["--time-budget"]),
    ],
)
def test_budgets_and_trials_out_of_range_are_refused(paused: Path, more: list[str], named: list[str]) -> None:
    line = refuses(paused, *more)
    for word in named:
        assert word in line


def test_a_paused_study_is_told_apart_from_a_running_one(paused: Path) -> None:
    assert "go on with" in run_here("status", "--study", paused)
    with driver_lock(paused / "driver.lock"):
        assert f"process {os.getpid()}" in run_here("status", "--study", paused)


def test_a_damaged_database_and_checkpoint_are_named_and_made_up_for(paused: Path, alone: Path) -> None:
    record = trials_of(paused)[1].user_attrs["record"]
    assert record["last"]["epoch"] == 2
    checkpoint = paused / "trials" / record["last_checkpoint"] / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    content = bytearray((paused / "optuna.db").read_bytes())
    content[4096:12288] = bytes(8192)
    (paused / "optuna.db").write_bytes(content)
    output = run("resume", "--study", paused, "--epoch-budget", "100")
    assert re.search(r"optuna\.db is damaged .* its copy of .* is used", output)
    assert record["last_checkpoint"] in output and "cannot be used" in output
    again = record["best_checkpoint"] == record["last_checkpoint"]
    assert ("trial 1: began again" if again else "trial 1: went on from epoch 1") in output
    assert end(paused) == end(alone)
    assert trials_of(paused)[1].user_attrs["record"]["notes"]
    assert (paused / "optuna.damaged").exists()


def test_more_trials_extend_a_study(alone: Path, tmp_path: Path) -> None:
    study = Path(shutil.copytree(alone, tmp_path / "study"))
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    best, remains = study / "best.pt", study / ".best.pt.7.tmp"
    best.write_bytes(b"half a file")
    remains.write_bytes(b"half a file")
    assert "2 COMPLETE of 2 trials" in run("resume", "--study", study)
    changed = {path for path in before if path.read_bytes() != before[path]}
    assert {path.name for path in changed} <= {"best.yaml"}, "nothing was left to do"
    assert best.read_bytes() == before[best] and not remains.exists()
    run("resume", "--study", study, "--trials", "3")
    assert end(study)[:2] == end(alone) and len(end(study)) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Takes all free space but `leave` bytes, at once: trials go on meanwhile."""
    size, end = shutil.disk_usage(path.parent).free - leave, 0
    with path.open("wb") as file:
        while size >= 4096 and shutil.disk_usage(path.parent).free > leave:
            try:
                os.posix_fallocate(file.fileno(), end, size)
                end += size
            except OSError as error:
                assert error.errno == errno.ENOSPC
                size //= 2


def test_a_full_disk_in_the_middle_of_a_checkpoint(
    words: list[str | Path], alone: Path, small_disk: Path, tmp_path: Path
) -> None:
    study, trials = tmp_path / "study", small_disk / "trials"
    checkpoint = max(path.stat().st_size for path in alone.glob("trials/*/*/*/checkpoint.pt"))
    with Launch(*words, "--study", study, "--storage-path", trials) as launch:
        while not list(trials.glob("session_1/trial_0000*")):  # seconds before its first checkpoint
            assert launch.process.poll() is None
            time.sleep(0.05)
        fill(small_disk / "filler", leave=checkpoint * 3 // 2)
        code, line = launch.wait()
    assert code == 1
    assert "trial 0: no room for the checkpoint of epoch 2" in line, line[-1500:]
    assert "resume --study" in line
    record = trials_of(study)[0].user_attrs["record"]
    assert record["last"]["epoch"] == 1
    last = load_checkpoint(trials / record["last_checkpoint"] / "checkpoint.pt")
    assert last.epoch == 1, "the last whole one is kept"
    refused = run("resume", "--study", study, code=2, error=True)
    assert "a checkpoint), but" in refused and "are free" in refused
    (small_disk / "filler").unlink()
    run("resume", "--study", study)
    assert end(study) == end(alone)
