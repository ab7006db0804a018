"""The study's database: SQLite, written by the driver alone, with a copy that is known to be good."""

from __future__ import annotations

import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial

from sa_study.study.folder import StudyFolder
from sa_study.study.lock import has_locks
from sa_study.study.record_checks import validate_launch
from sa_study.study.records import LAUNCH, STUDY_NAME, read_record
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_bytes

_TIMEOUT = 60
_MAX_COPIED = 2**28
"""Bytes of a database, or of what SQLite keeps beside it, that are copied to be read."""

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
    OSError,
)
"""What reading a database that another program wrote can end in."""


def open_storage(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """The study's database, for the driver: only the driver writes it.

    Raises:
        StudyFolderError: It cannot be opened.
    """
    with _named(folder):
        if folder.database.exists():  # else it is being made
            with closing(_connect(folder, folder.database)) as database:
                _require_plain(database)
    return _open(folder, lambda: _connect(folder, folder.database))


def read_trials(folder: StudyFolder) -> list[FrozenTrial]:
    """All trials, by number, read without writing, also while the study runs.

    Raises:
        StudyFolderError: The database is damaged, or a write to it was cut off.
    """
    return trials_in(open_readonly(folder), folder)


def open_readonly(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """The study's database, for whoever looks on; the folder need not be writable.

    Where a write was cut off, what is read is a copy in memory, in which that write is taken back.

    Raises:
        StudyFolderError: It is damaged.
    """
    memory = _recovered(folder)
    if memory is None:
        return _open(folder, lambda: _connect(folder, folder.database, "ro"))
    return _open(folder, lambda: memory, sqlalchemy.pool.StaticPool)


def trial_numbers(folder: StudyFolder) -> list[int]:
    """The number of each trial in the database, of which Optuna shows each once.

    Raises:
        StudyFolderError: It is damaged.
    """
    with _named(folder), closing(_recovered(folder) or _connect(folder, folder.database, "ro")) as database:
        return [number for (number,) in database.execute("SELECT number FROM trials")]


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


def study_attributes(storage: optuna.storages.BaseStorage, folder: StudyFolder) -> dict[str, Any]:
    """The study's own attributes, apart from its trials.

    Raises:
        StudyFolderError: It holds no study.
    """
    with _named(folder):
        about = dict(optuna.load_study(study_name=STUDY_NAME, storage=storage).user_attrs)
    for name, value in about.items():
        try:
            if name.startswith(LAUNCH):
                validate_launch(value)
        except ValueError as error:
            raise StudyFolderError(f"{folder.database}: {name} {error}") from None
    return about


def back_up_database(folder: StudyFolder) -> None:
    """Copies the database as it stands; a damaged one never takes a good copy's place."""
    temporary = folder.database_copy.with_suffix(".tmp")
    _copy(folder, folder.database, temporary)
    if _damage(folder, temporary):
        temporary.unlink()
    else:
        temporary.replace(folder.database_copy)


def repair(folder: StudyFolder) -> str:
    """Puts the copy in the place of a damaged database, which is kept beside it.

    Returns:
        What was done, in words; empty for a database that is whole.

    Raises:
        StudyFolderError: The database is damaged, and there is no good copy.
    """
    damage = _damage(folder, folder.database)
    if not damage:
        return ""
    if not folder.database_copy.is_file() or _damage(folder, folder.database_copy):
        raise StudyFolderError(f"{folder.database}: is damaged ({damage}), and there is no good copy of it")
    kept = folder.database.with_suffix(".damaged")
    folder.database.replace(kept)
    folder.database.with_name(f"{folder.database.name}-journal").unlink(missing_ok=True)
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(folder.database_copy.stat().st_mtime))
    _copy(folder, folder.database_copy, folder.database)
    return (
        f"{folder.database} is damaged ({damage}) and now {kept.name}; its copy of {written} is used: "
        "what came after it is run again"
    )


def _connect(folder: StudyFolder, path: Path, mode: str = "rwc") -> sqlite3.Connection:
    # Without locks SQLite opens nothing unless it is told so; `driver_lock` keeps a second writer away.
    locks = "" if has_locks(folder.config if folder.config.exists() else folder.provenance) else "&nolock=1"
    uri = f"file:{quote(str(path))}?mode={mode}{locks}"
    return sqlite3.connect(uri, uri=True, timeout=_TIMEOUT, check_same_thread=False)  # one of a pool


def _copy(folder: StudyFolder, source: Path, target: Path) -> None:
    with closing(_connect(folder, source)) as there, closing(_connect(folder, target)) as here:
        there.backup(here)


def _recovered(folder: StudyFolder) -> sqlite3.Connection | None:
    """A copy in memory of a database that SQLite would have to write before it could be read.

    That is so where a driver was killed amid a write, and in a folder that cannot be written where another
    program has set the database to write-ahead logging.

    Returns:
        The copy, or None where the database can be read in its place.
    """
    with _named(folder):
        try:
            with closing(_connect(folder, folder.database, "ro")) as database:
                _require_plain(database)
            return None
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
                raise
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        with tempfile.TemporaryDirectory() as scratch:
            for ending in ("", "-journal", "-wal"):
                source = folder.database.with_name(folder.database.name + ending)
                if ending == "" or source.exists():
                    content = read_bytes(source, _MAX_COPIED)
                    Path(scratch, folder.database.name + ending).write_bytes(content)
            with closing(_connect(folder, Path(scratch, folder.database.name))) as copy:
                copy.execute("PRAGMA journal_mode = DELETE")  # one in memory has no write-ahead log
                copy.backup(memory)
        _require_plain(memory)
        return memory


def _damage(folder: StudyFolder, path: Path) -> str:
    """A description of the damage to a database, or empty."""
    try:
        with closing(_connect(folder, path)) as database:
            found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            database.execute("SELECT count(*) FROM studies").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else " ".join(str(found).split())


def _open(
    folder: StudyFolder,
    connect: Callable[[], sqlite3.Connection],
    pool: type[sqlalchemy.pool.Pool] = sqlalchemy.pool.QueuePool,
) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _named(folder):
        return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": pool})


def _require_plain(database: sqlite3.Connection) -> None:
    """A database with code of its own could answer for ever, or change what is written to it."""
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
        mended = f"; 'resume --study {folder.root}' mends it from its copy"
        copied = mended if folder.database_copy.is_file() else ""
        raise StudyFolderError(
            f"{folder.database}: cannot be read as a study's database ({reason}){copied}"
        ) from None
