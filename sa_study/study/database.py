"""A study's database: SQLite, written by the study's driver alone, with a copy that is known to be good.

Every function raises a `StudyFolderError` for a database that is damaged, or another program's.
"""

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
from sa_study.study.records import LAUNCH, STUDY_NAME, read_record, validate_launch
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_bytes

_TIMEOUT_SECONDS = 60
_MAX_COPIED_BYTES = 2**28  # largest database, or file that SQLite keeps beside it, that is copied to be read


def open_storage(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """Opens the study's database to write it, which only the study's driver does."""
    with _named_in_errors(folder):
        if folder.database.exists():  # else it is made now
            with closing(_connect(folder, folder.database)) as database:
                _require_only_tables(database)
    return _open(folder, lambda: _connect(folder, folder.database))


def read_trials(folder: StudyFolder) -> list[FrozenTrial]:
    """All trials, by number, read without writing, also while the study runs."""
    return trials_in(open_readonly(folder), folder)


def open_readonly(folder: StudyFolder) -> optuna.storages.RDBStorage:
    """Opens the study's database to read it; the folder need not be writable.

    If a write was interrupted, a copy in memory with that write undone is opened instead.
    """
    memory = _recovered_copy(folder)
    if memory is None:
        return _open(folder, lambda: _connect(folder, folder.database, "ro"))
    return _open(folder, lambda: memory, sqlalchemy.pool.StaticPool)


def trial_numbers(folder: StudyFolder) -> list[int]:
    """All trial numbers in the database, duplicates included (Optuna hides them)."""
    memory = _recovered_copy(folder)
    with _named_in_errors(folder), closing(memory or _connect(folder, folder.database, "ro")) as database:
        return [number for (number,) in database.execute("SELECT number FROM trials")]


def trials_in(storage: optuna.storages.BaseStorage, folder: StudyFolder) -> list[FrozenTrial]:
    """All trials of an open database, by number."""
    with _named_in_errors(folder):
        trials = optuna.load_study(study_name=STUDY_NAME, storage=storage).get_trials(deepcopy=False)
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
    """The attributes of the study itself, beside its trials."""
    with _named_in_errors(folder):
        attributes = dict(optuna.load_study(study_name=STUDY_NAME, storage=storage).user_attrs)
    for name, value in attributes.items():
        try:
            if name.startswith(LAUNCH):
                validate_launch(value)
        except ValueError as error:
            raise StudyFolderError(f"{folder.database}: {name} {error}") from None
    return attributes


def back_up_database(folder: StudyFolder) -> None:
    """Copies the database as it is now; a damaged one never replaces a good copy."""
    temporary = folder.database_copy.with_suffix(".tmp")
    _copy(folder, folder.database, temporary)
    if _damage(folder, temporary):
        temporary.unlink()
    else:
        temporary.replace(folder.database_copy)


def repair(folder: StudyFolder) -> str:
    """Replaces a damaged database by its copy and keeps the damaged one beside it.

    Returns:
        What was done, in words; empty for an undamaged database.

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
        "later epochs are run again"
    )


def _connect(folder: StudyFolder, path: Path, mode: str = "rwc") -> sqlite3.Connection:
    # On a file system without locks SQLite must be told so; `driver_lock` keeps a second writer away.
    locks = "" if has_locks(folder.config if folder.config.exists() else folder.provenance) else "&nolock=1"
    uri = f"file:{quote(str(path))}?mode={mode}{locks}"
    return sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_SECONDS, check_same_thread=False)  # one of a pool


def _copy(folder: StudyFolder, source: Path, target: Path) -> None:
    with closing(_connect(folder, source)) as there, closing(_connect(folder, target)) as here:
        there.backup(here)


def _recovered_copy(folder: StudyFolder) -> sqlite3.Connection | None:
    """A copy in memory of a database that SQLite would have to write to; None where it can be read as it is.

    SQLite has to where a driver was killed amid a write, or where another program has set the database to
    write-ahead logging in a read-only folder.
    """
    with _named_in_errors(folder):
        try:
            with closing(_connect(folder, folder.database, "ro")) as database:
                _require_only_tables(database)
            return None
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
                raise
        memory = sqlite3.connect(":memory:", check_same_thread=False)
        with tempfile.TemporaryDirectory() as scratch:
            for ending in ("", "-journal", "-wal"):
                source = folder.database.with_name(folder.database.name + ending)
                if ending == "" or source.exists():
                    content = read_bytes(source, _MAX_COPIED_BYTES)
                    Path(scratch, folder.database.name + ending).write_bytes(content)
            with closing(_connect(folder, Path(scratch, folder.database.name))) as copy:
                copy.execute("PRAGMA journal_mode = DELETE")  # a database in memory has no write-ahead log
                copy.backup(memory)
        _require_only_tables(memory)
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
    with _named_in_errors(folder):
        return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": pool})


def _require_only_tables(database: sqlite3.Connection) -> None:
    """Refuses views and triggers: a query of them might never end, or change what is written."""
    found = database.execute(
        "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE "
        "'CREATE VIRTUAL%' LIMIT 1"
    ).fetchone()
    if found:
        raise ValueError(f"it has the {found[0]} {found[1]!r}; a study's database has only tables")


@contextmanager
def _named_in_errors(folder: StudyFolder) -> Iterator[None]:
    """Turns errors of reading the database into one line that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's, about types of values that our studies never have
            yield
    except Exception as error:  # what SQLAlchemy and Optuna raise depends on what another program wrote
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        mended = f"; 'resume --study {folder.root}' mends it from its copy"
        copied = mended if folder.database_copy.is_file() else ""
        raise StudyFolderError(
            f"{folder.database}: cannot be read as a study's database ({reason}){copied}"
        ) from None
