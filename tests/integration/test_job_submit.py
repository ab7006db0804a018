"""The README's line for `ray job submit`, to a head that wants a token and has Ray's dashboard."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from checkout import ROOT, SUPPORT
from optuna.trial import TrialState
from ray_nodes import TOKEN
from study_processes import TINY, trials_of

from sa_study.data.sample import make_sample_data

DASHBOARD = Path(sys.prefix) / "ray_dashboard"
"""What `ray[default]` adds, apart from the packages that all tests see; `make test` installs it."""

pytestmark = pytest.mark.skipif(
    not DASHBOARD.is_dir(),
    reason=f"pip install --no-deps --target {DASHBOARD} -r tests/requirements-dashboard.txt",
)

PATIENCE = 300.0
"""Seconds in which a dashboard comes up on any machine."""

SPACE = {
    "search": {"lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
    "fixed": {**TINY, "epochs": 1},
    "baseline": {"lr": 0.01},
    "scheduler": {"name": "none"},
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the README's shell has: the token in the home folder, and Python's and Ray's programs."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(TOKEN)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quick = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    packages = {"PYTHONPATH": os.pathsep.join([str(DASHBOARD), str(SUPPORT)])}
    return {"HOME": str(home), "PATH": path, "RAY_AUTH_MODE": "token", **quick, **packages}


@pytest.fixture
def dashboard(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address of the dashboard of a head of one core."""
    ports = free_ports(6)
    options = ["dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"]
    options += ["metrics-export-port", "runtime-env-agent-port", "ray-client-server-port"]
    words = [f"--{option}={port}" for option, port in zip(options, ports, strict=True)]
    words += ["--port=0", "--min-worker-port=0", "--max-worker-port=0", "--num-cpus=1"]
    address = f"127.0.0.1:{ports[0]}"
    log = tmp_path / "head.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            ["ray", "start", "--head", "--block", *words], env=environment, stdout=out, stderr=out
        ) as ray,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers(f"http://{address}"):
                assert ray.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield address
        finally:
            ray.terminate()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def test_the_documented_line_runs_a_study(
    tmp_path: Path, environment: dict[str, str], dashboard: str
) -> None:
    data = make_sample_data(tmp_path / "data", identities=8, images_per_camera=2)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    text = (ROOT / "deploy" / "README.md").read_text()
    [line] = re.findall(r"^RAY_AUTH_MODE=token ray job submit (?:.*\\\n)*.*$", text, re.M)
    for name, value in (
        ("127.0.0.1:8265", dashboard),
        (" DIR ", f" {data} "),
        ("/shared/study", f"{tmp_path}/study"),
    ):
        assert name in line
        line = line.replace(name, value)
    command = f"{line} --space {tmp_path}/space.yaml --trials 1"
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [trial.state for trial in trials_of(tmp_path / "study")] == [TrialState.COMPLETE]
