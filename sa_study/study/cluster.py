"""The Ray cluster that a launch runs on: this machine, or one that is already up."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from sa_study.errors import ConfigError
from sa_study.study.config import StudyConfig

PACKAGE = Path(__file__).resolve().parent.parent


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
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Other machines have no copy of the code.
            runtime_env={"py_modules": [str(PACKAGE)]} if address else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
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
        ConfigError: A trial asks for more than there is.
    """
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    wanted = config.gpus_per_trial if config.gpus_per_trial is not None else float(gpus > 0)
    for option, want, have in (("cpus", config.cpus_per_trial, cpus), ("gpus", wanted, gpus)):
        if want > have:
            raise ConfigError(f"--{option}-per-trial: {want:g} asked, but there are {have:g} in all")
    fit = int(min(cpus // config.cpus_per_trial, gpus // wanted if wanted else cpus))
    return Slots(config.cpus_per_trial, wanted, min(config.max_concurrent or fit, max(fit, 1)))
