"""Ray on this machine alone: kept within the process's limits, closed to others, and without leftovers."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import node, parameter, ray_constants, services
from ray._private.utils import resolve_object_store_memory
from ray.tune.execution import class_cache

from sa_study.tuning.launch.address import AUTH_VARIABLES, reload_authentication
from sa_study.tuning.launch.interrupts import deferred_interrupts
from sa_study.utils.errors import ConfigError, RunFailed, StudyFolderError
from sa_study.utils.files import temporary_folder
from sa_study.utils.machine import memory_limit, usable_cpus

SESSION_BYTES = 10_000_000
"""Bytes that a session's files may take: under one megabyte for a few trials, more where logs grow."""

_START_TIMEOUT_SECONDS = 120
"""Time that a part of Ray may take to start, on a machine that is busy with other work."""

_PREFIX = "ray_"
_SOCKET = f"{_PREFIX}12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket that Ray makes below the parent of its sessions; it holds a process id."""

_MAX_SOCKET_BYTES = 103
"""Length that macOS allows for the path of a Unix socket; Linux allows 107."""

_SHORT_PARENTS = ("/tmp", "/var/tmp", "/dev/shm")

_CLEANING_ATTEMPTS = 20


@dataclass(frozen=True)
class Session:
    """Ray on this machine, for one launch.

    Attributes:
        folder: Temporary folder of Ray's own files, readable by this user alone.
    """

    folder: Path


@dataclass(frozen=True)
class FirstWorkers:
    """Worker processes that start with Ray, so that the first trials find them ready.

    Attributes:
        count: How many.
        modules: Names of the modules that these workers, and later ones, import when they start.
        threads: Threads that BLAS and OpenMP may use in them, where `OMP_NUM_THREADS` does not say.
    """

    count: int = 0
    modules: tuple[str, ...] = ()
    threads: int = 1


NO_WORKERS = FirstWorkers()


@contextmanager
def local_ray(options: dict[str, Any], workers: FirstWorkers) -> Iterator[Session]:
    """Runs Ray on this machine, and removes its files at the end, also those that killed processes left.

    Args:
        options: More arguments of `ray.init`.
        workers: The workers that start with it.

    Raises:
        RunFailed: Ray did not start, tried twice.
        StudyError: As `session_folder`.
    """
    with session_folder() as session, _closed_to_others(), _one_environment():
        try:
            _start(session, options, workers)
            yield session
        finally:
            ray.shutdown()


@contextmanager
def session_folder() -> Iterator[Session]:
    """Makes the folder of a session, and removes it at the end, although processes may still write into it.

    Raises:
        ConfigError: No folder can hold Ray's sockets.
        StudyFolderError: The folder for temporary files is full.
    """
    parent = session_parent()
    if (free := shutil.disk_usage(parent).free) < SESSION_BYTES:
        raise StudyFolderError(
            f"{parent}: is full ({free / 1e6:.1f} MB free), and Ray keeps its own files there; make room, or "
            "set TMPDIR to another folder"
        )
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        yield Session(folder)
    finally:
        for _ in range(_CLEANING_ATTEMPTS):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.1)


def session_parent() -> Path:
    """The folder in which the folder of Ray's session is made: the usual one for temporary files.

    A shorter one where the paths of Ray's sockets would be longer than the system allows, as with the deep
    `TMPDIR` of many batch systems.

    Raises:
        ConfigError: The usual one is too long, and no shorter one is writable.
    """
    usual = [Path(os.environ.get("RAY_TMPDIR") or temporary_folder()).absolute(), temporary_folder()]
    for parent in (*usual, *map(Path, _SHORT_PARENTS)):
        if len(os.fsencode(parent / _SOCKET)) <= _MAX_SOCKET_BYTES and _is_writable(parent):
            return parent
    raise ConfigError(
        f"TMPDIR={usual[0]}: too long a path for Ray's sockets, and none of {', '.join(_SHORT_PARENTS)} can "
        f"be written; set TMPDIR to a folder of at most {_MAX_SOCKET_BYTES - len(_SOCKET) - 1} characters"
    )


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


@contextmanager
def _closed_to_others() -> Iterator[None]:
    """Makes Ray listen on the loopback alone, to processes with a token that no file holds.

    By default it listens on every interface, and leaves its token readable to all in the home directory.
    The environment's own authentication is meant for other clusters: it is restored at the end.
    """
    before = {name: os.environ.pop(name, None) for name in AUTH_VARIABLES}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # read by the workers, when they import Ray
    ray_constants.ENABLE_RAY_CLUSTER = False  # the same for this process, which has imported it
    reload_authentication()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        reload_authentication()


@contextmanager
def _one_environment() -> Iterator[None]:
    """Has Tune set no variables of its own for trials: only then do trials take workers that run already.

    The variables are for other libraries, or this process's own, which its workers inherit.
    """
    with (
        replaced(class_cache, "DEFAULT_ENV_VARS", {}),
        replaced(class_cache, "ENV_VARS_TO_PROPAGATE", ()),
    ):
        yield


def _start(session: Session, options: dict[str, Any], workers: FirstWorkers) -> None:
    """Starts Ray; a start that timed out is tried once more."""
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(_START_TIMEOUT_SECONDS))
    options = {**options, **_limits(), "include_dashboard": False, "_temp_dir": str(session.folder)}
    for last in (False, True):
        options["_system_config"] = {"preload_python_modules": list(workers.modules)}  # Ray adds to it
        try:
            with _needed_services(), _starting(workers), deferred_interrupts():
                ray.init(address="local", **options)
            return
        except Exception as error:  # Ray's wait of 30 s, which nothing sets, ends in a bare Exception
            if "timed out" not in str(error):
                raise
            ray.shutdown()
            if last:
                reason = str(error).splitlines()[0].rstrip(".")
                failure = f"Ray did not start on this machine, tried twice ({reason})"
                raise RunFailed(f"{failure}; try again when it is less busy") from error


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Gives one of Ray's modules or classes another attribute for a while, where Ray has no option."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _needed_services() -> Iterator[None]:
    """Has Ray start no autoscaler, log monitor or dashboard, for which a single machine has no use."""
    unneeded: dict[str, Any] = {"no_monitor": True, "include_log_monitor": False}
    with (
        replaced(parameter, "RayParams", partial(parameter.RayParams, **unneeded)),
        replaced(node.Node, "start_api_server", lambda started, **options: None),
    ):
        yield


@contextmanager
def _starting(workers: FirstWorkers) -> Iterator[None]:
    """Has Ray start these workers at once, instead of one for each CPU core."""
    option, start_process = "--num_prestart_python_workers=", services.start_ray_process

    def start(command: list[str], *arguments: Any, **named: Any) -> Any:
        if any(part.startswith(option) for part in command):  # the raylet's; workers inherit its environment
            command = [f"{option}{workers.count}" if part.startswith(option) else part for part in command]
            if workers.count and "OMP_NUM_THREADS" not in os.environ:
                # Ray sets it for a trial, but the modules that are imported before read it.
                threads = {"OMP_NUM_THREADS": str(workers.threads)}
                named["env_updates"] = {**(named.get("env_updates") or {}), **threads}
        return start_process(command, *arguments, **named)

    with replaced(services, "start_ray_process", start):
        yield


def _limits() -> dict[str, Any]:
    """The CPUs and memory that Ray may use; itself it heeds neither affinity nor a nested group's limits."""
    store = None
    if limit := memory_limit():
        store = max(resolve_object_store_memory(limit), ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES)
    return {"num_cpus": usable_cpus(), "object_store_memory": store}
