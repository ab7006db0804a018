"""optuna-dashboard and TensorBoard as child processes on this machine, until they are told to end."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console

from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.files import temporary_folder
from sa_study.utils.paths import PROJECT_ROOT

HOST = "127.0.0.1"
_PATIENCE = 90.0
_GRACE = 5.0
_TOLD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Told(BaseException):
    """A signal asked for the end; no `Exception`, so that nothing on the way swallows it."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@dataclass
class Server:
    """A child process that serves.

    Attributes:
        name: What it is.
        port: Where it listens.
        process: The process, the leader of its own group.
        said: What it wrote.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}/"

    def last_words(self) -> str:
        """The last line that it wrote."""
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        return "".join(c for c in words[-1] if c.isprintable())[:200] if words else "it said nothing"


def serve(root: Path, port: int | None, tensorboard_port: int | None, console: Console) -> int:
    """Starts both servers, prints their addresses once they answer, and waits for Ctrl-C.

    optuna-dashboard reads the study's own database, opened so that nothing can be written to it: it shows a
    running study as it goes, and cannot change one.

    Args:
        root: The study's folder.
        port: That of optuna-dashboard; None for its usual one, or a free one where that is taken.
        tensorboard_port: That of TensorBoard, likewise.
        console: Told the addresses.

    Returns:
        The exit code: 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        StudyFolderError: There is no study there, or it is damaged.
        ConfigError: A port that was asked for is taken, or optuna-dashboard is not installed.
        RunFailed: A server does not start, or ended by itself.
    """
    folder = StudyFolder.existing(root)
    StudySummary.read(folder.root)
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise ConfigError("dashboard: optuna-dashboard is not installed; pip install -r requirements.txt")
    first = choose_port("--port", port, 8080)
    second = choose_port("--tensorboard-port", tensorboard_port, 6006, avoid=first)
    commands = (
        ("optuna-dashboard", first, ["sa_study.report.dashboard_server", str(folder.root), str(first)]),
        (
            "TensorBoard",
            second,
            ["tensorboard.main", "--logdir", str(folder.tensorboard), "--host", HOST, "--port", str(second)],
        ),
    )
    servers: list[Server] = []
    with _signals():
        try:
            for name, at, words in commands:
                servers.append(_start(name, at, words))
            for server in servers:
                _wait_for(server)
                line = f"{server.name + ':':<18}{server.url}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            console.print("Ctrl-C ends both", highlight=False)
            _watch(servers)
        except _Told as told:
            return 128 + told.number
        finally:
            _end(servers)
    return 0


def choose_port(option: str, asked: int | None, usual: int, avoid: int | None = None) -> int:
    """The port that was asked for, else the usual one, else a free one.

    Raises:
        ConfigError: The one that was asked for is taken.
    """
    if asked is not None:
        if asked == avoid:
            raise ConfigError(f"{option}: {asked} is taken by the other server; give another, or none")
        if (reason := _refused(asked)) is not None:
            raise ConfigError(
                f"{option}: {asked} cannot be used ({reason}); give another, or none for a free one"
            )
        return asked
    if usual != avoid and _refused(usual) is None:
        return usual
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _refused(port: int) -> str | None:
    """Why nothing can listen at a port, or None."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
            tried.listen(1)
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def _start(name: str, port: int, words: Sequence[str]) -> Server:
    said = tempfile.TemporaryFile(dir=temporary_folder())  # noqa: SIM115
    paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        # TensorBoard asks a process of its own on this machine, which no proxy reaches.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "no_grpc_proxy": "localhost"},
        start_new_session=True,  # a terminal's Ctrl-C is for this process, which ends the group
        preexec_fn=_die_with_parent,
    )
    return Server(name, port, process, said)


def _die_with_parent() -> None:
    """Has Linux end this child when its parent dies, even by kill -9."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _wait_for(server: Server) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RunFailed(f"{server.name} did not start: {server.last_words()}")
        if _answers(server.port):
            return
        time.sleep(0.1)
    raise RunFailed(f"{server.name} does not answer at {server.url}: {server.last_words()}")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _watch(servers: Sequence[Server]) -> None:
    while True:
        for server in servers:
            if server.process.poll() is not None:
                raise RunFailed(f"{server.name} has ended by itself: {server.last_words()}")
        time.sleep(0.3)


def _end(servers: Sequence[Server]) -> None:
    """Ends every server and what it started; waits until all are gone."""
    for server in servers:
        _signal_group(server, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(max(deadline - time.monotonic(), 0.1))
        _signal_group(server, signal.SIGKILL)
        server.process.wait()
        server.said.close()


def _signal_group(server: Server, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.process.pid, number)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turns the first signal into an exception, and ignores further ones while the servers end."""

    def told(number: int, frame: FrameType | None) -> None:
        for each in _TOLD:
            signal.signal(each, signal.SIG_IGN)
        raise _Told(number)

    before = {number: signal.signal(number, told) for number in _TOLD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
