"""Early stopping by name: Ray's rules on each trial's share of its own schedule, over any number of launches.

Trials with different numbers of epochs meet at the same share of their schedule, where their learning rates
have decayed equally.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of


class Rule(Protocol):
    """What `StudyScheduler` needs of a stopping rule beside Ray's interface."""

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Takes in what a trial of an earlier launch had reported.

        Args:
            number: The trial.
            values: Its metric by progress in percent.
        """

    def adopt(self, trial: Any) -> None:
        """Takes what was replayed for a trial's number as the trial's own."""


def make_rule(scheduler: Scheduler, metric: str) -> Any:
    """The stopping rule of this name, a `Rule` and Ray `TrialScheduler` that maximises the metric."""
    if scheduler.name == "none":
        return NoStopping()  # type: ignore[no-untyped-call]
    if scheduler.name == "median":
        return MedianRule(
            names.PROGRESS, metric, "max", grace_period=scheduler.grace_period, min_samples_required=3
        )
    return HalvingRule(
        scheduler,
        metric,
    )


class NoStopping(FIFOScheduler):
    """Every trial runs to its end."""

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Nothing to remember."""

    def adopt(self, trial: Any) -> None:
        """Nothing was remembered."""


class HalvingRule(AsyncHyperBandScheduler):
    """ASHA, or with several brackets asynchronous HyperBand; a trial's bracket follows from its number."""

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
        self._scheduler = scheduler

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Fills the rungs, which Ray does not keep; it takes a trial's last epoch into none."""
        stand_in: Any = _stand_in(number)
        for progress, value in sorted(values.items()):
            if progress < 100:
                self._bracket(number).on_result(stand_in, progress, value)

    def adopt(self, trial: Any) -> None:
        """Gives the trial its places in the rungs."""
        number = trial.config["number"]
        for _, recorded in self._bracket(number)._rungs:
            if (earlier := _stand_in(number).trial_id) in recorded:
                recorded[trial.trial_id] = recorded.pop(earlier)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Takes a trial in. Ray would draw its bracket from an unseeded generator."""
        self._trial_info[trial.trial_id] = self._bracket(trial.config["number"])

    def _bracket(self, number: int) -> Any:
        return self._brackets[bracket_of(number, self._scheduler)]


class MedianRule(MedianStoppingRule):
    """Stops a trial whose best value is below the median of the others' running means."""

    def replay(self, number: int, values: Mapping[float, float]) -> None:
        """Fills in the results by which others are judged."""
        stand_in: Any = _stand_in(number)
        for progress, value in sorted(values.items()):
            self._results[stand_in].append({names.PROGRESS: progress, self._metric: value})

    def adopt(self, trial: Any) -> None:
        """Gives the trial its earlier results."""
        if (earlier := _stand_in(trial.config["number"])) in self._results:
            self._results[trial] = self._results.pop(earlier)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on."""
        decision = super().on_trial_result(tune_controller, trial, result)
        self._stopped_trials.discard(trial)  # whether it really stops is decided elsewhere
        return decision

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return TrialScheduler.CONTINUE  # Ray would pause it, and a paused trial holds its suggestion back


@dataclass(frozen=True)
class _StandIn:
    """A trial of an earlier launch, as far as a rule looks at it."""

    trial_id: str


def _stand_in(number: int) -> Any:
    return _StandIn(f"earlier-{number}")
