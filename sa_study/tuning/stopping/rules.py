"""Ray's early-stopping rules, on each trial's share of its own schedule and over any number of launches.

Trials with different numbers of epochs meet at the same share of their schedule, where their learning rates
have decayed equally. Which rule a scheduler uses, and at which rungs, stands in `schedulers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of, rungs, scheduler_spec

_PROGRESS, _VALUE = "progress", "value"

_MIN_MEDIAN_TRIALS = 3
"""Other trials that must have come as far before the median rule stops one."""


@dataclass(frozen=True)
class _Trial:
    """A trial in a rule's memory: equal in all launches, as Ray's trials are not."""

    trial_id: str


class Rule(Protocol):
    """Decides which trials stop early, from the values that all trials report; greater ones are better."""

    def stops(self, number: int, progress: float, value: float) -> bool:
        """Learns what a trial reports after an epoch, and decides whether it stops there.

        Args:
            number: The trial.
            progress: Share of its schedule that is completed, in percent.
            value: Its metric.
        """

    def replay(self, number: int, progress: float, value: float) -> None:
        """Learns what a trial reported in an earlier launch."""


def make_rule(scheduler: Scheduler) -> Rule:
    """Builds the rule of a study's scheduler."""
    return RULES[scheduler_spec(scheduler).rule](scheduler)


class HalvingRule:
    """ASHA, or with several brackets asynchronous HyperBand, as Ray's `AsyncHyperBandScheduler` decides.

    Ray would draw a trial's bracket from an unseeded generator; here it follows from the trial's number.
    """

    def __init__(self, scheduler: Scheduler):
        grace_period: Any = scheduler.grace_period
        ray_scheduler = AsyncHyperBandScheduler(
            max_t=100,
            grace_period=grace_period,
            reduction_factor=scheduler.reduction_factor,
            brackets=bracket_count(scheduler),
        )
        self._scheduler = scheduler
        self._brackets: list[Any] = ray_scheduler._brackets
        for number, bracket in enumerate(self._brackets):
            bracket._rungs = [(share, {}) for share in reversed(rungs(scheduler, number))]

    def stops(self, number: int, progress: float, value: float) -> bool:
        """Stops a trial that is below the part of its rung that continues."""
        bracket = self._brackets[bracket_of(number, self._scheduler)]
        trial = _Trial(str(number))
        return progress < 100 and bracket.on_result(trial, progress, value) == TrialScheduler.STOP

    def replay(self, number: int, progress: float, value: float) -> None:
        """Adds the value to the rung that it reached."""
        self.stops(number, progress, value)


class MedianRule(MedianStoppingRule):
    """Stops a trial whose best value is below the median of the others' running means."""

    def __init__(self, scheduler: Scheduler):
        super().__init__(
            _PROGRESS,
            _VALUE,
            "max",
            grace_period=scheduler.grace_period,
            min_samples_required=_MIN_MEDIAN_TRIALS,
        )

    def stops(self, number: int, progress: float, value: float) -> bool:
        """Decides as Ray does, without remembering a stop: the baseline continues."""
        trial: Any = _Trial(str(number))
        decision = self.on_trial_result(None, trial, {_PROGRESS: progress, _VALUE: value})  # type: ignore[arg-type]
        self._stopped_trials.discard(trial)
        return decision == TrialScheduler.STOP

    def replay(self, number: int, progress: float, value: float) -> None:
        """Adds a value that others are compared with; a decision would take long."""
        trial: Any = _Trial(str(number))
        self._results[trial].append({_PROGRESS: progress, _VALUE: value})

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return TrialScheduler.CONTINUE  # Ray would pause it, and a paused trial holds its suggestion back


class NoStopping:
    """Lets every trial run to its end."""

    def __init__(self, scheduler: Scheduler):
        pass

    def stops(self, number: int, progress: float, value: float) -> bool:
        """Always false."""
        return False

    def replay(self, number: int, progress: float, value: float) -> None:
        """Learns nothing."""


RULES: dict[str, Callable[[Scheduler], Rule]] = {
    "halving": HalvingRule,
    "median": MedianRule,
    "none": NoStopping,
}
"""By `SchedulerSpec.rule`."""
