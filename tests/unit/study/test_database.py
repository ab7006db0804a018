"""Reading a study's database, wherever it lies and in whatever state."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from checkout import SEARCH_PATH
from interrupted_write import kill_during_write
from refusals import refusal

from sa_study.settings.space import SearchSpace
from sa_study.study.database import (
    back_up_database,
    open_storage,
    read_trials,
    repair,
    trial_numbers,
    trials_in,
)
from sa_study.study.folder import StudyFolder
from sa_study.study.records import STUDY_NAME
from sa_study.tuning.search.initial_trials import create_study
from sa_study.utils.errors import StudyFolderError

SPACE = SearchSpace(search={}, fixed={"pretrained": "none"}, baseline={})


def make_study(root: Path) -> StudyFolder:
    root.mkdir(parents=True)
    folder = StudyFolder(root)
    create_study(open_storage(folder))
    return folder


@pytest.mark.parametrize("name", ["plain", "what?", "a#1", "per%20cent", "ü, x & y=z"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    folder = make_study(tmp_path / name)
    assert read_trials(folder) == []
    assert [path.name for path in folder.root.iterdir()] == ["optuna.db"]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    before = folder.database.read_bytes()
    folder.database.chmod(0o444)
    read_trials(folder)
    assert folder.database.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + 200 * b"x"])
def test_a_damaged_database_is_named(tmp_path: Path, content: bytes) -> None:
    folder = StudyFolder(tmp_path)
    folder.database.write_bytes(content)
    assert str(folder.database) in refusal(StudyFolderError, read_trials, folder)


def test_another_programs_database_is_named(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    optuna.create_study(storage=f"sqlite:///{folder.database}", study_name="theirs")
    with pytest.raises(StudyFolderError, match=r"optuna\.db"):
        read_trials(folder)


def test_a_write_that_was_killed_is_taken_back_in_what_is_read_and_on_disk_by_opening_to_write(
    tmp_path: Path,
) -> None:
    folder = make_study(tmp_path / "study")
    kill_during_write(folder.database)
    before = {path.name: path.read_bytes() for path in folder.root.iterdir()}
    assert len(before) == 2
    assert read_trials(folder) == [] and trial_numbers(folder) == []
    assert {path.name: path.read_bytes() for path in folder.root.iterdir()} == before
    assert trials_in(open_storage(folder), folder) == read_trials(folder) == []
    assert [path.name for path in folder.root.iterdir()] == ["optuna.db"]


def test_a_journal_beyond_all_measure_is_not_copied(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    kill_during_write(folder.database)
    os.truncate(f"{folder.database}-journal", 2**40)
    with pytest.raises(StudyFolderError, match=r"optuna\.db: cannot be read .* bytes, more than"):
        read_trials(folder)


def test_a_database_can_be_read_and_written_without_locks(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    folder.config.write_text("")
    code = (
        "from without_locks import forbid_locks; forbid_locks()\n"
        "import sys, optuna; from pathlib import Path\n"
        "from sa_study.study.database import back_up_database, repair, open_storage, read_trials\n"
        "from sa_study.study.folder import StudyFolder\n"
        "folder = StudyFolder(Path(sys.argv[1])); assert not repair(folder)\n"
        "optuna.load_study(study_name=None, storage=open_storage(folder)).enqueue_trial({})\n"
        "back_up_database(folder); print(len(read_trials(folder)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": SEARCH_PATH}
    command = [sys.executable, "-c", code, str(folder.root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
    assert len(read_trials(folder)) == 1 and folder.database_copy.exists()


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:12288] = bytes(8192)
    path.write_bytes(content)


def test_a_damaged_database_is_replaced_by_its_copy(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    assert repair(folder) == "", "a whole one stays"
    back_up_database(folder)
    optuna.load_study(study_name=STUDY_NAME, storage=open_storage(folder)).enqueue_trial({})
    spoil(folder.database)
    with pytest.raises(StudyFolderError, match=r"optuna\.db.*'resume --study .*' mends it from its copy"):
        read_trials(folder)
    said = repair(folder)
    assert str(folder.database) in said and "its copy of" in said
    assert read_trials(folder) == [], "what came after the copy is gone"
    assert folder.database.with_suffix(".damaged").exists() and repair(folder) == ""


def test_a_damaged_database_without_a_good_copy_is_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    spoil(folder.database)
    with pytest.raises(StudyFolderError, match=r"optuna\.db: is damaged .* no good copy"):
        repair(folder)
    shutil.copy(folder.database, folder.database_copy)
    with pytest.raises(StudyFolderError, match=r"optuna\.db: is damaged .* no good copy"):
        repair(folder)
    assert folder.database.exists(), "nothing was moved away"


def test_a_damaged_database_never_replaces_a_good_copy(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    back_up_database(folder)
    before = folder.database_copy.read_bytes()
    spoil(folder.database)
    back_up_database(folder)
    assert {path.name for path in folder.root.iterdir()} == {"optuna.db", "optuna.db.copy"}
    assert folder.database_copy.read_bytes() == before
