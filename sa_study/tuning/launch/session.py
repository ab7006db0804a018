"""Folders for what a launch on this machine needs until it ends: Ray's own files, and checkpoints."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from sa_study.utils.errors import ConfigError, StudyFolderError
from sa_study.utils.files import temporary_folder

SESSION_SIZE = 10_000_000
"""Bytes that a session's files may come to: under one megabyte for a few trials, more where logs grow."""

_PREFIX = "ray_"
_SOCKET = f"{_PREFIX}12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket that Ray makes below the place of its sessions; it holds a process id."""

_LONGEST_SOCKET = 103
"""Bytes that macOS allows for the path of a Unix socket; Linux allows 107."""

_SHARED_MEMORY = Path("/dev/shm")
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")

_CLEANING_ATTEMPTS = 20


@dataclass(frozen=True)
class Session:
    """Folders of a launch on this machine, readable by this user alone.

    Attributes:
        folder: Of Ray's own files.
        checkpoints: Of trials' checkpoints until they are copied to their storage.
    """

    folder: Path
    checkpoints: Path


@contextmanager
def session_folders() -> Iterator[Session]:
    """Makes the folders of a session of Ray, and removes them at the end with all that killed processes left.

    Raises:
        ConfigError: There is no folder that would do.
        StudyFolderError: The one for temporary files is full.
    """
    place = session_place()
    if (free := shutil.disk_usage(place).free) < SESSION_SIZE:
        raise StudyFolderError(
            f"{place}: is full ({free / 1e6:.1f} MB free), and Ray keeps its own files there; make room, or "
            "set TMPDIR to another folder"
        )
    with _folder(_PREFIX, place) as folder, _folder("checkpoints_", temporary_folder()) as checkpoints:
        yield Session(folder, checkpoints)


@contextmanager
def _folder(prefix: str, place: Path) -> Iterator[Path]:
    """A new folder, removed at the end although processes that are about to end may still write into it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield folder
    finally:
        for _ in range(_CLEANING_ATTEMPTS):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.1)


def session_place() -> Path:
    """The folder in which Ray's session on this machine is made.

    This is the usual one for temporary files (`RAY_TMPDIR`, `TMPDIR`), or a shorter one where the paths of
    Ray's sockets would be longer than the system allows, as with the deep `TMPDIR` of many batch systems.

    Raises:
        ConfigError: The usual one is too long, and no shorter one can be written.
    """
    usual = [Path(os.environ.get("RAY_TMPDIR") or temporary_folder()).absolute(), temporary_folder()]
    for place in (*usual, *map(Path, _SHORT_PLACES)):
        if len(os.fsencode(place / _SOCKET)) <= _LONGEST_SOCKET and _is_writable(place):
            return place
    most = _LONGEST_SOCKET - len(_SOCKET) - 1
    raise ConfigError(
        f"TMPDIR={usual[0]}: too long a path for Ray's sockets, and none of {', '.join(_SHORT_PLACES)} can "
        f"be written; set TMPDIR to a folder of at most {most} characters"
    )


def bytes_on_disk(objects: int) -> int:
    """Bytes of processes' shared objects that the connected session keeps in its folder, not in memory.

    Args:
        objects: Bytes of all objects.
    """
    capacity = ray.cluster_resources().get("object_store_memory", 0)
    # Of shared memory that is smaller than the store may grow, Ray makes no use: the store is a file there.
    in_memory = _SHARED_MEMORY.is_dir() and capacity <= shutil.disk_usage(_SHARED_MEMORY).free
    return 0 if in_memory and objects <= capacity else objects


def _is_writable(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
