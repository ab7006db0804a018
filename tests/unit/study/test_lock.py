"""One driver a study, by real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkout import SEARCH_PATH

from sa_study.study import lock
from sa_study.study.lock import current_driver, driver_lock
from sa_study.utils.errors import StudyFolderError

HOLD = """
import sys, time
from pathlib import Path
from sa_study.study.lock import driver_lock
with driver_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "driver.lock"


def test_the_lock_is_free_before_and_after(path: Path) -> None:
    assert current_driver(path) is None
    for _ in range(2):
        with driver_lock(path) as dead:
            assert dead is None
        assert current_driver(path) is None and not path.exists()


def test_a_second_driver_is_refused_and_a_dead_one_recognised(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    there = current_driver(path)
    assert there is not None and there.pid == process.pid
    with (
        pytest.raises(StudyFolderError, match=rf"process {process.pid} on .*, begun 0 min \d+ s ago"),
        driver_lock(path),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert current_driver(path) is None, "the operating system has freed it"
    with driver_lock(path) as dead:
        assert dead is not None and dead.pid == process.pid
        mine = current_driver(path)
        assert mine is not None and mine.pid == os.getpid()


def elsewhere(path: Path, since: float | None = None) -> None:
    """Writes the lock file of a driver on another machine, where a shared folder's locks do not reach."""
    began = time.time() - 4000 if since is None else since
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": began}))


@contextmanager
def beating(path: Path, clock: float) -> Iterator[None]:
    """A heartbeat by a clock that is this many seconds ahead of this machine's."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.1):
            os.utime(path, (time.time() + clock, time.time() + clock))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MAX_SILENCE_SECONDS", "_MAX_SILENCE_SECONDS_TO_READ"):
        monkeypatch.setattr(lock, name, 1.0)


CLOCKS = {"right": 0, "behind by a day": -86400, "ahead by a day": 86400, "ahead by years": 1e9}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_a_driver_on_another_machine_holds_it_while_its_heartbeat_goes_on(path: Path, clock: float) -> None:
    elsewhere(path)
    with beating(path, clock):
        there = current_driver(path)
        assert there is not None and there.host == "elsewhere"
        said: list[str] = []
        with (
            pytest.raises(
                StudyFolderError, match=r"process 7 on elsewhere, begun 1 h 6 min ago.*driver\.lock"
            ),
            driver_lock(path, said.append),
        ):
            pass
        assert "watching" in said[0] and str(path) in said[0]
    assert path.exists(), "it is the other's"


@pytest.mark.usefixtures("short_silence")
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_a_dead_driver_of_another_machine_is_recognised_whatever_its_clock_was(
    path: Path, clock: float
) -> None:
    elsewhere(path)
    os.utime(path, (time.time() + clock, time.time() + clock))
    assert current_driver(path) is None
    with driver_lock(path) as dead:
        assert dead is not None and dead.host == "elsewhere"
        assert str(os.getpid()) in path.read_text()
    assert not path.exists()


def test_the_heartbeat_can_be_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_HEARTBEAT_SECONDS", 0.1)
    with driver_lock(path):
        first = path.stat().st_mtime_ns
        deadline = time.monotonic() + 60
        while path.stat().st_mtime_ns == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert path.stat().st_mtime_ns > first


def test_no_age_is_negative(path: Path) -> None:
    owner = lock.Driver("elsewhere", 7, 4102444800.0)
    assert str(owner) == "process 7 on elsewhere, begun at 2100-01-01 00:00:00+00:00 by its clock"
    assert "1 min 4" in str(lock.Driver("elsewhere", 7, time.time() - 100))


def test_a_holder_that_another_has_replaced_leaves_the_others_file(path: Path) -> None:
    with driver_lock(path):
        path.unlink()
        elsewhere(path)
    assert path.exists()


LOCKLESS = "from without_locks import forbid_locks; forbid_locks()\n"
"""In a process whose every lock is refused by the system, as on Lustre without -o flock."""


def run_without_locks(code: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOCKLESS + code, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": SEARCH_PATH}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_file_system_without_locks_is_named_and_the_heartbeat_keeps_others_away(path: Path) -> None:
    code = HOLD.replace("(sys.argv[1])", "(sys.argv[1]), lambda line: print(line, flush=True)")
    with run_without_locks(code, path) as first:
        try:
            assert first.stdout is not None
            line = first.stdout.readline()
            assert "no locks" in line and str(path.parent) in line and "driver.lock" in line
            assert first.stdout.readline() == "held\n"
            with run_without_locks(code, path) as second:
                _, complaint = second.communicate(timeout=120)
            assert second.returncode == 1
            assert f"is being run by process {first.pid}" in complaint and "another process" not in complaint
        finally:
            first.kill()


def test_of_several_that_start_at_once_without_locks_one_holds_it(path: Path) -> None:
    running = [run_without_locks(HOLD, path) for _ in range(3)]
    try:
        refused = set[subprocess.Popen[str]]()
        deadline = time.monotonic() + 120
        while len(refused) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
            refused = {process for process in running if process.poll() is not None}
        assert len(refused) == 2
    finally:
        for process in running:
            process.kill()
    for process in running:
        said, complaint = process.communicate()
        assert ("StudyInUse" in complaint) if process in refused else said == "held\n", complaint


def test_no_look_at_the_test_set_is_lost_without_locks(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from sa_study.study.folder import StudyFolder\n"
        "from sa_study.study.ledger import add_ledger_entry\n"
        "for _ in range(2): add_ledger_entry(StudyFolder(Path(sys.argv[1])), 'best')\n"
    )
    running = [run_without_locks(code, tmp_path) for _ in range(3)]
    complaints = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], complaints
    assert len(json.loads((tmp_path / "test_ledger.json").read_text())["looks"]) == 6
    assert [file.name for file in tmp_path.iterdir()] == ["test_ledger.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}'])
def test_a_damaged_lock_file_is_taken(path: Path, content: str) -> None:
    path.write_text(content)
    with driver_lock(path) as dead:
        assert dead is None
