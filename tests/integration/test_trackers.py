"""A study in MLflow and W&B: across a kill of the driver, with every kind of trial, after the event."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from study_processes import TINY, Launch, reported, run, run_here, trials_of, wait_for_epoch
from wandb_files import read_records
from written_study import Trial, make_study

from sa_study.data.sample import make_sample_data
from sa_study.provenance import describe_run
from sa_study.study.config import StudyConfig
from sa_study.trackers.mirror import mirror
from sa_study.utils.files import write_json

EPOCHS = 4
SPACE = {
    "search": {"lr": {"type": "categorical", "choices": [0.01, 0.02]}},
    "fixed": {**TINY, "epochs": EPOCHS},
    "baseline": {"lr": 0.01},
    "sampler": "grid",
    "scheduler": {"name": "none"},
    "trials": 2,
}
DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    less = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **less}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(address), lambda: (folder / "log").read_text())
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/health"):
            return True
    except OSError:
        return False


def wait_until(true: Any, otherwise: Any = lambda: "") -> None:
    deadline = time.monotonic() + 200
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def runs_in(server: str, experiment: str = "sa-study") -> dict[str, Any]:
    """MLflow's runs by their names."""
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    assert len({run.info.run_name for run in runs}) == len(runs), "each once"
    return {str(run.info.run_name): run for run in runs}


def curve(server: str, run: Any, tag: str = "val/mAP") -> dict[int, float]:
    history = MlflowClient(server).get_metric_history(run.info.run_id, tag)
    steps = [point.step for point in history]
    assert len(steps) == len(set(steps)), "no epoch twice"
    return {point.step: point.value for point in history}


@pytest.fixture(scope="module")
def killed(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study whose driver was killed after an epoch that MLflow has, and resumed; what that printed."""
    folder = tmp_path_factory.mktemp("killed")
    sample, study, space = folder / "sample", folder / "study", folder / "space.yaml"
    make_sample_data(sample, identities=10, images_per_camera=2)
    space.write_text(yaml.safe_dump(SPACE))
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), DEAD)
    environment = {**os.environ, **proxies, "WANDB_MODE": "offline"}
    words = ("tune", "--data-dir", sample, "--study", study, "--space", space, "--max-concurrent", "1")
    with Launch(*words, "--track", f"mlflow:{server}", "--track", "wandb", env=environment) as launch:
        worker = wait_for_epoch(study, number=0)
        os.kill(worker, signal.SIGSTOP)  # no other epoch comes
        wait_until(lambda: (run := runs_in(server).get("trial 0 (baseline)")) and curve(server, run))
        launch.end(signal.SIGKILL)
    assert len(reported(study, 0)) < EPOCHS
    said = run("resume", "--study", study, env=environment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        document = json.loads(run_here("resume", "--study", study, "--json"))  # on a busy machine, the rest
    assert document["states"] == {"COMPLETE": 2}
    return study, said


def test_mlflow_shows_one_unbroken_run_a_trial(killed: tuple[Path, str], server: str) -> None:
    study, _ = killed
    runs = runs_in(server)
    parent = runs["study"]
    assert parent.data.params["backbone"] == "narrow" and parent.info.status == "FINISHED"
    assert parent.data.tags["sa_study.folder"] == str(study)
    for trial in trials_of(study):
        shown = runs["trial 0 (baseline)" if not trial.number else f"trial {trial.number}"]
        figures = {result["epoch"]: result for result in reported(study, trial.number)}
        for tag, name in (("val/mAP", "mAP"), ("train/loss", "loss"), ("epoch", "epoch")):
            expected = {epoch: figures[epoch][name] for epoch in range(1, EPOCHS + 1)}
            assert curve(server, shown, tag) == pytest.approx(expected)
        assert shown.data.params == {"lr": str(trial.params["lr"])}
        tags, record = shown.data.tags, trial.user_attrs["record"]
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert tags["sa_study.state"] == "COMPLETE" and shown.info.status == "FINISHED"
        assert tags["sa_study.checkpoint"] == f"{study}/trials/{record['best_checkpoint']}"
        assert Path(tags["sa_study.checkpoint"], "checkpoint.pt").is_file()
        assert tags["sa_study.page"] == str(study / "report.html")
        assert shown.data.metrics["best/mAP"] == pytest.approx(trial.value)
        assert shown.data.metrics["best/epoch"] == record["best"]["epoch"]


def test_wandbs_files_hold_each_epoch_once(killed: tuple[Path, str]) -> None:
    study, _ = killed
    for trial in trials_of(study):
        records = [
            record
            for file in sorted(
                (study / "wandb" / "sa-study" / "wandb").glob(f"offline-run-*-{trial.number:04d}/*.wandb")
            )
            for record in read_records(file)
        ]
        steps = [record.history.step.num for record in records if record.HasField("history")]
        assert steps == list(range(1, EPOCHS + 1))


def test_the_terminal_has_no_chatter(killed: tuple[Path, str]) -> None:
    study, said = killed
    chatter = [line for line in said.splitlines() if "mlflow" in line or "wandb" in line]
    assert all("has not taken everything within" in line for line in chatter), "but on a busy machine"
    assert StudyConfig.read(study / "study.yaml").track[1] == "wandb:sa-study"


def test_trackers_can_be_given_anew(
    killed: tuple[Path, str], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another place gets all of it; then there is none."""
    study, _ = killed
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "anew")
    run_here("resume", "--study", study, "--track", f"mlflow:{server}")
    runs = runs_in(server, "anew")
    assert {name: len(curve(server, run)) for name, run in runs.items()} == {
        "study": 0,
        "trial 0 (baseline)": EPOCHS,
        "trial 1": EPOCHS,
    }
    assert StudyConfig.read(study / "study.yaml").track == (f"mlflow:{server}",)
    run_here("resume", "--study", study, "--track", "none")
    assert StudyConfig.read(study / "study.yaml").track == ()


ENDS = [
    Trial(),
    Trial("PRUNED", curve=(0.1, 0.2), lr=0.3),
    Trial("FAIL", curve=(), lr=0.2, failure="loss is nan"),
    Trial("RUNNING", curve=(0.3, 0.2), lr=0.05),
]


def test_a_study_is_shown_after_the_event(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of end; what MLflow has already is not sent again."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    folder = make_study(tmp_path / "written", ENDS)
    write_json(folder.provenance, {"data_fingerprint": "f" * 64, "launches": [describe_run()]})
    (folder.trials / "session_1" / "trial_0001" / "result.json").unlink()  # then the database has the score
    ending, said = threading.Event(), list[str]()
    ending.set()
    for _ in range(2):
        assert mirror(folder.root, f"mlflow:{server}", ending, said.append), said
        runs = runs_in(server, "another")
        shown = {
            name: (run.data.tags["sa_study.state"], run.info.status, len(curve(server, run)))
            for name, run in runs.items()
        }
        assert shown == {
            "written": ("PAUSED", "SCHEDULED", 0),
            "trial 0 (baseline)": ("COMPLETE", "FINISHED", 4),
            "trial 1": ("PRUNED", "FINISHED", 2),
            "trial 2": ("FAIL", "FAILED", 0),
            "trial 3": ("PAUSED", "SCHEDULED", 2),
        }
    assert runs["written"].data.tags["sa_study.winner"] == "trial 0"
