"""What `--track` may say, and what it stands for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from refusals import refusal

from sa_study.trackers.table import resolve_trackers
from sa_study.utils.errors import ConfigError


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("mlflow", "mlflow:sqlite:///{here}/mlflow.db"),
        ("mlflow:", "mlflow:sqlite:///{here}/mlflow.db"),
        ("mlflow:sqlite:///other.db", "mlflow:sqlite:///{here}/other.db"),
        ("mlflow:sqlite:////{here}/other.db", "mlflow:sqlite:///{here}/other.db"),
        ("mlflow:http://127.0.0.1:5000", "mlflow:http://127.0.0.1:5000"),
        ("mlflow:https://[::1]:5000/base", "mlflow:https://[::1]:5000/base"),
        ("mlflow:postgresql+psycopg2://me@host/db", "mlflow:postgresql+psycopg2://me@host/db"),
        ("mlflow:databricks", "mlflow:databricks"),
        ("mlflow:databricks://profile", "mlflow:databricks://profile"),
        ("wandb", "wandb:sa-study"),
        ("wandb:team/re-id_1.0", "wandb:team/re-id_1.0"),
    ],
)
def test_a_target_in_full(asked: str, found: str, tmp_path: Path) -> None:
    here = str(tmp_path)
    expected = found.format(here=here)
    assert resolve_trackers([asked.format(here=here.lstrip("/"))]) == (expected,)
    assert resolve_trackers([expected]) == (expected,), "which means the same"


def test_several_each_once_or_none() -> None:
    assert resolve_trackers(["wandb", "mlflow:http://a", "wandb:sa-study"]) == (
        "wandb:sa-study",
        "mlflow:http://a",
    )
    assert resolve_trackers([]) == resolve_trackers(["none"]) == ()


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("WANDB_PROJECT", "people")
    assert resolve_trackers(["mlflow", "wandb"]) == ("mlflow:http://tracking:5000", "wandb:people")
    assert resolve_trackers(["mlflow:http://other", "wandb:mine"]) == ("mlflow:http://other", "wandb:mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cretpw@tracking:5000")
    with pytest.raises(ConfigError, match=r"MLFLOW_TRACKING_URI: holds credentials.*MLFLOW_TRACKING_PASS"):
        resolve_trackers(["mlflow"])
    monkeypatch.setenv("WANDB_PROJECT", "two words")
    with pytest.raises(ConfigError, match=r"WANDB_PROJECT=two words: expected PROJECT"):
        resolve_trackers(["wandb"])


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of that name, as W&B leaves one, is no package."""
    for name in ("mlflow", "wandb"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("mlflow", "wandb"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        message = f"--track {name} needs the package {name}: pip install 'sa-study[{name}]'"
        assert refusal(ConfigError, resolve_trackers, [name]) == message
