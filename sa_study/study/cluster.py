"""The Ray cluster that a launch runs on: this machine, or one that is already up."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from sa_study.errors import ConfigError
from sa_study.study.config import StudyConfig

PACKAGE = Path(__file__).resolve().parent.parent


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
def connect(address: str | None) -> Iterator[None]:
    """Starts Ray on this machine, or joins a running cluster; leaves it at the end.

    Raises:
        ConfigError: No cluster answers at the address.
    """
    # Read by Ray when it starts; usage statistics would be on without the first.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial has its line, and its error.txt
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Other machines have no copy of the code.
            runtime_env={"py_modules": [str(PACKAGE)]} if address else None,
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if address is None:
            raise
        reason = " ".join(str(error).split())
        raise ConfigError(f"--address {address}: no Ray cluster could be joined ({reason[:200]})") from None
    try:
        yield
    finally:
        ray.shutdown()


def slots(config: StudyConfig) -> Slots:
    """Divides the connected cluster into slots for trials.

    Raises:
        ConfigError: A trial asks for more than any machine has.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = {kind: max(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    gpus = float(most["GPU"] > 0) if config.gpus_per_trial is None else config.gpus_per_trial
    for option, kind, want in (("cpus", "CPU", config.cpus_per_trial), ("gpus", "GPU", gpus)):
        if want > most[kind]:
            raise ConfigError(f"--{option}-per-trial: {want:g} asked, but a machine has {most[kind]:g}")
    fit = sum(_fit(node, config.cpus_per_trial, gpus) for node in nodes)
    if not fit:
        raise ConfigError(
            f"--cpus-per-trial {config.cpus_per_trial:g}: no one machine has these beside {gpus:g} GPUs"
        )
    return Slots(config.cpus_per_trial, gpus, min(config.max_concurrent or fit, fit))


def capacity(cpus: float, gpus: float) -> int:
    """How many trials the machines that are alive hold now."""
    return sum(_fit(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"])


def _fit(node: dict[str, float], cpus: float, gpus: float) -> int:
    """How many trials a machine holds; those that share a GPU share one."""
    by_cpus = math.floor(node.get("CPU", 0.0) / cpus + _ROUNDING)
    if not gpus:
        return by_cpus
    there = node.get("GPU", 0.0)
    a_gpu = math.floor(1 / gpus + _ROUNDING)
    return min(by_cpus, int(there) * a_gpu if gpus <= 1 else int(there // gpus))
