"""Plans a study: estimates what it will take before anything is launched or written.

An epoch is measured here. The study is then simulated with its own stopping rule and budgets, and with random
settings and learning curves.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from sa_study.data.store import any_fold
from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.launch.cluster import Slots, connect, divide_into_slots
from sa_study.tuning.launch.disk_space import DiskNeed, measure_disks
from sa_study.tuning.launch.prepare import check_new_study, find_images, resolve_settings
from sa_study.tuning.plan.cpus_per_trial import decide_cpus_per_trial
from sa_study.tuning.plan.probe import Speed, probe
from sa_study.tuning.search.samplers import sampler_spec
from sa_study.tuning.search.suggest import suggest
from sa_study.tuning.stopping.ray_scheduler import make_rule
from sa_study.utils.machine import peak_memory, usable_memory
from sa_study.utils.progress import PhaseCallback

# Measured by benchmarks/overhead.py on 2 cores, rounded: workers start while images are decoded, and
# checkpoints are written while epochs are validated.
_FIRST_START_SECONDS = 2.0
_NEXT_START_SECONDS = 0.2
_BETWEEN_EPOCHS_SECONDS = 0.05

_MAX_RUNS = 60
_MAX_SECONDS = 10.0
"""After these no further run is simulated: some rules compare every trial with every other."""

_MAX_CONFIGURATIONS = 500
"""Configurations that the runs choose from; from a larger space this many are drawn."""

_NOISE = 0.01
"""Standard deviation of a simulated learning curve's values."""

_Curve = deque[tuple[float, float]]
"""Progress in percent and value of each epoch that is still to come."""


@dataclass(frozen=True)
class SimulatedRun:
    """One simulated course of a study.

    Attributes:
        trials: Trials that ended.
        epochs: Epochs of all trials.
        seconds: Time from the command to the end of the last epoch.
        gpu_hours: GPU-hours of training.
        stop_reason: The spent budget that stopped it before all its trials ended; empty if none did.
    """

    trials: int
    epochs: int
    seconds: float
    gpu_hours: float
    stop_reason: str


@dataclass(frozen=True)
class MemoryNeed:
    """The memory that a study needs at least, as far as the probe shows.

    Attributes:
        trial: Bytes of a trial's process: the probe's, which on a CPU may have had smaller batches.
        total: Bytes of all trials that run at a time, of the driver, and of the images, which trials share.
        usable: Bytes that may be used here; None for a cluster, whose nodes are not known.
    """

    trial: int
    total: int
    usable: int | None

    @classmethod
    def after_probe(cls, image_bytes: int, slots: Slots, *, joined: bool) -> MemoryNeed:
        """The need by the peak memory of this process, which has decoded the images and run the probe."""
        trial = peak_memory() - image_bytes
        total = (slots.concurrent + 1) * trial + 2 * image_bytes
        return cls(trial, total, None if joined else usable_memory())

    @property
    def suffices(self) -> bool:
        """Whether the memory is enough, as far as is known."""
        return self.usable is None or self.total <= self.usable


@dataclass(frozen=True)
class Plan:
    """Expected cost of a study: epochs, time, GPU-hours, disk space.

    Attributes:
        config: The study, with every setting decided.
        slots: Resources of a trial, and how many trials run at a time.
        speed: The measured speed of the baseline.
        expected: Simulated runs with the study's scheduler.
        unstopped: Simulated runs without early stopping.
        disks: What is written to each disk, and the space that is free; first the disk of the trials' files.
        memory: What is needed, and what may be used.
        cpus_choice: Why a trial has its number of CPU cores, where `auto` chose it; else empty.
    """

    config: StudyConfig
    slots: Slots
    speed: Speed
    expected: list[SimulatedRun]
    unstopped: list[SimulatedRun]
    disks: list[DiskNeed]
    memory: MemoryNeed
    cpus_choice: str


def make_plan(config: StudyConfig, folder: StudyFolder, report: PhaseCallback) -> Plan:
    """Plans a study; writes nothing.

    Args:
        config: The study that is asked for.
        folder: Where it would be made.
        report: Told the phase and how far it is.

    Raises:
        StudyError: `tune` would refuse the study; disk space and pretrained weights are not checked here.
    """
    check_new_study(config)
    start = time.monotonic()
    folds = find_images(config).decode(lambda done, total: report("decoding", done, total))
    data, told = any_fold(folds), [""]
    with connect(config.address) as session:
        config = decide_cpus_per_trial(config, data, told.append)
        slots = divide_into_slots(config)
        config = resolve_settings(config, slots)
        disks = measure_disks(folder, config, data, slots, config.goal, session)
    preparation = time.monotonic() - start  # the cluster is left: what is measured below runs alone
    baseline = config.space.settings(config.space.baseline)
    speed = probe(baseline, data, lambda done, total: report("measuring an epoch", done, total))
    memory = MemoryNeed.after_probe(data.store.images.nbytes, slots, joined=config.address is not None)
    simulated: dict[str, list[SimulatedRun]] = {}
    for number, scheduler in enumerate((config.space.scheduler, Scheduler("none"))):
        report("simulating the study", number, 2)
        if scheduler.name not in simulated:
            simulated[scheduler.name] = simulate_runs(
                config, scheduler, slots, speed.epoch_seconds_of, preparation
            )
    report("simulating the study", 2, 2)
    expected, unstopped = simulated[config.space.scheduler.name], simulated["none"]
    return Plan(config, slots, speed, expected, unstopped, disks, memory, told[-1])


def simulate_runs(
    config: StudyConfig,
    scheduler: Scheduler,
    slots: Slots,
    epoch_seconds: Callable[[Settings], float],
    preparation: float,
    max_runs: int = _MAX_RUNS,
    max_seconds: float = _MAX_SECONDS,
) -> list[SimulatedRun]:
    """Simulates a study several times, with the same configurations for every scheduler.

    The baseline comes first, then an exhaustive sampler's other configurations in order, or random ones.

    Args:
        config: The study, but for its scheduler.
        scheduler: Stops trials early.
        slots: Resources of a trial, and how many trials run at a time.
        epoch_seconds: Gives the duration of an epoch with some settings.
        preparation: Seconds from the command to the launch, which no time budget counts.
        max_runs: Number of runs.
        max_seconds: Time after which no further run begins; there is one at least.
    """
    pool = _configurations(config.space)
    in_order = sampler_spec(config.space.sampler).exhaustive
    runs: list[SimulatedRun] = []
    end = time.monotonic() + max_seconds
    while len(runs) < max_runs and (not runs or time.monotonic() < end):
        rng = np.random.default_rng(len(runs))
        others = np.arange(1, len(pool))
        # Repeated where a pool drawn from a larger space has fewer configurations than there are trials.
        chosen = np.resize(others if in_order else rng.permutation(others), config.goal - 1)
        configurations = [pool[0], *(pool[index] for index in chosen)]
        trials = [
            (number, epoch_seconds(settings), _learning_curve(settings.epochs, rng))
            for number, settings in enumerate(configurations)
        ]
        runs.append(_simulate(config, scheduler, slots, trials, preparation))
    return runs


def _configurations(space: SearchSpace) -> list[Settings]:
    """The baseline and after it all other configurations, or random ones where there are too many."""
    if (space.size or math.inf) <= _MAX_CONFIGURATIONS:
        return [space.settings(values) for values in space.grid()]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(space, study.ask()) for _ in range(_MAX_CONFIGURATIONS)]
    return [space.settings(values) for values in (space.baseline, *drawn)]


def _learning_curve(epochs: int, rng: np.random.Generator) -> _Curve:
    """A noisy curve that flattens at a random height."""
    noise = rng.normal(0, _NOISE, epochs)
    ceiling, pace = rng.uniform(0.2, 0.8), 30 * rng.lognormal(0, 0.5)
    progress = 100 * np.arange(1, epochs + 1) / epochs
    return deque(zip(progress, noise + ceiling * (1 - np.exp(-progress / pace)), strict=True))


def _simulate(
    config: StudyConfig,
    scheduler: Scheduler,
    slots: Slots,
    trials: list[tuple[int, float, _Curve]],
    preparation: float,
) -> SimulatedRun:
    """Runs trials (number, seconds of an epoch, curve) in the order of time, as far as the budgets allow."""
    now, ended = 0.0, 0
    rule = make_rule(scheduler)
    tracker = BudgetTracker(Budget.of(config), (), lambda: slots.concurrent, slots.gpus, clock=lambda: now)
    waiting = deque(trials)
    running: list[tuple[float, int, float, _Curve]] = []  # by the end of the epoch

    def train(delay: float, number: int, seconds: float, curve: _Curve) -> None:
        heapq.heappush(running, (now + delay + seconds, number, seconds, curve))

    def start_next(delay: float) -> None:
        if waiting and not tracker.stop_reason:
            train(delay, *waiting.popleft())

    for _ in range(slots.concurrent):
        start_next(_FIRST_START_SECONDS)
    while running:
        now, number, seconds, curve = heapq.heappop(running)
        tracker.add_epoch(seconds)
        stopped = rule.stops(number, *curve.popleft()) and number != BASELINE
        if stopped or not curve:
            ended += 1
            start_next(_NEXT_START_SECONDS)
        elif not tracker.stop_reason:
            train(_BETWEEN_EPOCHS_SECONDS, number, seconds, curve)
    used = tracker.to_dict()
    gpu_hours = used["training_seconds"] * slots.gpus / 3600
    reason = tracker.stop_reason if ended < len(trials) else ""
    return SimulatedRun(ended, used["epochs"], preparation + now, gpu_hours, reason)
