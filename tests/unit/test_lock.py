"""One driver a study, by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sa_study.errors import StudyFolderError
from sa_study.study.lock import driver_lock, holder

HOLD = """
import sys, time
from pathlib import Path
from sa_study.study.lock import driver_lock
with driver_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driver.lock"


def test_the_lock_is_free_before_and_after(path: Path) -> None:
    assert holder(path) is None
    for _ in range(2):
        with driver_lock(path) as dead:
            assert dead is None
        assert holder(path) is None and not path.exists()


def test_a_second_driver_is_refused_and_a_dead_one_recognised(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    there = holder(path)
    assert there is not None and there.pid == process.pid
    with (
        pytest.raises(StudyFolderError, match=rf"process {process.pid} on .*, begun 0 min \d+ s ago"),
        driver_lock(path),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder(path) is None, "the operating system has freed it"
    with driver_lock(path) as dead:
        assert dead is not None and dead.pid == process.pid
        mine = holder(path)
        assert mine is not None and mine.pid == os.getpid()


def test_a_driver_on_another_machine_holds_it_while_it_touches_the_file(path: Path) -> None:
    """As where a shared folder's locks do not reach other machines."""
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": time.time() - 4000}))
    with (
        pytest.raises(StudyFolderError, match="process 7 on elsewhere, begun 1 h 6 min ago"),
        driver_lock(path),
    ):
        pass
    assert holder(path) is not None
    silent = time.time() - 1000
    os.utime(path, (silent, silent))
    assert holder(path) is None
    with driver_lock(path) as dead:
        assert dead is not None and dead.host == "elsewhere"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}'])
def test_a_damaged_lock_file_is_taken(path: Path, content: str) -> None:
    path.write_text(content)
    with driver_lock(path) as dead:
        assert dead is None
