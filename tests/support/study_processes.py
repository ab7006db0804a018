"""Runs commands as a user would, most of them in processes of their own, and reads what they leave behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import optuna
import pytest
from checkout import ROOT
from optuna.trial import FrozenTrial

from sa_study.cli import main
from sa_study.metrics import names

METRIC = "mAP"

TINY = {
    "backbone": "narrow",
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "num_features": 16,
    "batch_size": 32,
    "epochs": 4,
    "backbone_lr_factor": 1.0,
}
"""Settings under which an epoch of the sample data takes a fraction of a second, on a slow core too."""


def run(*words: str | Path, code: int = 0, error: bool = False, **options: Any) -> str:
    """Runs a command to its end; returns its standard output, or with `error` its standard error."""
    command = [sys.executable, str(ROOT / "run_study.py"), *map(str, words)]
    # The limit ends a hang; a slow and busy machine takes minutes.
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, **options)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return str(done.stderr if error else done.stdout)


def run_here(*words: str | Path, code: int = 0, error: bool = False) -> str:
    """Like `run`, in this process: for commands that need no Ray, without the seconds that imports take."""
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as output,
        redirect_stderr(io.StringIO()) as complaint,
    ):
        patch.setattr(sys, "argv", [str(ROOT / "run_study.py"), *map(str, words)])
        assert main() == code, f"{output.getvalue()}\n{complaint.getvalue()}"
    return (complaint if error else output).getvalue()


def trials_of(study: Path) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{study / 'optuna.db'}")
    return optuna.load_study(study_name=None, storage=storage).get_trials()


def reported(study: Path, number: int, trials: Path | None = None) -> list[dict[str, Any]]:
    """Returns every result that Ray recorded for a trial, over all launches."""
    files = sorted((trials or study / "trials").glob(f"session_*/trial_{number:04d}/result.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def deterministic(figures: dict[str, Any]) -> dict[str, Any]:
    repeatable = {names.EPOCH, names.PROGRESS, names.LOSS, names.TRAIN_ACCURACY, names.LR, *names.RANKING}
    return {name: value for name, value in figures.items() if name in repeatable}


class Launch:
    """A command in a process group of its own, as in a terminal."""

    def __init__(self, *words: str | Path, env: dict[str, str] | None = None):
        command = [sys.executable, str(ROOT / "run_study.py"), *map(str, words)]
        self.process = subprocess.Popen(
            command,
            env=env,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, how: signal.Signals) -> tuple[int, str]:
        os.killpg(self.process.pid, how)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Waits for the end; returns the exit code, and standard output followed by standard error."""
        output, complaint = self.process.communicate(timeout=600)
        return self.process.returncode, output + complaint


def wait_for_epoch(study: Path, number: int, trials: Path | None = None) -> int:
    """Waits until a trial has reported an epoch; returns the process that runs it."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if (study / "optuna.db").exists() and (results := reported(study, number, trials)):
            return int(results[-1]["pid"])
        time.sleep(0.05)
    raise AssertionError("the study did not get there in time")
