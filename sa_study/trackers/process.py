"""The driver's side of trackers: a process for each, which can neither stop nor delay the study."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sa_study.trackers.mirror import END
from sa_study.trackers.table import resolve_trackers, split
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import PROJECT_ROOT
from sa_study.utils.text import redact

END_SECONDS = 10.0
"""Time that all trackers together have at the end of a launch to take what is missing."""

COMPLETE_SECONDS = 600.0
"""Time that they have where nothing is left to run: enough for a large study; its lock is held so long."""


@contextmanager
def tracking(
    root: Path, trackers: Sequence[str], say: Callable[[str], None], limit: float = END_SECONDS
) -> Iterator[None]:
    """Shows a study in trackers while it runs; they have `limit` seconds at the end.

    The trackers are as `resolve_trackers` gave them, maybe on another machine. `say` is called with one
    message about each that cannot be used here, fails or is late.
    """
    processes: list[_TrackerProcess] = []
    try:
        for tracker in trackers:
            try:
                for usable in resolve_trackers([tracker]):
                    processes.append(_TrackerProcess(root, usable, say))
            except ConfigError as error:  # of a package or a folder that this machine lacks
                say(f"{error}; this launch goes without it, 'resume --study {root} --track none' all of them")
            except OSError as error:  # such as too little memory
                say(_notice(root, tracker, os.strerror(error.errno or 0).lower()))
        yield
        for process in processes:
            process.ask_to_end()
        deadline = time.monotonic() + limit
        for process in processes:
            process.wait(deadline, limit)
    finally:
        for process in processes:
            process.kill()


class _TrackerProcess:
    """The process that keeps a tracker up to date, see `mirror`."""

    def __init__(self, root: Path, tracker: str, say: Callable[[str], None]):
        self._notice = partial(_notice, root, tracker)
        self._say = say
        self._reported = self._ending = False
        # Ray's variables hold this launch's token.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), environment.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sa_study.trackers.mirror", str(root), tracker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env={**environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is the driver's
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ask_to_end(self) -> None:
        """Asks for the last attempt."""
        self._ending = True
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died, which the listener has reported
            self._process.stdin.write(f"{END}\n")
            self._process.stdin.close()

    def wait(self, deadline: float, limit: float) -> None:
        """Waits for the end of the last attempt, until the deadline: `limit` seconds after asking for it."""
        try:
            code = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._report(f"has not taken everything within {limit:.0f} s")
            return
        self._listener.join()
        if code:
            self._report("has not taken everything")

    def kill(self) -> None:
        """Ends the process, with what it has started."""
        self._ending = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._report(line.strip())
        if not self._ending:
            self._report("its process has ended")

    def _report(self, reason: str) -> None:
        """Says what is wrong, once."""
        if not self._reported:
            self._reported = True
            self._say(self._notice(reason))


def _notice(root: Path, tracker: str, reason: str) -> str:
    name, target = split(tracker)
    where = f"{name} at {redact(target)}" if "://" in target else name
    later = f"'resume --study {root}' sends what is missing"
    return f"{where}: {reason.rstrip('.')}; the study is whole without it, and {later}"
