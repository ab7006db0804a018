"""A launch in a session of its own, as a terminal would make it, and the processes that belong to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_IDLE = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")

KINDS = ("worker", "driver", "group", "ctrl-c", "sigterm", "ctrl-c twice")
"""Who is killed how: `kill -9` of a trial's process, of the driver alone, of it with all that it started;
Ctrl-C in its terminal; SIGTERM to the driver; Ctrl-C and, before it has ended, Ctrl-C again."""


class Driver:
    """Runs `run_study.py`; leaving the context kills whatever is left of it.

    Args:
        words: Command and options.
        log: File that takes its output, appended.
    """

    def __init__(self, words: Sequence[str | Path], log: Path):
        command = [sys.executable, str(ROOT / "run_study.py"), *map(str, words)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "150"},
            )
        self.pid = self._process.pid
        self.since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.running:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the driver itself still runs."""
        return self._process.poll() is None

    def end(self, seconds: float) -> int | None:
        """The exit code once it has ended; None when it does not in this time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def has(self, program: str) -> bool:
        """Whether a process of this launch runs the program."""
        return any(program in command for command in session(self.pid).values())

    def trial_processes(self) -> list[int]:
        """Processes in which trials run."""
        commands = session(self.pid).items()
        return [pid for pid, command in commands if command.startswith("ray::") and command not in _IDLE]

    def strike(self, kind: str, victim: float) -> bool:
        """Kills in one of the ways of `KINDS`.

        Args:
            kind: How.
            victim: In [0, 1): which of the trials' processes; or when Ctrl-C is pressed again.

        Returns:
            Whether there was anything to kill.
        """
        try:
            if kind == "worker":
                workers = self.trial_processes()
                os.kill(workers[int(victim * len(workers))], signal.SIGKILL)
            elif kind in ("driver", "sigterm"):
                os.kill(self.pid, signal.SIGKILL if kind == "driver" else signal.SIGTERM)
            else:
                os.killpg(self.pid, signal.SIGKILL if kind == "group" else signal.SIGINT)
            if kind == "ctrl-c twice":
                time.sleep(2 * victim)
                os.killpg(self.pid, signal.SIGINT)
        except (ProcessLookupError, IndexError):
            return False
        return True


def session(leader: int) -> dict[int, str]:
    """Command lines by process of the session with this leader, which may have died."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(entry.name)] = command.strip()
        except (OSError, ValueError):
            continue  # it ended while it was looked at
    return found


def left_behind(leader: int, patience: float) -> list[str]:
    """Kills what of a dead driver's launch still runs after `patience` seconds; returns the command lines."""
    deadline = time.monotonic() + patience
    while (alive := session(leader)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in alive:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return list(alive.values())
