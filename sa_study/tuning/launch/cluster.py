"""The Ray cluster that a launch runs on: this machine, or one that is already up."""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.utils import resolve_object_store_memory

from sa_study.study.config import StudyConfig
from sa_study.tuning.launch.address import (
    AUTH_VARIABLES,
    join_address,
    reload_authentication,
    unset_empty_variables,
)
from sa_study.tuning.launch.session import Session, session_folders
from sa_study.utils.errors import ConfigError, RunFailed
from sa_study.utils.machine import memory_limit, usable_cpus
from sa_study.utils.paths import PACKAGE_ROOT

_PATIENCE = 120
"""Seconds that a part of Ray may take to start, on a machine that is busy with other work."""

_ROUNDING = 1e-9  # 1 / 0.1 is a little less than 10 in floating point


@dataclass(frozen=True)
class Slots:
    """What a trial is given, and how many run at a time.

    Attributes:
        cpus: CPU cores a trial.
        gpus: GPUs a trial.
        concurrent: Most trials at a time.
    """

    cpus: float
    gpus: float
    concurrent: int


@contextmanager
def connect(address: str | None) -> Iterator[Session | None]:
    """Starts Ray on this machine, or joins a running cluster; leaves it at the end.

    Args:
        address: `auto` or `HOST:PORT`, or None for this machine alone, whatever else runs on it.

    Yields:
        The launch's folders on this machine, which are removed at the end; None on a joined cluster.

    Raises:
        ConfigError: No cluster answers at the address, or it does not take this driver.
        StudyFolderError: The folder for temporary files is full.
    """
    unset_empty_variables()
    # Read by Ray when it starts; usage statistics would be on without the first.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # Else Ray starts one worker after the other; the search gives out no more trials than there are slots.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial has its line, and its error.txt
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with ExitStack() as at_end:
        session = None
        _stop_on_sigterm()
        with _interrupts_kept():
            if address is None:
                session = at_end.enter_context(session_folders())
                at_end.enter_context(_kept_to_this_machine())
                at_end.callback(ray.shutdown)
                _start(session, options)
            else:
                at_end.callback(ray.shutdown)
                _join(address, options)
        _stop_on_sigterm()  # Ray has set its own answer
        yield session


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Has Ctrl-C and SIGTERM end what is done here although the exception that they raise is lost.

    Ray starts processes, and Python ignores what is raised in the hooks of a fork; and Ray answers SIGTERM
    by a handler of its own. So the signals themselves are read back.

    Raises:
        KeyboardInterrupt: One came, and nothing came of it.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    came = b""
    try:
        yield
        with suppress(BlockingIOError):
            came = os.read(reading, 1000)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
    if {signal.SIGINT, signal.SIGTERM}.intersection(came):
        raise KeyboardInterrupt


def _start(session: Session, options: dict[str, Any]) -> None:
    """Starts a Ray of our own.

    Raises:
        RunFailed: It does not start, a second time neither.
    """
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", str(_PATIENCE))
    for attempts_left in (1, 0):
        try:
            ray.init(
                address="local", include_dashboard=False, _temp_dir=str(session.folder), **_size(), **options
            )
            return
        except Exception as error:  # Ray's wait of 30 s, which nothing sets, ends in a bare Exception
            if "timed out" not in str(error):  # such as what becomes of Ctrl-C in Ray's client
                raise
            ray.shutdown()
            if not attempts_left:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise RunFailed(
                    f"Ray did not start on this machine, tried twice ({reason.rstrip('.')}); "
                    "try again when it is less busy"
                ) from error


def _stop_on_sigterm() -> None:
    # Slurm and Kubernetes end a job so; Tune stops in order on Ctrl-C alone.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@contextmanager
def _kept_to_this_machine() -> Iterator[None]:
    """Makes Ray listen on the loopback alone, to processes with a token that no file holds.

    By default it listens on every interface, and leaves its token readable to all in the home directory.
    What the environment says of authentication is meant for other clusters: it is put back at the end.
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


def _size() -> dict[str, Any]:
    """What a Ray of our own may use; by itself it sees neither affinity nor the limits of a nested group."""
    store = None
    if limit := memory_limit():
        least = ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES
        store = max(resolve_object_store_memory(limit), least)
    return {"num_cpus": usable_cpus(), "object_store_memory": store}


def _join(address: str, options: dict[str, Any]) -> None:
    found = join_address(address)
    # Other machines have no copy of the code.
    code = {"py_modules": [str(PACKAGE_ROOT)], "excludes": ["__pycache__"]}
    try:
        ray.init(address=found, runtime_env=code, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--address {address}: the cluster could not be joined ({reason[:200]})") from None


def capacity(cpus: float, gpus: float) -> int:
    """How many trials of this size the connected cluster's living nodes hold, busy or not.

    Args:
        cpus: CPU cores a trial.
        gpus: GPUs a trial.
    """
    return sum(_fit(node, cpus, gpus) for node in _nodes())


def slots(config: StudyConfig) -> Slots:
    """Divides the connected cluster into slots for trials.

    On a joined cluster `max_concurrent` is taken as it is: trials that wait for a node make it grow.

    Raises:
        ConfigError: A trial asks for more than may be used on any machine.
    """
    most = {kind: max((node.get(kind, 0.0) for node in _nodes()), default=0.0) for kind in ("CPU", "GPU")}
    cpus = config.cpus_per_trial
    gpus = float(most["GPU"] > 0) if config.gpus_per_trial is None else config.gpus_per_trial
    if config.address and config.max_concurrent:
        return Slots(cpus, gpus, config.max_concurrent)
    growing = "; one that grows on demand needs --max-concurrent" if config.address else ""
    for option, kind, want in (("cpus", "CPU", cpus), ("gpus", "GPU", gpus)):
        if want > most[kind]:
            raise ConfigError(
                f"--{option}-per-trial: {want:g} asked, but only {most[kind]:g} may be used on one machine"
                f"{growing}"
            )
    fit = capacity(cpus, gpus)
    if not fit:
        raise ConfigError(f"--cpus-per-trial {cpus:g}: no one machine has these beside {gpus:g} GPUs")
    return Slots(cpus, gpus, min(config.max_concurrent or fit, fit))


def _nodes() -> list[dict[str, float]]:
    """What each living node has, busy or not."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fit(node: dict[str, float], cpus: float, gpus: float) -> int:
    """How many trials a machine holds; those that share a GPU share one."""
    by_cpus = math.floor(node.get("CPU", 0.0) / cpus + _ROUNDING)
    if not gpus:
        return by_cpus
    there = node.get("GPU", 0.0)
    a_gpu = math.floor(1 / gpus + _ROUNDING)
    return min(by_cpus, int(there) * a_gpu if gpus <= 1 else int(there // gpus))
