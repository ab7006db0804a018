"""Reading a study's database, wherever it lies and in whatever state."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pytest
from killed import kill_amid_write

from sa_study.errors import StudyFolderError
from sa_study.space import SearchSpace
from sa_study.study.database import keep_copy, mend, open_storage, read_trials, roll_back, trials_in
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import driver_lock
from sa_study.study.records import STUDY_NAME
from sa_study.study.search import create_study

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
    with pytest.raises(StudyFolderError) as error:
        read_trials(folder)
    assert str(folder.database) in str(error.value) and "\n" not in str(error.value)


def test_another_programs_database_is_named(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    optuna.create_study(storage=f"sqlite:///{folder.database}", study_name="theirs")
    with pytest.raises(StudyFolderError, match=r"optuna\.db"):
        read_trials(folder)


def test_a_write_that_was_killed_is_named_and_mended_by_opening_to_write(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    kill_amid_write(folder.database)
    with pytest.raises(StudyFolderError, match="a write to it was cut off; 'resume"):
        read_trials(folder)
    assert trials_in(open_storage(folder), folder) == read_trials(folder) == []


def test_a_write_that_was_killed_is_rolled_back_unless_a_driver_runs(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    kill_amid_write(folder.database)
    with driver_lock(folder.lock):
        roll_back(folder)
        with pytest.raises(StudyFolderError, match="a write to it was cut off"):
            read_trials(folder)
    roll_back(folder)
    assert read_trials(folder) == []
    before = folder.database.read_bytes()
    roll_back(folder)
    assert folder.database.read_bytes() == before


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:12288] = bytes(8192)
    path.write_bytes(content)


def test_a_damaged_database_is_replaced_by_its_copy(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    assert mend(folder) == "", "a whole one stays"
    keep_copy(folder)
    optuna.load_study(study_name=STUDY_NAME, storage=open_storage(folder)).enqueue_trial({})
    spoil(folder.database)
    with pytest.raises(StudyFolderError, match=r"optuna\.db.*'resume --study .*' mends it from its copy"):
        read_trials(folder)
    said = mend(folder)
    assert str(folder.database) in said and "its copy of" in said
    assert read_trials(folder) == [], "what came after the copy is gone"
    assert folder.database.with_suffix(".damaged").exists() and mend(folder) == ""


def test_a_damaged_database_without_a_good_copy_is_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    spoil(folder.database)
    with pytest.raises(StudyFolderError, match=r"optuna\.db: is damaged .* no good copy"):
        mend(folder)
    shutil.copy(folder.database, folder.database_copy)
    with pytest.raises(StudyFolderError, match=r"optuna\.db: is damaged .* no good copy"):
        mend(folder)
    assert folder.database.exists(), "nothing was moved away"


def test_a_damaged_database_never_replaces_a_good_copy(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    keep_copy(folder)
    before = folder.database_copy.read_bytes()
    spoil(folder.database)
    keep_copy(folder)
    assert {path.name for path in folder.root.iterdir()} == {"optuna.db", "optuna.db.copy"}
    assert folder.database_copy.read_bytes() == before
