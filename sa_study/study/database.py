"""The study's database: SQLite, written by the driver alone, with a copy that is known to be good."""

from __future__ import annotations

import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial

from sa_study.errors import StudyFolderError
from sa_study.study.folder import StudyFolder
from sa_study.study.lock import holder
from sa_study.study.records import LAUNCH, STUDY_NAME, read_record
from sa_study.study.vetting import launch_fault

_TIMEOUT = 60

_UNREADABLE = (
    sqlalchemy.exc.SQLAlchemyError,
    optuna.exceptions.OptunaError,
    sqlite3.Error,
    LookupError,
    ArithmeticError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
)
"""What reading a database that another program wrote can end in."""


def open_storage(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """The study's database, for the driver: only the driver writes it.

    Raises:
        StudyFolderError: It cannot be opened.
    """
    return _open(folder, str(folder.database), {})


def read_trials(folder: StudyFolder) -> list[FrozenTrial]:
    """All trials, by number, read without writing, also while the study runs.

    Raises:
        StudyFolderError: The database is damaged, or a write to it was cut off.
    """
    return trials_in(open_readonly(folder), folder)


def open_readonly(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """The study's database, for whoever looks on.

    Raises:
        StudyFolderError: It is damaged, or a write to it was cut off.
    """
    return _open(folder, f"file:{quote(str(folder.database))}", {"mode": "ro", "uri": "true"})


def trials_in(storage: optuna.storages.BaseStorage, folder: StudyFolder) -> list[FrozenTrial]:
    """All trials of an open database, by number.

    Raises:
        StudyFolderError: It holds no study.
    """
    try:
        with _named(folder):
            trials = optuna.load_study(study_name=STUDY_NAME, storage=storage).get_trials(deepcopy=False)
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise StudyFolderError(
            f"{folder.database}: holds values that are no study's ({type(error).__name__} in Optuna)"
        ) from None
    for trial in trials:
        try:
            read_record(trial)
            if not isinstance(trial.system_attrs.get("fixed_params", {}), dict):
                raise StudyFolderError(f"trial {trial.number}: was queued with no settings")
        except StudyFolderError as error:
            raise StudyFolderError(
                f"{folder.database}: holds records that this version cannot read ({error})"
            ) from None
    return trials


def read_about(storage: optuna.storages.BaseStorage, folder: StudyFolder) -> dict[str, Any]:
    """What is kept with the study beside its trials.

    Raises:
        StudyFolderError: It holds no study.
    """
    with _named(folder):
        about = dict(optuna.load_study(study_name=STUDY_NAME, storage=storage).user_attrs)
    for name, value in about.items():
        if name.startswith(LAUNCH) and (fault := launch_fault(value)):
            raise StudyFolderError(f"{folder.database}: {name} {fault}")
    return about


def keep_copy(folder: StudyFolder) -> None:
    """Copies the database as it stands; a damaged one never takes a good copy's place."""
    temporary = folder.database_copy.with_suffix(".tmp")
    _copy(folder.database, temporary)
    if _damage(temporary):
        temporary.unlink()
    else:
        temporary.replace(folder.database_copy)


def roll_back(folder: StudyFolder) -> None:
    """Takes back what a killed driver left half-written; does nothing while a driver runs.

    SQLite does so when the database is opened by whoever may write.
    """
    if holder(folder.lock) is None:
        folder.require_own_files()
        with suppress(sqlite3.Error), closing(sqlite3.connect(folder.database, timeout=_TIMEOUT)) as database:
            database.execute("SELECT name FROM sqlite_master").fetchall()


def mend(folder: StudyFolder) -> str:
    """Puts the copy in the place of a damaged database, which is kept beside it.

    Returns:
        What was done, in words; empty for a database that is whole.

    Raises:
        StudyFolderError: The database is damaged, and there is no good copy.
    """
    damage = _damage(folder.database)
    if not damage:
        return ""
    if not folder.database_copy.is_file() or _damage(folder.database_copy):
        raise StudyFolderError(f"{folder.database}: is damaged ({damage}), and there is no good copy of it")
    kept = folder.database.with_suffix(".damaged")
    folder.database.replace(kept)
    folder.database.with_name(f"{folder.database.name}-journal").unlink(missing_ok=True)
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(folder.database_copy.stat().st_mtime))
    _copy(folder.database_copy, folder.database)
    return (
        f"{folder.database} is damaged ({damage}) and now {kept.name}; its copy of {written} is used: "
        "what came after it is run again"
    )


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, timeout=_TIMEOUT)) as there,
        closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)


def _damage(path: Path) -> str:
    """What is wrong with a database, or empty."""
    try:
        with closing(sqlite3.connect(path, timeout=_TIMEOUT)) as database:
            found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            database.execute("SELECT count(*) FROM studies").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else " ".join(str(found).split())


def _open(folder: StudyFolder, database: str, query: dict[str, str]) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = sqlalchemy.URL.create("sqlite", database=database, query=query)
    with _named(folder):
        _require_plain(folder.database, query.get("mode", "rw"))
        return optuna.storages.RDBStorage(
            url.render_as_string(hide_password=False), engine_kwargs={"connect_args": {"timeout": _TIMEOUT}}
        )


def _require_plain(path: Path, mode: str) -> None:
    """A database with code of its own could answer for ever, or change what is written to it."""
    uri = f"file:{quote(str(path))}?mode={mode}"
    if not path.exists():
        return  # it is being made
    with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT)) as database:
        found = database.execute(
            "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE "
            "'CREATE VIRTUAL%' LIMIT 1"
        ).fetchone()
    if found:
        raise ValueError(f"it has the {found[0]} {found[1]!r}; a study's has tables alone")


@contextmanager
def _named(folder: StudyFolder) -> Iterator[None]:
    """Turns a database's errors into one line that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Optuna, about values of kinds that no study of ours has
            yield
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        mended = f"'resume --study {folder.root}' mends it"
        if "readonly" in reason:
            raise StudyFolderError(f"{folder.database}: a write to it was cut off; {mended}") from None
        copied = f"; {mended} from its copy" if folder.database_copy.is_file() else ""
        raise StudyFolderError(
            f"{folder.database}: cannot be read as a study's database ({reason}){copied}"
        ) from None
