"""A study on GPUs that only Ray knows of: trials share them, their hours count, and memory runs out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from narrow_backbone import DEVICES_FOLDER, MOST_IMAGES, TRIALS_TOGETHER
from optuna.trial import TrialState
from study_processes import TINY, run, trials_of

from sa_study.data.sample import make_sample_data

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.05, "log": True}},
    "fixed": {**TINY, "val_identities": 2, "batch_size": 16},
    "baseline": {"lr": 0.01},
    "scheduler": {"name": "none"},
    "trials": 3,
}

WITH_TWO_GPUS = """
import sys
import torch
torch.cuda.device_count = lambda: 2  # in the driver, which has workers start with Ray
torch.cuda.get_device_name = lambda index: "logical"
from sa_study.cli import main
sys.exit(main())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Three CPU cores and two GPUs, each of which bears half a batch."""
    (tmp_path / "devices").mkdir()
    return {
        **os.environ,
        "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 3, "GPU": 2}),
        DEVICES_FOLDER: str(tmp_path / "devices"),
        TRIALS_TOGETHER: "4",  # the driver builds a network, too
        MOST_IMAGES: "8",
    }


def test_trials_share_gpus_within_their_hours_and_memory(tmp_path: Path, environment: dict[str, str]) -> None:
    data, study = make_sample_data(tmp_path / "data", identities=8, images_per_camera=2), tmp_path / "study"
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    words = ["tune", "--data-dir", data, "--study", study, "--space", tmp_path / "space.yaml"]
    words += ["--gpus-per-trial", "0.5", "--gpu-hours", "1e-9"]
    begun = subprocess.run(
        [sys.executable, "-c", WITH_TWO_GPUS, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "the budget of 1e-09 GPU-hours is spent" in begun.stdout
    assert json.loads((study / "provenance.json").read_text())["launches"][0]["slots"]["concurrent"] == 3
    seen = Counter(file.read_text() for file in (tmp_path / "devices").iterdir())
    assert seen.pop("all") == 1, "the driver has all of them"
    assert set(seen) == {"0", "1"} and sorted(seen.values()) == [1, 2], "two trials share a GPU"
    stopped = trials_of(study)
    assert TrialState.RUNNING in {trial.state for trial in stopped}

    output = run("resume", "--study", study, "--gpu-hours", "1", env=environment)
    ended = trials_of(study)
    assert {trial.state for trial in ended} == {TrialState.COMPLETE} and len(ended) == 3, output
    for trial in ended:
        record = trial.user_attrs["record"]
        assert record["gpu_seconds"] == pytest.approx(0.5 * record["seconds"]) and record["seconds"] > 0
        assert record["accumulate"] == 2
        notes = " ".join(record["notes"])
        assert "out of GPU memory in epoch 1; from there on gradients of 8 images" in notes
