"""optuna-dashboard and TensorBoard as child processes on this machine, until Ctrl-C or a signal.

`python -m sa_study.report.dashboard DIR PORT` is the child that serves optuna-dashboard.
"""

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

from sa_study.study.database import open_readonly
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.files import PROJECT_ROOT, temporary_folder
from sa_study.utils.text import visible

HOST = "127.0.0.1"
_MAX_START_SECONDS = 90.0
_MAX_STOP_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Signalled(BaseException):
    """A signal asked for the end; no `Exception`, so that nothing on the way catches it."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@dataclass
class Server:
    """A child process that serves HTTP.

    Attributes:
        name: What it serves.
        port: Port on this machine.
        process: The process, the leader of its own group.
        output: What it has printed.
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}/"

    def last_line(self) -> str:
        """The last line that it printed."""
        self.output.seek(0)
        lines = self.output.read().decode(errors="replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return visible(printed[-1], 200) if printed else "it printed nothing"

    def answers(self) -> bool:
        """Whether it answers a request."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait(self) -> None:
        """Waits until it answers.

        Raises:
            RunFailed: It has ended, or does not answer in time.
        """
        deadline = time.monotonic() + _MAX_START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RunFailed(f"{self.name} did not start: {self.last_line()}")
            if self.answers():
                return
            if time.monotonic() > deadline:
                raise RunFailed(f"{self.name} does not answer at {self.url}: {self.last_line()}")
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def serve(root: Path, port: int | None, tensorboard_port: int | None, console: Console) -> int:
    """Starts both servers, prints their addresses once they answer, and waits for Ctrl-C.

    optuna-dashboard reads the study's own database, opened so that nothing can be written to it: it shows a
    running study as it goes, and cannot change one.

    Args:
        root: The study's folder.
        port: Port of optuna-dashboard; None for its usual one, or a free one where that is taken.
        tensorboard_port: Port of TensorBoard, likewise.
        console: Where the addresses are printed.

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
    tensorboard = ["--logdir", str(folder.tensorboard), "--host", HOST, "--port", str(second)]
    servers: list[Server] = []
    with _signals_raise():
        try:
            servers.append(_start("optuna-dashboard", first, [__name__, str(folder.root), str(first)]))
            servers.append(_start("TensorBoard", second, ["tensorboard.main", *tensorboard]))
            for server in servers:
                server.wait()
                line = f"{server.name + ':':<18}{server.url}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            console.print("Ctrl-C ends both", highlight=False)
            while True:
                for server in servers:
                    if server.process.poll() is not None:
                        raise RunFailed(f"{server.name} has ended by itself: {server.last_line()}")
                time.sleep(0.3)
        except _Signalled as signalled:
            return 128 + signalled.number
        finally:
            _stop(servers)


def choose_port(option: str, asked: int | None, usual: int, avoid: int | None = None) -> int:
    """The port that was asked for, else the usual one, else a free one.

    Raises:
        ConfigError: The one that was asked for is taken.
    """
    if asked is not None:
        if asked == avoid:
            raise ConfigError(f"{option}: {asked} is taken by the other server; give another, or none")
        if (reason := _why_refused(asked)) is not None:
            raise ConfigError(
                f"{option}: {asked} cannot be used ({reason}); give another, or none for a free one"
            )
        return asked
    if usual != avoid and _why_refused(usual) is None:
        return usual
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _why_refused(port: int) -> str | None:
    """Why nothing can listen at a port; None where it is free."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
            tried.listen(1)
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def _start(name: str, port: int, module: Sequence[str]) -> Server:
    output = tempfile.TemporaryFile(dir=temporary_folder())  # noqa: SIM115
    paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # TensorBoard asks a process of its own on this machine, which no proxy reaches.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "no_grpc_proxy": "localhost"},
        start_new_session=True,  # a terminal's Ctrl-C is for this process, which ends the group
        preexec_fn=_die_with_parent,
    )
    return Server(name, port, process, output)


def _die_with_parent() -> None:
    """Has Linux end this child when its parent dies, even by kill -9."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _stop(servers: Sequence[Server]) -> None:
    """Ends every server and what it started; waits until all are gone."""
    for server in servers:
        server.send(signal.SIGTERM)
    deadline = time.monotonic() + _MAX_STOP_SECONDS
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(max(deadline - time.monotonic(), 0.1))
        server.send(signal.SIGKILL)
        server.process.wait()
        server.output.close()


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Turns the first signal into an exception, and ignores further ones while the servers end."""

    def handle(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise _Signalled(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    import optuna_dashboard

    optuna_dashboard.run_server(
        open_readonly(StudyFolder.existing(Path(sys.argv[1]))), HOST, int(sys.argv[2])
    )
