"""`--cpus-per-trial auto`: many trials of one CPU core each, or fewer of several?

Measured by real training steps of the baseline, as many trials side by side as would run: a trial that is
measured alone hides that trials share caches and memory.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import ray
import torch

from sa_study.data.store import TrainingData
from sa_study.settings.run import Settings
from sa_study.study.config import StudyConfig
from sa_study.training.precision import float32_products
from sa_study.training.trainer import Trainer
from sa_study.tuning.launch.cluster import cpus_beside_gpus, gpus_of_trial, most_of_one_node
from sa_study.tuning.plan.probe import probe_settings
from sa_study.utils.errors import ConfigError, one_line

_ROUNDS = 2
"""Measured rounds of each number of cores, after one that warms up; the faster counts."""

_ROUND_SECONDS = 0.5
"""About so long a round takes at least: of a small network it has several steps."""

_AS_GOOD = 0.95
"""Share of the best rate from which fewer trials are preferred: they need less memory, and the search knows
more trials when it suggests the next."""

_HOPELESS = 0.7
"""Share of the best rate below which trials of yet more cores are not measured."""


class Rate(NamedTuple):
    """How fast trials train side by side.

    Attributes:
        cpus: CPU cores of each trial.
        trials: Trials at a time.
        images_per_second: Of all trials together.
    """

    cpus: int
    trials: int
    images_per_second: float


def decide_cpus_per_trial(config: StudyConfig, data: TrainingData, say: Callable[[str], None]) -> StudyConfig:
    """Decides the CPU cores of a trial if the study leaves them open; needs a connection to Ray.

    A trial with GPUs gets its share of its machine's cores; on a joined cluster without GPUs, whose machines
    may differ, a trial gets one. Only trials on this machine's CPU are measured.

    Args:
        config: The study that is asked for.
        data: What a trial would get.
        say: Told that it is measured, and what was decided and why.

    Raises:
        ConfigError: A trial that is measured ends by an error.
    """
    if config.cpus_per_trial is not None:
        return config
    if gpus_of_trial(config):
        cpus = cpus_beside_gpus(config)
        reason = "a machine's cores, shared among the trials that its GPUs hold"
    elif config.address:
        cpus, reason = 1, "without GPUs, a cluster's trials get one core each"
    else:
        say("--cpus-per-trial auto: measuring trials side by side…")
        rates = _measure(config, data, int(most_of_one_node("CPU")))
        cpus = choose(rates).cpus
        reason = ", ".join(map(_described, rates))
    say(f"--cpus-per-trial auto: {cpus} ({reason})")
    return dataclasses.replace(config, cpus_per_trial=float(cpus))


def choose(rates: Sequence[Rate]) -> Rate:
    """The fewest trials at a time whose rate is about the best."""
    best = max(rate.images_per_second for rate in rates)
    good = [rate for rate in rates if rate.images_per_second >= _AS_GOOD * best]
    return min(good, key=lambda rate: (rate.trials, -rate.images_per_second))


def candidates(cpus: int, most_trials: int) -> list[tuple[int, int]]:
    """CPU cores of a trial, in powers of two and all, each with the number of trials at a time."""
    cores = sorted({*(2**power for power in range(cpus.bit_length())), cpus})
    return [(each, min(most_trials, cpus // each)) for each in cores]


def _measure(config: StudyConfig, data: TrainingData, cpus: int) -> list[Rate]:
    """The rates, from many trials of one core towards one of all."""
    baseline = dataclasses.replace(config.space.settings(config.space.baseline), device="cpu", threads=1)
    settings = probe_settings(baseline, torch.device("cpu"))
    plan = candidates(cpus, min(config.goal, config.max_concurrent or cpus))
    index = data.train[: settings.batch_size]
    excerpt = TrainingData(
        data.store.part(index),
        train=np.arange(len(index)),
        labels=data.labels[: settings.batch_size],
        query=np.empty(0, np.int64),
        gallery=np.empty(0, np.int64),
        num_classes=data.num_classes,
    )
    actors: list[Any] = [ray.remote(num_cpus=1)(_Trial).remote(settings, excerpt) for _ in range(plan[0][1])]
    rates: list[Rate] = []
    try:
        for each, trials in plan:
            rate = _images_per_second(actors[:trials], each, settings.batch_size)
            rates.append(Rate(each, trials, rate))
            if rate < _HOPELESS * max(found.images_per_second for found in rates):
                break
    except ray.exceptions.RayError as error:
        reason = one_line(getattr(error, "cause", None) or error)
        raise ConfigError(
            f"--cpus-per-trial auto: the measurement failed ({reason}); give a number"
        ) from None
    finally:
        for actor in actors:
            ray.kill(actor)
    return rates


def _images_per_second(trials: Sequence[Any], threads: int, batch_size: int) -> float:
    def seconds(steps: int) -> float:
        start = time.perf_counter()
        ray.get([trial.train.remote(threads, steps) for trial in trials])
        return time.perf_counter() - start

    seconds(1)  # warms up
    steps = math.ceil(_ROUND_SECONDS / seconds(1))
    fastest = min(seconds(steps) for _ in range(_ROUNDS))
    return len(trials) * steps * batch_size / fastest


class _Trial:
    """A trial in a process of its own that only takes steps."""

    def __init__(self, settings: Settings, data: TrainingData) -> None:
        self._settings, self._data = settings, data

    @cached_property
    def _step(self) -> Callable[[], object]:
        trainer = Trainer(self._settings, self._data)
        batch = next(trainer.batches())
        return lambda: trainer.step(*batch)

    def train(self, threads: int, steps: int) -> None:
        """Takes steps; the first call also makes the network."""
        step = self._step
        torch.set_num_threads(threads)
        with float32_products(self._settings.precision):
            for _ in range(steps):
                step()


def _described(rate: Rate) -> str:
    trials = "trials" if rate.trials > 1 else "trial"
    cores = "cores" if rate.cpus > 1 else "core"
    return f"{rate.trials} {trials} of {rate.cpus} {cores}: {rate.images_per_second:.3g} images/s"
