"""A study that cannot be written, as a colleague's: it can be looked at, and what needs writing says so."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from checkout import ROOT
from command_line import CommandLine
from hostile import tree
from interrupted_write import kill_during_write
from root_privileges import without_root_privileges
from sound_study import copy

from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder


@pytest.fixture
def study(sound: Path, tmp_path: Path) -> Path:
    return copy(sound / "study", tmp_path / "theirs" / "study")


@pytest.fixture
def forbid() -> Iterator[Callable[[Path], None]]:
    """Takes away the rights to write a folder and all that it holds."""
    places = []

    def forbid(root: Path) -> None:
        places.append(root)
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    yield forbid
    for path in (inner for root in places for inner in (root, *root.rglob("*"))):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


READING = {
    "status": "status --study {study}",
    "status --json": "status --study {study} --json",
    "report": "report --study {study} --out {out}/page.html",
    "report of two": "report {study} {market}/../study --out {out}/pages.html",
    "export": "export --study {study} --out {out}/export --formats trials,markdown",
    "compare": "compare {study} {study}/baseline_evaluation.json",
    "audit": "audit --study {study}",
}
WRITING = {
    "report": "report --study {study}",
    "export": "export --study {study} --formats trials",
    "visualize": "visualize --study {study} --data-dir {market}",
    "visualize --test": "visualize --study {study} --data-dir {market} --test --out {out}/pictures",
    "visualize --out": "visualize --study {study} --data-dir {market} --out {study}/other",
    "evaluate": "evaluate --study {study} --data-dir {market}",
    "evaluate --retrain": "evaluate --study {study} --data-dir {market} --retrain",
    "evaluate --weights": "evaluate --weights {study}/best.pt --data-dir {market}",
    "evaluate --out": "evaluate --weights {market}/../study/best.pt --data-dir {market} --out {study}/e.json",
    "reproduce": "reproduce --study {study} --trial 1 --data-dir {market}",
    "confirm": "confirm --study {study} --top 1 --seeds 2 --data-dir {market}",
    "resume": "resume --study {study} --trials 9 --data-dir {market}",
    "paper": "paper --data-dir {market} --out {study}/paper --set pretrained=none --set batch_size=8",
    "data make": "data make {study}/sample",
}


def words_of(line: str, study: Path, sound: Path, out: Path) -> list[str]:
    out.mkdir(exist_ok=True)
    return line.format(study=study, market=sound / "market", out=out).split()


def cut_off(study: Path) -> None:
    kill_during_write(study / "optuna.db")


def write_ahead(study: Path) -> None:
    """As another program may leave it: what the log holds is not in the database yet."""
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1]); database.execute('PRAGMA journal_mode = WAL')\n"
        "database.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "database.execute('CREATE TABLE more (text)'); database.commit(); os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(study / "optuna.db")], check=True)
    assert (study / "optuna.db-wal").stat().st_size
    (study / "optuna.db-shm").unlink()


@pytest.mark.parametrize(
    "before", [None, cut_off, write_ahead], ids=["whole", "write cut off", "write-ahead log"]
)
@pytest.mark.parametrize("line", READING.values(), ids=READING)
def test_a_study_without_write_permission_can_be_looked_at(
    line: str,
    before: Callable[[Path], None] | None,
    study: Path,
    sound: Path,
    forbid: Callable[[Path], None],
    tmp_path: Path,
    tool: CommandLine,
) -> None:
    if before:
        before(study)
    forbid(study)
    there = tree(study)
    with without_root_privileges():
        code, printed, complaint = tool.run(*words_of(line, study, sound, tmp_path / "out"))
    assert not complaint and printed and (code == 0 or line.startswith("audit")), complaint
    assert tree(study) == there


@pytest.mark.parametrize("line", WRITING.values(), ids=WRITING)
def test_what_cannot_be_written_is_named_before_any_work(
    line: str, study: Path, sound: Path, forbid: Callable[[Path], None], tmp_path: Path, tool: CommandLine
) -> None:
    forbid(study)
    there = tree(study)
    with without_root_privileges():
        code, complaint = tool(*words_of(line, study, sound, tmp_path / "out"))
    assert_names(code, complaint, study)
    assert tree(study) == there


def assert_names(code: int, complaint: str, study: Path) -> None:
    assert code == 2 and complaint.startswith(f"error: {study}") and complaint.count("\n") == 1, complaint
    assert "/." not in complaint, "no temporary file is named"
    assert any(reason in complaint for reason in ("Permission denied", "Read-only file system")), complaint


MOUNTED = """
import contextlib, io, json, sys
from sa_study.cli import main
found = []
for line in json.loads(sys.argv[1]):
    said, complaint = io.StringIO(), io.StringIO()
    sys.argv = ["run_study.py", *line]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
        code = main()
    found.append((code, said.getvalue(), complaint.getvalue()))
print(json.dumps(found))
"""


def test_a_study_on_a_read_only_file_system_can_be_looked_at(
    study: Path, sound: Path, tmp_path: Path
) -> None:
    cut_off(study)
    there, place = tree(study), study.parent
    reading = [words_of(READING[name], study, sound, tmp_path / "out") for name in ("status", "report")]
    writing = [
        words_of(WRITING[name], study, sound, tmp_path / "out") for name in ("report", "evaluate", "resume")
    ]
    mount = f'mount --bind {place} {place} && mount -o remount,bind,ro {place} && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "mount"]
    command += [sys.executable, "-c", MOUNTED, json.dumps(reading + writing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for code, printed, complaint in found[: len(reading)]:
        assert code == 0 and printed and not complaint, complaint
    for code, _, complaint in found[len(reading) :]:
        assert_names(code, complaint, study)
        assert "Permission denied" not in complaint
    assert tree(study) == there


def test_a_log_that_is_not_in_the_database_yet_is_read(study: Path, forbid: Callable[[Path], None]) -> None:
    with closing(sqlite3.connect(study / "optuna.db")) as database:
        assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        database.execute("UPDATE trials SET state = 'FAIL' WHERE number = 1")
        database.commit()
        other = study.parent / "log"
        shutil.copytree(study, other)  # while it is open: closing it would write the log back
    (other / "optuna.db-shm").unlink()
    forbid(other)
    with without_root_privileges():
        assert [trial.state.name for trial in read_trials(StudyFolder(other))][1] == "FAIL"
    assert not (other / "optuna.db-shm").exists()
