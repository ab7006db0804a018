"""Early stopping: ASHA on each trial's share of its own schedule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from sa_study import keys
from sa_study.space import Scheduler
from sa_study.study.records import BASELINE


def make_scheduler(scheduler: Scheduler, earlier: list[FrozenTrial]) -> TrialScheduler:
    """The scheduler of a launch.

    Args:
        scheduler: The space's choice.
        earlier: Trials of earlier launches; what they reported fills the rungs, which Ray does not keep.
    """
    if scheduler.name == "none":
        return FIFOScheduler()
    return ProgressASHA(scheduler, earlier)


class ProgressASHA(AsyncHyperBandScheduler):
    """ASHA on `progress`, the percentage of a trial's own schedule.

    Trials with different numbers of epochs meet at the same share of their schedule, where their learning
    rates have decayed equally. The baseline is never stopped: the winner is shown beside it.
    """

    def __init__(self, scheduler: Scheduler, earlier: list[FrozenTrial]):
        super().__init__(
            time_attr=keys.PROGRESS,
            max_t=100,
            grace_period=scheduler.grace_period,  # type: ignore[arg-type]
            reduction_factor=scheduler.reduction_factor,
        )
        for trial in earlier:
            stand_in: Any = SimpleNamespace(trial_id=_earlier_id(trial.number))
            for step, value in sorted(trial.intermediate_values.items()):
                self._brackets[0].on_result(stand_in, step / 10, value)  # type: ignore[arg-type]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Takes a trial in; one of an earlier launch keeps its places in the rungs."""
        super().on_trial_add(tune_controller, trial)
        earlier = _earlier_id(trial.config["number"])
        for _, recorded in self._brackets[0]._rungs:
            if earlier in recorded:
                recorded[trial.trial_id] = recorded.pop(earlier)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether a trial goes on."""
        decision = super().on_trial_result(tune_controller, trial, result)
        if trial.config["number"] == BASELINE and result.get(keys.PROGRESS, 0) < 100:
            return TrialScheduler.CONTINUE
        return decision


def _earlier_id(number: int) -> str:
    return f"earlier-{number}"
