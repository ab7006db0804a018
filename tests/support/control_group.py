"""Real control groups (Linux's cgroups, version 1) for tests that need a limit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE = 60.0


@contextmanager
def control_group(controller: str) -> Iterator[Path]:
    """Creates a control group below this process's own for the `with` block; skips the test if that fails."""
    listed = Path("/proc/self/cgroup")
    named = (
        dict(line.split(":", 2)[1:] for line in listed.read_text().splitlines()) if listed.exists() else {}
    )
    top = Path("/sys/fs/cgroup", controller)
    group = top / named.get(controller, "").lstrip("/") / f"sa_study_{os.getpid()}"
    if controller not in named or not top.is_dir() or not os.access(group.parent, os.W_OK):
        pytest.skip(f"no control group of version 1 can be made for {controller}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made for {controller} ({error.strerror})")
    try:
        yield group
    finally:
        deadline = time.monotonic() + _PATIENCE
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)  # what was started in it comes to its end
        group.rmdir()


def within(group: Path) -> tuple[str, ...]:
    """Returns the words that, put before a command, run it in a control group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")
