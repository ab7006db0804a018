"""A cluster of real Ray nodes on this machine: joining it, its size, its storage, and a node that dies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import CLUSTER_DRIVER, ROOT, SEARCH_PATH
from optuna.trial import FrozenTrial, TrialState
from ray.thirdparty_files import psutil
from ray_nodes import CODE, TOKEN, Cluster, Node
from study_processes import TINY, trials_of

from sa_study.data.sample import make_sample_data
from sa_study.metrics import names

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
    "fixed": {**TINY, "epochs": 24},
    "baseline": {"lr": 0.01},
    "sampler": "random",  # its suggestions do not depend on which trial ends first
    "scheduler": {"name": "none"},
    "trials": 3,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def environment(cluster: Cluster, **changes: str) -> dict[str, str]:
    return cluster.environment | {"PYTHONPATH": SEARCH_PATH} | changes


def drive(cluster: Cluster, *words: str | Path, within: str = "", **changes: str) -> str:
    """What a small driver prints; it says nothing on its standard error."""
    command = [*within.split(), sys.executable, str(CLUSTER_DRIVER), *map(str, words)]
    done = subprocess.run(
        command, env=environment(cluster, **changes), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RAY_AUTH_TOKEN": "wrong"}, "refuses the token of RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "wants a token and /nowhere holds none"),
        ({"RAY_AUTH_TOKEN_PATH": ""}, "wants a token and ~/.ray/auth_token holds none"),
    ],
    ids=["wrong token", "no such token file", "no token"],
)
def test_a_cluster_that_refuses_the_token_is_one_line(
    cluster: Cluster, changes: dict[str, str], words: str
) -> None:
    line = drive(cluster, cluster.address, **changes)
    assert line.startswith("refused: --address") and words in line and "\n" not in line
    assert TOKEN not in line


def test_a_machine_that_is_no_node_is_told_so(cluster: Cluster) -> None:
    elsewhere = "unshare --pid --fork --mount-proc"  # Ray finds its nodes among the processes
    assert "this machine is no node" in drive(cluster, cluster.address, within=elsewhere)


def test_no_cluster_at_all_is_told_so(cluster: Cluster) -> None:
    elsewhere = "unshare --pid --fork --mount-proc"
    assert "no Ray cluster runs on this machine" in drive(cluster, "auto", within=elsewhere)


def test_another_version_of_ray_is_named(cluster: Cluster) -> None:
    line = drive(cluster, cluster.address, "pretend", cluster.address, "2.9.9")
    assert "the cluster runs Ray 2.9.9" in line and line.startswith("refused:")


PROXIES = {
    name: "http://127.0.0.1:9"  # where nothing answers
    for kind in ("http", "https", "all", "grpc")
    for name in (f"{kind}_proxy", f"{kind}_proxy".upper())
}


@pytest.mark.parametrize("changes", [{}, {**PROXIES, "RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": ""}])
def test_a_token_is_enough_to_join(cluster: Cluster, changes: dict[str, str]) -> None:
    """Without RAY_AUTH_MODE=token in the driver's environment, Ray alone would be refused."""
    assert drive(cluster, cluster.address, "work", **changes) == "2"


def test_an_open_cluster_is_joined_without_a_token_and_not_mistaken_for_a_closed_one() -> None:
    with Cluster("disabled") as cluster:
        assert drive(cluster, cluster.address, "work") == "2"
        assert "is open to anyone" in drive(cluster, cluster.address, RAY_AUTH_MODE="token")


def test_a_local_run_is_alone_whatever_else_there_is(cluster: Cluster) -> None:
    """It minds no other cluster, listens on the loopback alone, and leaves no token in the home directory."""
    stale = cluster.folder / "tmp" / "ray"
    stale.mkdir(parents=True)
    (stale / "ray_current_cluster").write_text("127.0.0.1:1")
    assert drive(cluster, "none", "listen", RAY_TMPDIR=str(stale.parent)) == "127.0.0.1"
    assert not (cluster.folder / ".ray").exists()


def test_capacity_follows_nodes_that_come_and_go(cluster: Cluster) -> None:
    command = [sys.executable, str(CLUSTER_DRIVER), cluster.address, "watch"]
    with subprocess.Popen(
        command, env=environment(cluster), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as watcher:
        try:
            assert next_count(watcher) == 1
            node = cluster.add()
            assert next_count(watcher) == 2
            cluster.remove(node)
            assert next_count(watcher) == 1
        finally:
            watcher.kill()


def next_count(watcher: subprocess.Popen[str]) -> int:
    assert watcher.stdout is not None
    return next(int(line) for line in watcher.stdout if line.strip().isdigit())  # Ray mentions dead nodes


def test_storage_that_some_nodes_do_not_share_is_named(cluster: Cluster, tmp_path: Path) -> None:
    hidden, seen = tmp_path / "hidden", tmp_path / "seen"
    hidden.mkdir()
    node = cluster.add(hidden)
    try:
        wrong, right, unwritable = drive(
            cluster, cluster.address, "reach", hidden, seen / "study", "/proc/study"
        ).splitlines()
    finally:
        cluster.remove(node)
    assert "1 of 2 nodes cannot keep trials' files" in wrong and "does not see the driver's files" in wrong
    assert "a folder that all nodes share, or s3://" in wrong
    assert right == "reached"
    assert "/proc/study: cannot be written" in unwritable
    assert not list(hidden.iterdir()) and not seen.exists(), "the check leaves nothing behind"


def figures(trial: FrozenTrial) -> dict[str, Any]:
    """All that must not depend on where and when a trial ran."""
    best = trial.user_attrs["record"]["best"]
    return {
        "number": trial.number,
        "params": trial.params,
        "state": trial.state,
        "values": trial.intermediate_values,
        "best": {name: best[name] for name in (names.EPOCH, *names.RANKING)},
    }


HALF_A_GPU = ("--gpus-per-trial", "0.5", "--gpu-hours", "1")


def tune(cluster: Cluster, sample: Path, study: Path, *words: str) -> subprocess.Popen[str]:
    """Starts a study whose trials have half a GPU each; a local Ray has one that only it knows of."""
    space = study.with_suffix(".yaml")
    space.write_text(yaml.safe_dump(SPACE))
    command = [sys.executable, str(ROOT / "run_study.py"), "tune", "--data-dir", str(sample)]
    command += ["--study", str(study), "--space", str(space), *HALF_A_GPU, *words]
    return subprocess.Popen(
        command,
        env=cluster.environment | {"RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def last_result(file: Path) -> dict[str, Any]:
    """What a trial reported last; empty before its first epoch."""
    whole = [line for line in file.read_text().splitlines() if line.endswith("}")]
    return json.loads(whole[-1]) if whole else {}


@contextmanager
def held_trial(node: Node, study: Path, driver: subprocess.Popen[str]) -> Iterator[None]:
    """Waits until a node has a trial between its epochs, and suspends it; at the end the trial goes on.

    So the trial is in its middle for as long as a test wants, however fast the machine is.
    """
    process = None
    deadline = time.monotonic() + 240
    while process is None:
        assert time.monotonic() < deadline and driver.poll() is None, "no trial ran there in time"
        time.sleep(0.05)
        for file in study.glob("trials/session_1/trial_*/result.json"):
            result = last_result(file)
            if result and result[names.PROGRESS] < 80 and node.runs(result["pid"]):
                process = psutil.Process(result["pid"])
                process.suspend()
                if last_result(file) == result:
                    break
                process.resume()
                process = None
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def test_a_study_that_loses_a_node_ends_like_one_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Three nodes, of which two have no copy of the code nor of the data; the lost one came while it ran."""
    sample = make_sample_data(tmp_path / "sample", identities=10, images_per_camera=2)
    study = tmp_path / "broken"
    with tune(cluster, sample, tmp_path / "alone") as alone:
        output, _ = alone.communicate(timeout=400)
    assert alone.returncode == 0, output
    head, early = cluster.nodes[0], cluster.add(CODE, sample)
    with tune(cluster, sample, study, "--address", cluster.address) as broken:
        with held_trial(head, study, broken), held_trial(early, study, broken):
            late = cluster.add(CODE, sample)
            with held_trial(late, study, broken):
                cluster.remove(late)
        output, _ = broken.communicate(timeout=400)
    assert broken.returncode == 0, output
    ours, theirs = trials_of(study), trials_of(tmp_path / "alone")
    assert [figures(trial) for trial in ours] == [figures(trial) for trial in theirs]
    assert {trial.state for trial in ours} == {TrialState.COMPLETE} and len(ours) == SPACE["trials"]
    for found in (study, tmp_path / "alone"):
        require_half_a_gpu(cluster, found)
    assert not any(TOKEN in path.read_text(errors="replace") for path in files_of(study))


def require_half_a_gpu(cluster: Cluster, study: Path) -> None:
    """Each trial's process saw its machine's GPU, and half of its time there was counted."""
    for trial in trials_of(study):
        record = trial.user_attrs["record"]
        assert record["gpu_seconds"] == pytest.approx(0.5 * record["seconds"]) and record["seconds"] > 0
    last = [last_result(file) for file in study.glob("trials/session_1/trial_*/result.json")]
    seen = [(cluster.devices / str(result["pid"])).read_text() for result in last]
    assert set(seen) == {"0"} and len(seen) == SPACE["trials"]


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
