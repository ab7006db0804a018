"""Ray's early-stopping rules, on each trial's share of its own schedule and over any number of launches.

Trials with different numbers of epochs meet at the same share of their schedule, where their learning rates
have decayed equally. Which rule a scheduler uses, and at which rungs, stands in `schedulers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of, rungs, scheduler_spec

_MIN_MEDIAN_TRIALS = 3
"""Other trials that must have come as far before the median rule stops one."""


class Rule(Protocol):
    """A stopping rule: a Ray `TrialScheduler` that maximises a metric, and remembers earlier launches."""

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Learns what a trial reported in earlier launches.

        Args:
            number: The trial.
            values: Its metric by progress in percent.
        """

    def adopt(self, trial: Any) -> None:
        """Takes what was replayed for this trial's number as reported by this Ray trial."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Takes in a trial that begins, or that continues in this launch."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides after an epoch: `TrialScheduler.CONTINUE` or `TrialScheduler.STOP`."""

    def debug_string(self) -> str:
        """A description for Ray's status output."""


def make_rule(scheduler: Scheduler, metric: str) -> Rule:
    """Builds the rule of a study's scheduler; it maximises the metric."""
    return RULES[scheduler_spec(scheduler).rule](scheduler, metric)


@dataclass(frozen=True)
class _PastTrial:
    """Stands for a trial of an earlier launch in a rule's memory."""

    trial_id: str


def _past_trial(number: int) -> Any:
    return _PastTrial(f"earlier-{number}")


class HalvingRule(AsyncHyperBandScheduler):
    """ASHA, or with several brackets asynchronous HyperBand."""

    def __init__(self, scheduler: Scheduler, metric: str):
        super().__init__(
            names.PROGRESS,
            metric,
            "max",
            max_t=100,
            grace_period=scheduler.grace_period,  # type: ignore[arg-type]
            reduction_factor=scheduler.reduction_factor,
            brackets=bracket_count(scheduler),
        )
        for number, bracket in enumerate(self._brackets):
            bracket._rungs = [(share, {}) for share in reversed(rungs(scheduler, number))]
        self._scheduler = scheduler

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Fills the rungs, as Ray does: a trial's last epoch is in none."""
        for progress, value in sorted(values.items()):
            if progress < 100:
                self._bracket(number).on_result(_past_trial(number), progress, value)

    def adopt(self, trial: Any) -> None:
        """Puts the trial in the place of its past in the rungs."""
        number = trial.config["number"]
        for _, recorded in self._bracket(number)._rungs:
            if (past := _past_trial(number).trial_id) in recorded:
                recorded[trial.trial_id] = recorded.pop(past)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Assigns the trial's bracket by its number; Ray would draw it from an unseeded generator."""
        self._trial_info[trial.trial_id] = self._bracket(trial.config["number"])

    def _bracket(self, number: int) -> Any:
        return self._brackets[bracket_of(number, self._scheduler)]


class MedianRule(MedianStoppingRule):
    """Stops a trial whose best value is below the median of the others' running means."""

    def __init__(self, scheduler: Scheduler, metric: str):
        super().__init__(
            names.PROGRESS,
            metric,
            "max",
            grace_period=scheduler.grace_period,
            min_samples_required=_MIN_MEDIAN_TRIALS,
        )

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Adds the results that others are compared with."""
        for progress, value in sorted(values.items()):
            self._results[_past_trial(number)].append({names.PROGRESS: progress, self._metric: value})

    def adopt(self, trial: Any) -> None:
        """Puts the trial in the place of its past among the results."""
        if (past := _past_trial(trial.config["number"])) in self._results:
            self._results[trial] = self._results.pop(past)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides by Ray's rule, which is not to remember that it stopped a trial: the baseline goes on."""
        decision = super().on_trial_result(tune_controller, trial, result)
        self._stopped_trials.discard(trial)
        return decision

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return TrialScheduler.CONTINUE  # Ray would pause it, and a paused trial holds its suggestion back


class NoStopping(FIFOScheduler):
    """Lets every trial run to its end."""

    def __init__(self, scheduler: Scheduler, metric: str):
        super().__init__()  # type: ignore[no-untyped-call]

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Does nothing: no decision depends on earlier trials."""

    def adopt(self, trial: Any) -> None:
        """Does nothing, likewise."""


RULES: dict[str, Callable[[Scheduler, str], Rule]] = {
    "halving": HalvingRule,
    "median": MedianRule,
    "none": NoStopping,
}
"""By `SchedulerSpec.rule`."""
