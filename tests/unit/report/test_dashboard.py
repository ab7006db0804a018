"""`dashboard`: two servers with one command, and none left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from command_line import CommandLine
from random_study import make_study

from sa_study.report.dashboard import choose_port
from sa_study.utils.errors import ConfigError


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("dashboard") / "a study?", 5)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


class Dashboard:
    """The command in a process of its own."""

    def __init__(self, *words: object):
        command = [sys.executable, str(ROOT / "run_study.py"), "dashboard", *map(str, words)]
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:9")  # dead
        self.process = subprocess.Popen(
            command,
            env=os.environ | proxies,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def urls(self) -> list[str]:
        assert self.process.stdout is not None
        found: list[str] = []
        for line in self.process.stdout:
            found += re.findall(r"http://127\.0\.0\.1:\d+/", line)
            if "Ctrl-C" in line:
                break
        return found

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "gone"

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if all(state(pid) in ("gone", "Z", "X") for pid in pids):
            return True
        time.sleep(0.1)
    return False


def read(url: str, method: str = "GET") -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=20) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_both_answer_and_both_end(study: Path, taken: int, how: signal.Signals, code: int) -> None:
    before = (study / "optuna.db").read_bytes()
    dashboard = Dashboard("--study", study)
    try:
        first, second = dashboard.urls()
        own = children(dashboard.process.pid)
        for url in (first, second):
            assert read(url)
        if how == signal.SIGINT:
            summary = json.loads(read(f"{first}api/studies"))["study_summaries"]
            assert summary[0]["study_name"] == "sa_study"
            assert b"TensorBoard" in read(second)
            assert b"GrpcDataProvider" in read(f"{second}data/environment"), (
                "its own process goes past proxies"
            )
            with pytest.raises(OSError, match="500"):
                read(f"{first}api/studies/1", "DELETE")
            assert (study / "optuna.db").read_bytes() == before, "what looks on cannot write"
    finally:
        assert dashboard.end(how) == code
    assert gone(own)
    for url in (first, second):
        with pytest.raises(OSError, match="refused"):
            read(url)


def test_a_port_that_is_taken(study: Path, taken: int, tool: CommandLine) -> None:
    for option in ("--port", "--tensorboard-port"):
        naming = [f"{option}: {taken} cannot be used"]
        tool.refuses("dashboard", "--study", study, option, taken, naming=naming)


def test_no_study(tmp_path: Path, tool: CommandLine) -> None:
    tool.refuses("dashboard", "--study", tmp_path, naming=["is not a study folder"])


def test_choosing_ports(taken: int) -> None:
    assert choose_port("--port", None, taken) not in (taken, 0)
    with pytest.raises(ConfigError, match=f"--port: {taken} cannot be used"):
        choose_port("--port", taken, 8080)
    free = choose_port("--port", None, taken)
    assert choose_port("--port", free, 8080) == free
    assert choose_port("--tensorboard-port", None, free, avoid=free) != free
    with pytest.raises(ConfigError, match="taken by the other server"):
        choose_port("--tensorboard-port", free, 6006, avoid=free)
