"""What Python lacks on macOS is not needed, by the types that it has there and where it is taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
import yaml
from checkout import ROOT
from random_study import make_study
from small_space import SMALL_RESNET

from sa_study.data.sample import make_sample_data

SETTINGS = {**SMALL_RESNET, "num_features": 8, "epochs": 1, "val_identities": 2}
LACKING = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support" / "macos"), "HIDE_PROC": "1"}


def python(*words: str, stderr: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=LACKING, stdout=subprocess.PIPE, stderr=stderr, text=True
    )


def test_functions_and_constants_exist_there(tmp_path: Path) -> None:
    """By mypy's knowledge of the standard library; the rest, which is not read for speed, is not judged."""
    words = ["--platform=darwin", "--config-file=", "--follow-imports=skip", "--ignore-missing-imports"]
    (tmp_path / "wrong.py").write_text("import os\nprint(os.sched_getaffinity(0))\n")
    words += ["--check-untyped-defs", f"--cache-dir={tmp_path / 'cache'}", "sa_study"]
    command = [sys.executable, "-m", "mypy", *words, str(tmp_path / "wrong.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (lacking,) = [line for line in done.stdout.splitlines() if "Module has no attribute" in line]
    assert "wrong.py" in lacking and "sched_getaffinity" in lacking


def test_something_is_taken_away() -> None:
    assert "AttributeError" in python("-c", "import os; os.sched_getaffinity(0)").stderr
    assert "FileNotFoundError" in python("-c", "open('/proc/self/status')").stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("macos")
    make_sample_data(root / "data", identities=6, images_per_camera=2)
    make_study(root / "study", 12)
    return root


COMMANDS = """
import json, sys
from sa_study.cli import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["run_study.py", *words]
    assert main() == 0, words
    assert not sys.stderr.tell(), words
"""
"""Runs commands one after the other: only the first pays for the imports."""


def test_commands_work(folder: Path, tmp_path: Path) -> None:
    """In the order of a user's; those that run Ray need a Ray for macOS."""
    data, weights = folder / "data", folder / "run" / "best.pt"
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    lines = (
        ("data", "check", data),
        ("train", "--data-dir", data, "--out", folder / "run", "--config", config),
        ("evaluate", "--weights", weights, "--data-dir", data, "--out", folder / "figures.json"),
        ("status", "--study", folder / "study"),
        ("report", "--study", folder / "study"),
    )
    words = json.dumps([[str(word) for word in line] for line in lines])
    with (tmp_path / "complaints").open("w") as complaints:
        done = python("-c", COMMANDS, words, stderr=complaints)
    assert done.returncode == 0, (tmp_path / "complaints").read_text()
