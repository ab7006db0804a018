"""optuna-dashboard and TensorBoard on this machine, until Ctrl-C or a signal."""

from __future__ import annotations

import importlib.util
import os
import queue
import signal
import socket
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from rich.console import Console

from sa_study.study.database import open_readonly
from sa_study.study.folder import StudyFolder
from sa_study.study.summary import StudySummary
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.files import silent_stderr

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread: a browser's idle connection keeps no other waiting."""

    daemon_threads = True


def serve(root: Path, port: int | None, tensorboard_port: int | None, console: Console) -> int:
    """Starts both servers in threads, prints their addresses, and waits for Ctrl-C.

    optuna-dashboard reads the study's own database, opened so that nothing can be written to it: it shows a
    running study as it goes, and cannot change one. A port that is None is the program's usual one, or a free
    one where that is taken.

    Returns:
        The exit code: 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        StudyFolderError: There is no study there, or it is damaged.
        ConfigError: A port that was asked for is taken, or optuna-dashboard is not installed.
        RunFailed: A server does not start.
    """
    folder = StudyFolder.existing(root)
    StudySummary.read(folder.root)
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise ConfigError("dashboard: optuna-dashboard is not installed; pip install -r requirements.txt")
    first = choose_port("--port", port, 8080)
    second = choose_port("--tensorboard-port", tensorboard_port, 6006, avoid=first)
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    with silent_stderr():  # both log each request
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, frame: signals.put(received))
        _start_optuna_dashboard(folder, first)
        _start_tensorboard(folder, second)
        for name, its_port in (("optuna-dashboard:", first), ("TensorBoard:", second)):
            line = f"{name:<18}http://{HOST}:{its_port}/"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print("Ctrl-C ends both", highlight=False)
        return 128 + signals.get()


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
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        return os.strerror(error.errno).lower() if error.errno else str(error)
    return None


def _start_optuna_dashboard(folder: StudyFolder, port: int) -> None:
    import optuna_dashboard

    try:
        server = make_server(HOST, port, optuna_dashboard.wsgi(open_readonly(folder)), _Server)
    except OSError as error:
        raise RunFailed(f"optuna-dashboard did not start: {error}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _start_tensorboard(folder: StudyFolder, port: int) -> None:
    from tensorboard.program import TensorBoard, TensorBoardServerException

    # TensorBoard asks a process of its own on this machine, which no proxy reaches; it ends with this one.
    os.environ["no_grpc_proxy"] = "localhost"  # noqa: SIM112
    server = TensorBoard()
    server.configure(["", "--logdir", str(folder.tensorboard), "--host", HOST, "--port", str(port)])
    try:
        server.launch()
    except TensorBoardServerException as error:
        raise RunFailed(f"TensorBoard did not start: {error.msg}") from None
