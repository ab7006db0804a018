"""The Ray cluster that a launch runs on, its slots for trials, and the loss of its head."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray._private import utils as ray_utils
from ray.tune.tune import air_usage as ray_usage  # type: ignore[attr-defined]

from sa_study.study.config import StudyConfig
from sa_study.tuning.launch.address import join_address, unset_empty_variables
from sa_study.tuning.launch.interrupts import deferred_interrupts, require_main_thread, stop_on_sigterm
from sa_study.tuning.launch.local_ray import NO_WORKERS, FirstWorkers, Session, local_ray, replaced
from sa_study.utils.errors import ConfigError
from sa_study.utils.files import PACKAGE_ROOT
from sa_study.utils.machine import usable_cpus

WORKER_MODULES = ("ray.tune", "torch")
"""What a worker imports before it has a trial; none asks for GPUs, of which it will get its own."""

_ROUNDING = 1e-9  # 1 / 0.1 is a little less than 10 in floating point

_SECONDS_BETWEEN_CHECKS = 1.0
_MAX_FAILURES_IN_A_ROW = 5
_CONNECT_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Slots:
    """The resources of a trial, and how many trials run at a time.

    Attributes:
        cpus: CPU cores of a trial.
        gpus: GPUs of a trial.
        concurrent: Maximum number of trials at a time.
    """

    cpus: float
    gpus: float
    concurrent: int


@contextmanager
def connect(address: str | None, workers: FirstWorkers = NO_WORKERS) -> Iterator[Session | None]:
    """Starts Ray on this machine, or joins a running cluster; leaves it at the end.

    Args:
        address: `auto` or `HOST:PORT`, or None for this machine alone, whatever else runs on it.
        workers: Workers that start with Ray on this machine; a running cluster starts its own.

    Yields:
        The session on this machine; None on a joined cluster.

    Raises:
        StudyError: As `local_ray` or `join_address`; or this process is connected to Ray already, or this is
            not its main thread, which alone hears of Ctrl-C.
    """
    if ray.is_initialized():
        raise ConfigError("this process is connected to Ray already; call ray.shutdown() first")
    require_main_thread()
    unset_empty_variables()
    # Read by Ray when it starts; usage statistics would be on without the first.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # Else Ray starts one worker after the other; the search suggests no more trials than there are slots.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial has its line, and its error.txt
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with ExitStack() as at_end:
        # For its usage statistics, which are off, Ray would import every tracker that is installed.
        at_end.enter_context(replaced(ray_usage, "tag_callbacks", lambda callbacks: False))
        # Ray's own handler would end this process at once.
        at_end.enter_context(replaced(ray_utils, "set_sigterm_handler", lambda handler: None))
        stop_on_sigterm()
        if address is None:
            yield at_end.enter_context(local_ray(options, workers))
        else:
            at_end.callback(ray.shutdown)
            _join(address, options)
            yield None


def _join(address: str, options: dict[str, Any]) -> None:
    found = join_address(address)
    # Other machines have no copy of the code.
    code = {"py_modules": [str(PACKAGE_ROOT)], "excludes": ["__pycache__"]}
    try:
        with deferred_interrupts():
            ray.init(address=found, runtime_env=code, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--address {address}: the cluster could not be joined ({reason[:200]})") from None


def capacity(cpus: float, gpus: float) -> int:
    """How many trials that need these CPU cores and GPUs each the connected cluster holds, busy or not."""
    return sum(_trials_that_fit(node, cpus, gpus) for node in _resources_of_nodes())


def slots_now(config: StudyConfig, cpus: float, gpus: float) -> int:
    """How many of the study's trials may run at a time while the cluster is as it is now."""
    if config.address and config.max_concurrent:
        return config.max_concurrent  # trials that wait make an autoscaling cluster grow
    fit = capacity(cpus, gpus)
    return min(config.max_concurrent or fit, fit)


def divide_into_slots(config: StudyConfig) -> Slots:
    """Divides the connected cluster into slots for trials.

    Raises:
        ConfigError: A trial asks for more than any one machine has.
    """
    most = {kind: most_of_one_node(kind) for kind in ("CPU", "GPU")}
    cpus = config.cpus_per_trial or 1.0  # decided by now, but in a study.yaml that was edited
    gpus = gpus_of_trial(config)
    slots = Slots(cpus, gpus, slots_now(config, cpus, gpus))
    if config.address and config.max_concurrent:
        return slots
    growing = "; one that grows on demand needs --max-concurrent" if config.address else ""
    for option, kind, want in (("cpus", "CPU", cpus), ("gpus", "GPU", gpus)):
        if want > most[kind]:
            raise ConfigError(
                f"--{option}-per-trial: {want:g} asked, but only {most[kind]:g} may be used on one machine"
                f"{growing}"
            )
    if not slots.concurrent:
        raise ConfigError(f"--cpus-per-trial {cpus:g}: no one machine has these beside {gpus:g} GPUs")
    return slots


def first_workers(config: StudyConfig, trials: int) -> FirstWorkers:
    """The workers that the first of so many trials take on this machine; Ray need not run yet.

    None where measurements are to decide how many trials run at a time.
    """
    gpus_here = torch.cuda.device_count()
    gpus = float(gpus_here > 0) if config.gpus_per_trial is None else config.gpus_per_trial
    if config.cpus_per_trial is None and not gpus:
        return NO_WORKERS
    cpus = config.cpus_per_trial or 1.0
    machine: dict[str, float] = {"CPU": usable_cpus(), "GPU": gpus_here}
    slots = _trials_that_fit(machine, cpus, gpus)
    return FirstWorkers(min(slots, trials, config.max_concurrent or slots), WORKER_MODULES, math.ceil(cpus))


def gpus_of_trial(config: StudyConfig) -> float:
    """GPUs of a trial: what the study says, or one where a machine of the connected cluster has any."""
    return float(most_of_one_node("GPU") > 0) if config.gpus_per_trial is None else config.gpus_per_trial


def cpus_beside_gpus(config: StudyConfig) -> int:
    """The CPU cores that every trial gets if a machine's are shared among as many as its GPUs allow."""
    gpus, most_trials = gpus_of_trial(config), config.max_concurrent or math.inf
    fit = [(node.get("CPU", 0.0), _trials_on_gpus(node, gpus)) for node in _resources_of_nodes()]
    shares = [cpus // min(trials, most_trials) for cpus, trials in fit if trials]
    return max(1, int(min(shares, default=1)))


def most_of_one_node(kind: str) -> float:
    """The most of a resource, `CPU` or `GPU`, that a machine of the connected cluster has."""
    return max((node.get(kind, 0.0) for node in _resources_of_nodes()), default=0.0)


def _resources_of_nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _trials_that_fit(node: dict[str, float], cpus: float, gpus: float) -> int:
    """How many trials a machine holds; one that uses a part of a GPU uses a part of a single one."""
    by_cpus = math.floor(node.get("CPU", 0.0) / cpus + _ROUNDING)
    return min(by_cpus, _trials_on_gpus(node, gpus)) if gpus else by_cpus


def _trials_on_gpus(node: dict[str, float], gpus: float) -> int:
    available = node.get("GPU", 0.0)
    return int(available) * math.floor(1 / gpus + _ROUNDING) if gpus <= 1 else int(available // gpus)


@contextmanager
def exit_when_head_is_lost(
    study: Path, report_failure: Callable[[str], None], *, local: bool = False
) -> Iterator[None]:
    """Ends the process with exit code 1 within seconds of the loss of the connected cluster's head.

    Ray's own client waits for a minute, in which Ctrl-C does nothing, and then ends the process with a
    message of its own. A study is kept whole by its database, so nothing is lost by ending it at once.

    Args:
        study: Folder of the study that runs.
        report_failure: Called with the reason, in a thread of its own, before the process ends.
        local: Whether this process has started the cluster.
    """
    address = ray.get_runtime_context().gcs_address
    finished = threading.Event()

    def watch() -> None:
        failures = 0
        while not finished.wait(_SECONDS_BETWEEN_CHECKS):
            failures = 0 if _listens(address) else failures + 1
            if failures == _MAX_FAILURES_IN_A_ROW:
                reason = f"the Ray cluster's head at {address} is gone; start the cluster again, then"
                if local:
                    reason = "Ray, which this command had started, was ended from outside; go on with"
                report_failure(f"{reason} 'resume --study {study}': each trial goes on from its last epoch")
                sys.stdout.flush()
                os._exit(1)  # the main thread may be inside Ray's client, which answers no signal

    thread = threading.Thread(target=watch, name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _listens(address: str) -> bool:
    """Whether a connection is accepted, as also by a process that is only busy."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False
