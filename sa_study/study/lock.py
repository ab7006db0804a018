"""One driver a study: a lock that says who holds it, since when, and that a dead driver does not keep."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sa_study.errors import StudyFolderError

_HEARTBEAT = 20.0
_SILENCE = 120.0
"""Seconds after which the driver of another machine counts as dead."""

_TRIES = 5
_NO_LOCK = {errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR}
_LONGEST = 4096
_FAR = 1e11
"""No driver begins so many seconds after 1970."""


@dataclass(frozen=True)
class Owner:
    """A driver that holds a study, or held it.

    Attributes:
        host: Its machine.
        pid: Its process there.
        since: When it began, in seconds since 1970.
    """

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.time() - self.since), 60)
        hours, minutes = divmod(minutes, 60)
        age = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
        return f"process {self.pid} on {self.host}, begun {age} ago"


@contextmanager
def driver_lock(path: Path) -> Iterator[Owner | None]:
    """Holds a study for this process.

    The operating system frees the lock of a process that died. Where a shared folder's locks do not reach
    other machines, the lock's age tells: its holder touches the file every 20 s.

    Args:
        path: The lock file, which is there while a driver lives, or has died.

    Yields:
        The driver that died with the lock in its hands, or None.

    Raises:
        StudyFolderError: Another driver holds it.
    """
    file = _lock(path)
    with file:
        dead = _take(file, path)
        stop = threading.Event()
        thread = threading.Thread(target=_beat, args=(path, stop), daemon=True)
        thread.start()
        try:
            yield dead
        finally:
            stop.set()
            thread.join()
            path.unlink(missing_ok=True)


def holder(path: Path) -> Owner | None:
    """The driver that holds a study now, or None; writes nothing."""
    try:
        with open(path, opener=_opener) as file:
            owner = _read(file)
            if owner is None:
                return None
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return owner
            return owner if _beats_elsewhere(owner, path) else None
    except OSError:
        return None


def _lock(path: Path) -> IO[str]:
    """Opens and locks the file."""
    for _ in range(_TRIES):
        try:
            file = open(path, "a+", opener=_opener)  # noqa: SIM115 (the caller closes it)
        except OSError as error:
            if error.errno in _NO_LOCK:
                raise StudyFolderError(f"{path}: is no lock file, but a link or a pipe; remove it") from None
            raise
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except OSError:
            time.sleep(0.1)  # `holder` has it for a moment
        owner = _read(file)
        file.close()  # the last holder has just removed it
    raise _held(path, owner)


def _opener(path: str, flags: int) -> int:
    """Opens a file, and nothing else: what a link points to would be overwritten, a pipe never answers."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", path)


def _take(file: IO[str], path: Path) -> Owner | None:
    """Writes this process into the locked file; returns who stood there."""
    owner = _read(file)
    if owner and _beats_elsewhere(owner, path):
        raise _held(path, owner)
    file.truncate(0)
    json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, file)
    file.flush()
    return owner


def _held(path: Path, owner: Owner | None) -> StudyFolderError:
    who = str(owner) if owner else "another process"
    return StudyFolderError(f"{path.parent}: is being run by {who}; stop it first, or wait for its end")


def _read(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        owner = Owner(**json.loads(file.read(_LONGEST)))
    except (ValueError, TypeError, RecursionError):
        return None
    sound = isinstance(owner.host, str) and type(owner.pid) is int and isinstance(owner.since, int | float)
    return owner if sound and 0 <= owner.since < _FAR else None


def _beats_elsewhere(owner: Owner, path: Path) -> bool:
    return owner.host != socket.gethostname() and time.time() - path.stat().st_mtime < _SILENCE


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(_HEARTBEAT):
        try:
            os.utime(path)
        except OSError:  # a full or vanished folder is the study's trouble, not the lock's
            continue
