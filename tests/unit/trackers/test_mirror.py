"""What trackers are told of a study, and that an attempt which failed does no harm to the next."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import optuna
import pytest
import wandb
from wandb_files import read_records
from written_study import Trial, make_study

from sa_study.provenance import describe_run
from sa_study.study.database import open_storage
from sa_study.study.folder import StudyFolder
from sa_study.study.records import STUDY_NAME
from sa_study.trackers.mirror import Mirror, mirror
from sa_study.trackers.mlflow_tracker import MlflowTracker
from sa_study.trackers.tracker import LoggedEpoch, RunDescription
from sa_study.utils.files import write_json


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = make_study(tmp_path / "study", [Trial(), Trial("RUNNING", curve=(0.1, 0.2))], seed=7)
    write_json(folder.provenance, {"data_fingerprint": "f" * 64, "launches": [describe_run()]})
    return folder


class Notebook:
    """A `Tracker` that keeps what it is told."""

    PACKAGE: ClassVar[str] = "none"

    def __init__(self, target: str, folder: str):
        self.runs: list[RunDescription] = []
        self.epoch = 0

    @staticmethod
    def resolve(target: str) -> str:
        return target

    def open(self, run: RunDescription) -> Notebook:
        self.runs.append(run)
        return self

    def ended(self, study: str) -> set[str]:
        return set()

    def log(self, epochs: Sequence[LoggedEpoch]) -> None: ...

    def close(self, state: str, best: Mapping[str, float], links: Mapping[str, str]) -> None: ...


def shown(study: StudyFolder) -> RunDescription:
    tracker = Notebook("", "")
    Mirror(study.root, tracker)
    return tracker.runs[0]


def test_the_seed_of_the_search_is_not_that_of_training(study: StudyFolder) -> None:
    assert shown(study).params["search_seed"] == 7
    assert shown(study).params.get("seed") in (None, 0)


def test_only_an_id_is_taken_for_one(study: StudyFolder) -> None:
    before = shown(study).key
    stored = optuna.load_study(study_name=STUDY_NAME, storage=open_storage(study))
    for odd in ("x/../../../victim", "*", "", 5, None, "0" * 31, "0" * 32 + "\n"):
        stored.set_user_attr("id", odd)
        assert shown(study).key == before
    stored.set_user_attr("id", "0a" * 16)
    assert shown(study).key == "0a" * 16


def test_wandb_goes_on_after_a_failure(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B knows the run of an attempt that failed, and two projects have files of their own."""
    monkeypatch.setattr("sa_study.trackers.mirror._RETRY_SECONDS", 0.05)
    monkeypatch.setattr("sa_study.trackers.wandb_tracker.REQUEST_SECONDS", 1.0)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(study.wandb / "cache"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    said, ending = list[str](), threading.Event()

    def mend(reason: str) -> None:
        said.append(reason)
        monkeypatch.setenv("WANDB_MODE", "offline")
        ending.set()

    with closing(socket.socket()) as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert mirror(study.root, "wandb:one", ending, mend)
        assert mirror(study.root, "wandb:team/two", ending, mend)
    wandb.teardown()
    assert len(said) == 1
    for project in ("one", "team/two"):
        for number, epochs in ((0, 4), (1, 2)):
            (file,) = study.wandb.glob(f"{project}/wandb/offline-run-*-{number:04d}/*.wandb")
            steps = [record.history.step.num for record in read_records(file) if record.HasField("history")]
            assert steps == list(range(1, epochs + 1))


def test_mlflows_variables_hold_where_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with closing(socket.socket()) as taken, pytest.raises(Exception, match="Max retries"):
        taken.bind(("127.0.0.1", 0))
        MlflowTracker(f"http://127.0.0.1:{taken.getsockname()[1]}", "")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
