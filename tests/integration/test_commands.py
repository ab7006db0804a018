"""The commands without a study, as a user types them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from study_processes import run, run_here

from sa_study.data.sample import make_sample_data
from sa_study.training.checkpoint import load_checkpoint

SMALL = {
    "depth": 18,
    "pretrained": "none",
    "height": 32,
    "width": 16,
    "parts": 2,
    "num_features": 8,
    "threads": 1,
}
SETS = [
    word
    for key, value in {**SMALL, "epochs": 2, "batch_size": 32}.items()
    for word in ("--set", f"{key}={value}")
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_data(tmp_path_factory.mktemp("data") / "sample", identities=12, images_per_camera=2)


def test_every_command_explains_itself() -> None:
    overview = run_here("--help")
    for command in (
        "demo",
        "tune",
        "resume",
        "status",
        "evaluate",
        "paper",
        "train",
        "export",
        "settings",
        "data",
    ):
        assert re.search(rf"\b{command}\b", overview)
        assert "--help" in run_here(command, "--help")


def test_settings_are_listed() -> None:
    text = run_here("settings")
    assert "backbone_lr_factor" in text and "random_erasing" in text


def test_data_is_drawn_and_checked(tmp_path: Path) -> None:
    run_here("data", "make", tmp_path / "drawn", "--identities", "6", "--seed", "3")
    output = run_here("data", "check", tmp_path / "drawn")
    assert "usable" in output and "junk" in output


def test_the_paper_run_trains_on_everyone_and_evaluates_each_seed(sample: Path, tmp_path: Path) -> None:
    output = run_here(
        "paper",
        "--data-dir",
        sample,
        "--out",
        tmp_path / "paper",
        "--seeds",
        "2",
        "--variant",
        "softmax",
        *SETS,
    )
    assert re.search(r"\d+ queries, \d+ gallery images", output) and "2 seeds" in output
    summary = json.loads((tmp_path / "paper" / "summary.json").read_text())
    runs = [
        json.loads((tmp_path / "paper" / f"seed_{seed}" / "evaluation.json").read_text()) for seed in (0, 1)
    ]
    assert summary["mAP"]["mean"] == pytest.approx((runs[0]["mAP"] + runs[1]["mAP"]) / 2)
    settings = runs[1]["settings"]
    assert settings["attention"] == "softmax" and settings["val_identities"] == 0 and settings["seed"] == 1
    assert load_checkpoint(tmp_path / "paper" / "seed_0" / "best.pt").num_classes == 12
    assert runs[0]["checkpoint_epoch"] == 2, "without validation the last epoch counts"


def test_train_then_evaluate_its_weights(sample: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**SMALL, "epochs": 2, "batch_size": 32}))
    output = run("train", "--config", config, "--data-dir", sample, "--out", tmp_path / "run")
    assert "epoch 2/2" in output and "evaluate --weights" in output
    run_here("train", "--config", config, "--data-dir", sample, "--out", tmp_path / "run", "--resume")
    weights = tmp_path / "run" / "best.pt"
    run_here("evaluate", "--weights", weights, "--data-dir", sample, "--out", tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text())
    assert 0 < found["mAP"] < 1 and found["checkpoint"] == str(weights)
