"""Forecasts a study by simulating it, with its own stopping rule and budgets and random learning curves."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import optuna

from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.study.records import BASELINE
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.search.samplers import sampler_spec
from sa_study.tuning.search.suggest import suggest
from sa_study.tuning.stopping.rules import make_rule

_MAX_RUNS = 60
_MAX_SECONDS = 10.0
"""After these no further run is simulated: some rules compare every trial with every other."""

_MAX_CONFIGURATIONS = 500
"""Configurations that the runs choose from; from a larger space this many are drawn."""

_NOISE = 0.01  # standard deviation of a learning curve's values


@dataclass(frozen=True)
class ForecastInputs:
    """Inputs of a forecast: trials, slots and budgets of the study, and measured times.

    Attributes:
        trials: Trials in all.
        slots: Trials that run at a time.
        gpus: GPUs a trial.
        budget: The study's budgets.
        preparation: Seconds from the command to the launch, which no time budget counts.
        first_start: Seconds from the launch to the start of the first epochs.
        next_start: Seconds from a trial's end to the start of the next one in its slot.
        between_epochs: Seconds between two epochs of a trial.
        epoch_seconds: Gives the duration of an epoch with some settings.
    """

    trials: int
    slots: int
    gpus: float
    budget: Budget
    preparation: float
    first_start: float
    next_start: float
    between_epochs: float
    epoch_seconds: Callable[[Settings], float]


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


def simulate_runs(
    space: SearchSpace,
    scheduler: Scheduler,
    inputs: ForecastInputs,
    max_runs: int = _MAX_RUNS,
    max_seconds: float = _MAX_SECONDS,
) -> list[SimulatedRun]:
    """Simulates a study several times, with the same configurations for every scheduler.

    Args:
        space: The search space: the baseline comes first, then an exhaustive sampler's other configurations
            in order, or random ones.
        scheduler: Stops trials early.
        inputs: What the forecast takes as given.
        max_runs: Number of runs.
        max_seconds: Time after which no further run begins; there is one at least.
    """
    pool = _configurations(space)
    in_order = sampler_spec(space.sampler).exhaustive
    runs: list[SimulatedRun] = []
    end = time.monotonic() + max_seconds
    while len(runs) < max_runs and (not runs or time.monotonic() < end):
        rng = np.random.default_rng(len(runs))
        others = np.arange(1, len(pool))
        # Repeated where a pool drawn from a larger space has fewer configurations than there are trials.
        chosen = np.resize(others if in_order else rng.permutation(others), inputs.trials - 1)
        configurations = [pool[0], *(pool[index] for index in chosen)]
        trials = [
            _SimulatedTrial(number, inputs.epoch_seconds(settings), _learning_curve(settings.epochs, rng))
            for number, settings in enumerate(configurations)
        ]
        runs.append(_simulate(trials, scheduler, inputs))
    return runs


def _configurations(space: SearchSpace) -> list[Settings]:
    """The baseline and after it all other configurations, or random ones where there are too many."""
    if (space.size or math.inf) <= _MAX_CONFIGURATIONS:
        return [space.settings(values) for values in space.grid()]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(space, study.ask()) for _ in range(_MAX_CONFIGURATIONS)]
    return [space.settings(values) for values in (space.baseline, *drawn)]


class _SimulatedTrial(NamedTuple):
    """A trial that is simulated: its number, the duration of an epoch, and the rest of its learning curve."""

    number: int
    epoch_seconds: float
    curve: deque[tuple[float, float]]


def _learning_curve(epochs: int, rng: np.random.Generator) -> deque[tuple[float, float]]:
    """Progress in percent and value of each epoch: a noisy curve that flattens at a random height."""
    noise = rng.normal(0, _NOISE, epochs)
    ceiling, pace = rng.uniform(0.2, 0.8), 30 * rng.lognormal(0, 0.5)
    progress = 100 * np.arange(1, epochs + 1) / epochs
    return deque(zip(progress, noise + ceiling * (1 - np.exp(-progress / pace)), strict=True))


def _simulate(
    trials: Iterable[_SimulatedTrial], scheduler: Scheduler, inputs: ForecastInputs
) -> SimulatedRun:
    """Runs the trials over all slots in the order of time, as far as the budgets allow."""
    now, ended = 0.0, 0
    rule = make_rule(scheduler)
    tracker = BudgetTracker(inputs.budget, (), lambda: inputs.slots, inputs.gpus, clock=lambda: now)
    waiting = deque(trials)
    running: list[tuple[float, int, _SimulatedTrial]] = []  # by the end of the epoch

    def train(trial: _SimulatedTrial, delay: float) -> None:
        heapq.heappush(running, (now + delay + trial.epoch_seconds, trial.number, trial))

    def start_next(delay: float) -> None:
        if waiting and not tracker.stop_reason:
            train(waiting.popleft(), delay)

    for _ in range(inputs.slots):
        start_next(inputs.first_start)
    while running:
        now, _, trial = heapq.heappop(running)
        tracker.add_epoch(trial.epoch_seconds)
        stopped = rule.stops(trial.number, *trial.curve.popleft()) and trial.number != BASELINE
        if stopped or not trial.curve:
            ended += 1
            start_next(inputs.next_start)
        elif not tracker.stop_reason:
            train(trial, inputs.between_epochs)
    used = tracker.to_dict()
    gpu_hours = used["training_seconds"] * inputs.gpus / 3600
    reason = tracker.stop_reason if ended < inputs.trials else ""
    return SimulatedRun(ended, used["epochs"], inputs.preparation + now, gpu_hours, reason)
