"""Trials' files in S3: a real server, a whole study whose driver is killed, and what can be wrong with S3."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest
import torch
import yaml
from checkout import ROOT
from moto.server import ThreadedMotoServer
from optuna.trial import FrozenTrial, TrialState
from study_processes import TINY, trials_of

from sa_study.data.sample import make_sample_data
from sa_study.metrics import names
from sa_study.study import storage
from sa_study.study.storage import Storage
from sa_study.training.checkpoint import FILE_NAME, load_checkpoint
from sa_study.utils.errors import ConfigError

SECRET = "a-secret-key-of-the-tests-alone"
EPOCHS = 4
SPACE = {
    "search": {"lr": {"type": "categorical", "choices": [0.01, 0.02]}},
    "fixed": {**TINY, "backbone_lr_factor": 0.1, "epochs": EPOCHS},
    "baseline": {"lr": 0.01},
    "sampler": "grid",
    "scheduler": {"name": "none"},
    "trials": 2,
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Query of URIs that lead to a server with one bucket, with credentials in the environment."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    credentials = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    query = f"endpoint_override={host}%3A{port}&scheme=http&region=us-east-1"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials.items():
            patch.setenv(name, value)
        bucket, name = pyarrow.fs.FileSystem.from_uri(f"s3://bucket?{query}&allow_bucket_creation=true")
        bucket.create_dir(name)
        yield query
    moto.stop()


def test_a_bucket_that_is_not_there_is_one_line(server: str) -> None:
    with pytest.raises(ConfigError, match=r"s3://nobucket/a.*cannot be written \(.*nobucket"):
        Storage(f"s3://nobucket/a?{server}").require_free()


def test_missing_credentials_are_one_line(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match=r"s3://bucket/b.*cannot be written \("):
        Storage(f"s3://bucket/b?{server}").require_free()


def test_a_server_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_TIMEOUT_SECONDS", 4.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        query = f"endpoint_override=127.0.0.1%3A{silent.getsockname()[1]}&scheme=http&region=us-east-1"
        with pytest.raises(ConfigError, match="gives no answer within 4 s"):
            Storage(f"s3://bucket/a?{query}").require_free()


def test_a_place_in_use_is_refused_and_pruned(server: str) -> None:
    place = Storage(f"s3://bucket/used?{server}")
    place.require_free()
    bucket, path = pyarrow.fs.FileSystem.from_uri(place.uri)
    kept, dropped = "session_1/trial_0000/checkpoint_000001", "session_1/trial_0000/checkpoint_000000"
    for name in (kept, dropped):
        with bucket.open_output_stream(f"{path}/{name}/{FILE_NAME}") as stream:
            stream.write(b"weights")
    with pytest.raises(ConfigError, match="is not empty"):
        place.require_free()
    assert place.prune({kept}) == 1
    files = bucket.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    assert [file.path for file in files if file.is_file] == [f"{path}/{kept}/{FILE_NAME}"]


def command(*words: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "run_study.py"), *map(str, words)]


def kill_after_epochs(driver: subprocess.Popen[str], study: Path, epochs: int) -> None:
    """Kills a driver and all of Ray as soon as the first trial has this many epochs."""
    deadline = time.monotonic() + 150
    while driver.poll() is None and time.monotonic() < deadline:
        if (study / "study.yaml").exists() and any(
            len(trial.intermediate_values) >= epochs for trial in trials_of(study)[:1]
        ):
            break
        time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGKILL)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == -signal.SIGKILL, output


def test_a_study_in_s3_goes_on_after_its_driver_was_killed(server: str, tmp_path: Path) -> None:
    sample, study, space = tmp_path / "sample", tmp_path / "study", tmp_path / "space.yaml"
    make_sample_data(sample, identities=12, images_per_camera=2)
    space.write_text(yaml.safe_dump(SPACE))
    place = f"s3://bucket/study?{server}"
    words = command("tune", "--data-dir", sample, "--study", study, "--space", space, "--storage-path", place)
    with subprocess.Popen(
        [*words, "--max-concurrent", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as driver:
        kill_after_epochs(driver, study, epochs=2)
    before = len(trials_of(study)[0].intermediate_values)
    assert 2 <= before < EPOCHS
    done = subprocess.run(command("resume", "--study", study), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    trials = trials_of(study)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert {len(trial.intermediate_values) for trial in trials} == {EPOCHS}
    assert first_epoch(place, "session_2/trial_0000") > 1, "it went on from its checkpoint in S3"
    assert_best_is_in_s3(place, study, max(trials, key=lambda trial: trial.value or 0))
    assert not (study / "trials").exists(), "nothing of the trials lies here"
    assert not any(SECRET in path.read_text(errors="replace") for path in study.rglob("*") if path.is_file())


def first_epoch(place: str, trial: str) -> int:
    bucket, path = pyarrow.fs.FileSystem.from_uri(place)
    with bucket.open_input_stream(f"{path}/{trial}/result.json") as stream:
        first: dict[str, Any] = json.loads(stream.read().splitlines()[0])
    return int(first[names.EPOCH])


def assert_best_is_in_s3(place: str, study: Path, winner: FrozenTrial) -> None:
    best = load_checkpoint(study / "best.pt")
    assert best.history[-1][names.MAP] == winner.value
    with Storage(place).checkpoint(winner.user_attrs["record"]["best_checkpoint"]).as_directory() as folder:
        there = load_checkpoint(Path(folder) / FILE_NAME)
    assert all(torch.equal(best.state_dict[name], there.state_dict[name]) for name in best.state_dict)
