"""One driver per study: a lock file names its holder, and a dead driver's file is soon taken over.

Two things show that a driver is alive. The operating system's lock on the file ends with its process. The
heartbeat, the driver touching the file every few seconds, counts where such locks do not: between machines,
which they may not reach, and on file systems without locks. A driver is alive if its heartbeat goes on while
the file is watched; how old the file is does not count, as the clock that dates it may be wrong.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sa_study.utils.errors import StudyFolderError

_HEARTBEAT_SECONDS = 2.0
_MAX_SILENCE_SECONDS = 120.0
"""Time without a heartbeat after which a driver counts as dead, and another may take over its study."""

_MAX_SILENCE_SECONDS_TO_READ = 8.0
"""Time without a heartbeat after which a process that only reads a study takes its driver for dead."""

_POLL_SECONDS = 0.2
_MAX_TRIES = 5
_NO_LOCK_FILE = {errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR}
_LOCKED = {errno.EWOULDBLOCK, errno.EACCES}
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_MAX_FILE_BYTES = 4096
_MAX_UNIX_TIME = 1e11  # upper limit of a driver's start, in seconds since 1970


class StudyInUse(StudyFolderError):
    """Another process holds a lock."""


@dataclass(frozen=True)
class Driver:
    """The process that runs a study, or ran it.

    Attributes:
        host: Name of its machine.
        pid: Its process number there.
        since: When it began, in seconds since 1970 by its machine's clock.
    """

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.time() - self.since), 60)
        if minutes < 0:  # its machine's clock is, or was, ahead of this one's
            began = datetime.fromtimestamp(self.since, UTC).isoformat(" ", "seconds")
            return f"process {self.pid} on {self.host}, begun at {began} by its clock"
        hours, minutes = divmod(minutes, 60)
        age = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        return f"process {self.pid} on {self.host}, begun {age} ago"


@contextmanager
def driver_lock(path: Path, say: Callable[[str], None] = lambda line: None) -> Iterator[Driver | None]:
    """Locks a study for this process.

    A file that another machine's driver has left, or that lies on a file system without locks, is watched for
    a heartbeat first, for up to two minutes; `say` is called with a line about that, and about a file system
    without locks. The lock file exists while a driver runs, and after one was killed.

    Yields:
        The driver that was killed while it held the lock, or None.

    Raises:
        StudyInUse: Another driver holds it.
        StudyFolderError: Nothing can be written there.
    """
    file, dead = _acquire(path, say)
    with file:
        _write(file)
        stop = threading.Event()
        thread = threading.Thread(target=_send_heartbeats, args=(file.fileno(), stop), daemon=True)
        thread.start()
        try:
            yield dead
        finally:
            stop.set()
            thread.join()
            if _is_at(path, file):  # else another driver took over, as this one was suspended for minutes
                path.unlink(missing_ok=True)


def current_driver(path: Path) -> Driver | None:
    """The driver that holds a study now, or None; writes nothing, and may watch a heartbeat for 8 seconds."""
    try:
        with open(path, opener=_opener) as file:
            owner, locked = _read(file), _try_lock(file, fcntl.LOCK_SH)
    except OSError:
        return None
    if owner is None or locked is False:
        return owner
    return owner if _needs_watching(locked, owner) and _is_alive(path, _MAX_SILENCE_SECONDS_TO_READ) else None


def has_locks(path: Path) -> bool:
    """Whether the system can lock a file as SQLite locks its own; true of a file that cannot be opened."""
    with suppress(OSError), open(path, opener=_opener) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _LOCKED
    return True


@contextmanager
def change_lock(folder: Path, fallback: str) -> Iterator[None]:
    """Locks a folder while a file in it is changed; waits while another process has it locked.

    Where the file system has no locks, a lock file named `fallback` in the folder is used instead.
    """
    with ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            while True:
                try:
                    stack.enter_context(driver_lock(folder / fallback))
                    break
                except StudyInUse:
                    time.sleep(_POLL_SECONDS)
        yield


def _acquire(path: Path, say: Callable[[str], None]) -> tuple[IO[str], Driver | None]:
    """Opens and locks the file; returns it and the dead driver that it named."""
    dead = owner = None
    for _ in range(_MAX_TRIES):
        with ExitStack() as stack:
            file, is_new = _open(path)
            stack.enter_context(file)
            locked, owner = _try_lock(file, fcntl.LOCK_EX), _read(file)
            if locked is False:
                time.sleep(0.1)  # `current_driver` has it for a moment
                continue
            if not is_new:
                dead = owner
                if _needs_watching(locked, owner):
                    who = owner or "another process"
                    seconds = _MAX_SILENCE_SECONDS
                    say(f"{path}: left by {who}; watching for up to {seconds:.0f} s whether that still runs")
                    if _is_alive(path, seconds):
                        break
                    _remove(path, file)
                    continue
            if _is_at(path, file):  # else its holder has just removed it
                stack.pop_all()
                if locked is None:
                    say(
                        f"{path.parent}: its file system has no locks; the heartbeat in {path.name} stands in"
                    )
                return file, dead
    raise StudyInUse(
        f"{path.parent}: is being run by {owner or 'another process'}, which holds {path.name}; stop it "
        "first, or wait for its end"
    )


def _open(path: Path) -> tuple[IO[str], bool]:
    """Opens the file; returns it and whether this process created it, which only one process can."""
    try:
        try:
            return open(path, "x+", opener=_opener), True
        except FileExistsError:
            with suppress(FileNotFoundError):  # its holder has just removed it
                return open(path, "r+", opener=_opener), False
            return _open(path)
    except OSError as error:
        if error.errno in _NO_LOCK_FILE:
            raise StudyFolderError(f"{path}: is no lock file, but a link or a pipe; remove it") from None
        if error.errno in _UNWRITABLE:
            raise StudyFolderError(
                f"{path.parent}: cannot be written ({error.strerror}); run a copy, or choose another folder"
            ) from None
        raise


def _remove(path: Path, file: IO[str]) -> None:
    """Removes a dead driver's file, unless another process has put its own in its place by now."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with suppress(FileNotFoundError):  # another process has removed it
        path.rename(aside)
        if not _is_at(aside, file):
            os.link(aside, path)
        aside.unlink()


def _opener(path: str, flags: int) -> int:
    """Opens regular files only: behind a link another file would be overwritten, and a pipe never answers."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", path)


def _try_lock(file: IO[str], kind: int) -> bool | None:
    """Whether the file is locked now; None on a file system without locks (`ENOSYS`, `ENOLCK` and others)."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _LOCKED else None
    return True


def _needs_watching(locked: bool | None, owner: Driver | None) -> bool:
    """Whether only the heartbeat shows if a driver is alive: its lock may be invisible on this machine."""
    return locked is None or (owner is not None and owner.host != socket.gethostname())


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write(file: IO[str]) -> None:
    file.seek(0)
    file.truncate()
    json.dump(asdict(Driver(socket.gethostname(), os.getpid(), time.time())), file)
    file.flush()


def _read(file: IO[str]) -> Driver | None:
    file.seek(0)
    try:
        owner = Driver(**json.loads(file.read(_MAX_FILE_BYTES)))
    except (ValueError, TypeError, RecursionError):
        return None
    valid = isinstance(owner.host, str) and type(owner.pid) is int and isinstance(owner.since, int | float)
    return owner if valid and 0 <= owner.since < _MAX_UNIX_TIME else None


def _is_alive(path: Path, seconds: float) -> bool:
    """Whether a file is touched while it is watched for these seconds; false as soon as it is gone."""
    end, first = time.monotonic() + seconds, _file_stamp(path)
    while first and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        if (stamp := _file_stamp(path)) != first:
            return stamp is not None
    return False


def _file_stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is touched or replaced; None where it is gone."""
    try:
        with open(path, opener=_opener) as file:  # over a network only opening asks the server
            status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _send_heartbeats(descriptor: int, stop: threading.Event) -> None:
    while not stop.wait(_HEARTBEAT_SECONDS):
        try:
            os.utime(descriptor)
        except OSError:  # a full or missing folder is reported by other writers
            continue
