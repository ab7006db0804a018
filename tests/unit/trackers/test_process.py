"""A tracker that is down, slow or refuses costs a study one notice, and its time limit at the end at most."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from checkout import SEARCH_PATH
from hostile import tree
from written_study import Trial, make_study

from sa_study.provenance import describe_run
from sa_study.trackers.mirror import mirror
from sa_study.trackers.process import tracking
from sa_study.utils.files import write_json


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(tmp_path_factory.mktemp("tracked") / "study", [Trial()])
    write_json(folder.provenance, {"data_fingerprint": "f" * 64, "launches": [describe_run()]})
    return folder.root


class Refusal(http.server.BaseHTTPRequestHandler):
    """Answers every request with an error of its own."""

    def answer(self) -> None:
        self.send_error(500, "out of order")

    do_GET = do_POST = answer

    def log_message(self, *words: object) -> None:
        """Prints nothing."""


@contextmanager
def refusing() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def absent() -> Iterator[int]:
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def silent() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(200)
        yield server


def at(server: socket.socket) -> str:
    return f"mlflow:http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(("server", "reason"), [(absent, "connection refused"), (refusing, "500")])
def test_a_failure_is_told_once(
    server: object, reason: str, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sa_study.trackers.mirror._RETRY_SECONDS", 0.05)
    before, said, ending = tree(study), list[str](), threading.Event()
    with server() as port:  # type: ignore[operator]
        threading.Timer(0.5, ending.set).start()  # time for several attempts
        assert not mirror(study, f"mlflow:http://127.0.0.1:{port}", ending, said.append)
    assert len(said) == 1 and reason in said[0]
    assert tree(study) == before


def test_a_server_that_never_answers_is_left_at_the_limit(study: Path) -> None:
    said: list[str] = []
    with silent() as server:
        address = at(server)
        with tracking(study, [address], said.append, limit=1.0):
            connection, _ = server.accept()
            assert len(mirrors(study)) == 1
        assert not mirrors(study)
        with closing(connection):
            assert connection.recv(4) == b"GET "
    assert said == [
        f"{address.replace(':', ' at ', 1)}: has not taken everything within 1 s; the study is whole without "
        f"it, and 'resume --study {study}' sends what is missing"
    ]


def mirrors(study: Path) -> list[str]:
    """The processes that show the study in a tracker."""
    command = f"sa_study.trackers.mirror\0{study}\0"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found += [path.parent.name] if command in path.read_text() else []
    return found


def test_a_tracker_that_this_machine_cannot_use_is_told(study: Path) -> None:
    said: list[str] = []
    with tracking(study, ["mlflow:sqlite:////gone/mlflow.db"], said.append):
        assert not mirrors(study)
    assert said == [
        "--track mlflow:sqlite:////gone/mlflow.db: /gone/mlflow.db: no file can be made there; this launch "
        f"goes without it, 'resume --study {study} --track none' all of them"
    ]


def test_a_process_that_cannot_begin_is_told(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(study / "no_python"))
    said: list[str] = []
    with tracking(study, ["wandb:people"], said.append):
        pass
    assert len(said) == 1 and said[0].startswith("wandb: no such file or directory; the study is whole")


DRIVER = """
import sys, time
from pathlib import Path
from sa_study.trackers.process import tracking

with tracking(Path(sys.argv[1]), [sys.argv[2]], print):
    print("runs", flush=True)
    time.sleep(600)
"""


def test_the_process_ends_with_a_driver_that_is_killed(study: Path) -> None:
    with silent() as server:
        command = [sys.executable, "-c", DRIVER, str(study), at(server)]
        environment = {**os.environ, "PYTHONPATH": SEARCH_PATH}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as driver:
            assert driver.stdout and driver.stdout.readline() == "runs\n" and mirrors(study)
            driver.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 60
        while mirrors(study) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not mirrors(study)
