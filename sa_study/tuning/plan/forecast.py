"""How a study may go: its stopping rule and its budgets, played through with random learning curves."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from ray.tune.schedulers import TrialScheduler

from sa_study.metrics import names
from sa_study.settings.run import Settings
from sa_study.settings.space import Scheduler, SearchSpace
from sa_study.study.records import BASELINE
from sa_study.tuning.budget import Budget, BudgetTracker
from sa_study.tuning.search.suggest import suggest
from sa_study.tuning.stopping.rules import make_rule

_PLAYS = 60
_SECONDS = 10.0
"""After these no further play begins: some rules compare every trial with every other."""

_POOL = 500
"""Configurations that the plays draw from, of a space that has more."""

_NOISE = 0.01


@dataclass(frozen=True)
class Terms:
    """What a study is played with.

    Attributes:
        trials: Trials in all.
        slots: Trials at a time.
        gpus: GPUs a trial.
        budget: What may end it earlier.
        first: Seconds from the launch to the begin of the first epochs.
        start: Seconds between two trials in a slot.
        between: Seconds between two epochs of a trial.
    """

    trials: int
    slots: int
    gpus: float
    budget: Budget
    first: float
    start: float
    between: float


@dataclass(frozen=True)
class Play:
    """One course that a study may take.

    Attributes:
        trials: Trials that ended.
        epochs: Epochs of all trials.
        seconds: From the launch to the last epoch's end.
        gpu_hours: Of training.
        over: The budget that ended it, or empty.
    """

    trials: int
    epochs: int
    seconds: float
    gpu_hours: float
    over: str


def play_often(
    space: SearchSpace, scheduler: Scheduler, terms: Terms, seconds_of: Callable[[Settings], float]
) -> list[Play]:
    """Plays a study many times, with the same configurations for each scheduler.

    Args:
        space: Where the configurations come from: the baseline, a grid's others in order, else at random.
        scheduler: Stops trials early.
        terms: See there.
        seconds_of: How long an epoch of a configuration takes.
    """
    pool = _configurations(space)
    plays: list[Play] = []
    end = time.monotonic() + _SECONDS
    while len(plays) < _PLAYS and (not plays or time.monotonic() < end):
        rng = np.random.default_rng(len(plays))
        rest = np.arange(1, len(pool))
        if space.sampler != "grid":
            rest = rng.permutation(rest)
        # A space without end is drawn from by a pool that may be too small for all trials.
        drawn = np.resize(rest, terms.trials - 1)
        trials = [pool[0], *(pool[index] for index in drawn)]
        curves = [_Curve(number, s.epochs, seconds_of(s), rng) for number, s in enumerate(trials)]
        plays.append(_Course(curves, scheduler, terms).play())
    return plays


def _configurations(space: SearchSpace) -> list[Settings]:
    """The baseline first, behind it every other configuration, or random ones of a space with too many."""
    if (space.size or math.inf) <= _POOL:
        return [space.settings(point) for point in space.grid()]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(space, study.ask()) for _ in range(_POOL)]
    return [space.settings(values) for values in (space.baseline, *drawn)]


class _Curve:
    """A trial as a stopping rule sees it, with a learning curve that flattens.

    Attributes:
        config: Has the trial's number.
        trial_id: The same as text.
        epoch: Completed epochs.
        seconds: Of an epoch.
    """

    def __init__(self, number: int, epochs: int, seconds: float, rng: np.random.Generator):
        self.config = {"number": number}
        self.trial_id = str(number)
        self.epoch = 0
        self.seconds = seconds
        self._epochs = epochs
        self._noise = rng.normal(0, _NOISE, epochs)
        self._ceiling = rng.uniform(0.2, 0.8)
        self._pace = 30 * rng.lognormal(0, 0.5)

    @property
    def finished(self) -> bool:
        """Whether its last epoch is completed."""
        return self.epoch >= self._epochs

    def next_result(self) -> dict[str, float]:
        """The figures of one more epoch."""
        value = self._noise[self.epoch]
        self.epoch += 1
        progress = 100 * self.epoch / self._epochs
        value += self._ceiling * (1 - math.exp(-progress / self._pace))
        return {names.PROGRESS: progress, names.MAP: value}


class _Course:
    """One play, from each epoch's end to the next, over all slots in the order of time."""

    def __init__(self, curves: Sequence[_Curve], scheduler: Scheduler, terms: Terms):
        self._terms = terms
        self._rule = make_rule(scheduler, names.MAP)
        self._now = 0.0
        self._tracker = BudgetTracker(
            terms.budget, (), capacity=lambda: terms.slots, gpus=terms.gpus, clock=lambda: self._now
        )
        self._waiting = deque(curves)
        self._running: list[tuple[float, int, _Curve]] = []
        self._ended = 0

    def play(self) -> Play:
        """Lets all trials run, as far as the budget goes."""
        for _ in range(self._terms.slots):
            self._begin(self._terms.first)
        while self._running:
            self._now, _, trial = heapq.heappop(self._running)
            self._tracker.add_epoch(trial.seconds)
            if self._ends(trial):
                self._ended += 1
                self._begin(self._terms.start)
            elif not self._tracker.stop_reason:
                self._train(trial, self._terms.between)
        used = self._tracker.to_dict()
        hours = used["training_seconds"] * self._terms.gpus / 3600
        over = self._tracker.stop_reason if self._ended < self._terms.trials else ""
        return Play(self._ended, used["epochs"], self._now, hours, over)

    def _begin(self, wait: float) -> None:
        if self._waiting and not self._tracker.stop_reason:
            trial = self._waiting.popleft()
            self._rule.on_trial_add(None, trial)
            self._train(trial, wait)

    def _train(self, trial: _Curve, wait: float) -> None:
        heapq.heappush(self._running, (self._now + wait + trial.seconds, trial.config["number"], trial))

    def _ends(self, trial: _Curve) -> bool:
        """Whether the trial is at its end or stopped early, which the baseline never is."""
        decision = self._rule.on_trial_result(None, trial, trial.next_result())
        stopped = decision == TrialScheduler.STOP and trial.config["number"] != BASELINE
        return stopped or trial.finished
