"""Early stopping as Ray drives it, by each trial's share of its own schedule and over any number of launches.

Trials with different numbers of epochs meet at the same share of their schedule, where their learning rates
have decayed equally. Which rule a scheduler uses, and at which rungs, stands in `schedulers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.study.records import BASELINE, progress_of, read_record, step_of
from sa_study.tuning.budget import BudgetTracker
from sa_study.tuning.launch.memory import MemoryKills
from sa_study.tuning.search.ray_searcher import StudySearcher
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of, rungs, scheduler_spec

_PROGRESS, _VALUE = "progress", "value"

_MIN_MEDIAN_TRIALS = 3
"""Other trials that must have come as far before the median rule stops one."""


class StudyScheduler(FIFOScheduler):
    """Asks a stopping rule, and has the searcher record each epoch together with the decision.

    The baseline is never stopped: the winner is compared with it. When the launch is to stop, every trial is
    paused at its next checkpoint; in the database it stays running, and `resume` continues it.

    Args:
        scheduler: The scheduler that the search space names.
        metric: The figure that is maximised.
        search: Records the decisions.
        tracker: Tells when the launch is to stop.
        earlier: Trials of earlier launches, whose reports the rule learns; Ray does not keep them.
        kills: Tells whether a trial's process was killed for lack of memory; None if that is not watched.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        metric: str,
        search: StudySearcher,
        tracker: BudgetTracker,
        earlier: Iterable[FrozenTrial] = (),
        kills: MemoryKills | None = None,
    ):
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = make_rule(scheduler)
        self._objective = metric
        self._search = search
        self._tracker = tracker
        self._kills = kills
        for trial in earlier:
            # A value after the last recorded epoch belongs to an epoch that will be run again.
            last = step_of(read_record(trial).last.get(names.PROGRESS, 0.0))
            for step, value in sorted(trial.intermediate_values.items()):
                if step <= last:
                    self._rule.replay(trial.number, progress_of(step), value)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Begins to watch the memory with the first trial."""
        if self._kills:
            self._kills.watch()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides whether a trial continues."""
        number = trial.config["number"]
        if names.HALT in result:
            self._tracker.abort(f"trial {number}: {result[names.HALT]}")
            return TrialScheduler.STOP
        if names.FAILURE in result:
            self._search.record_failure(trial.trial_id, str(result[names.FAILURE]))
            return TrialScheduler.STOP
        progress = result[names.PROGRESS]
        finished = progress >= 100
        below = self._rule.stops(number, progress, result[self._objective])
        stopped = below and not finished and number != BASELINE
        self._search.record_epoch(trial.trial_id, result, stopped=stopped)
        continues = not (stopped or finished or self._tracker.stop_reason)
        return TrialScheduler.CONTINUE if continues else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Has the searcher record that a trial's process crashed, and why; Ray may start it again."""
        if self._kills:
            self._search.record_crash(trial.trial_id, self._kills.reason(_last_error(trial)))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Does nothing: the rule has had the last result already."""


def _last_error(trial: Any) -> str:
    """What Ray has written about the last crash of a trial's process; each has a heading."""
    try:
        errors = Path(trial.error_file).read_text(errors="replace")
    except (OSError, TypeError):  # no file, as the disk was full
        return ""
    return errors.rpartition("Failure # ")[2].partition("\n")[2]


class Rule:
    """Decides which trials stop early, from the values that all report; greater ones are better.

    This one lets every trial run to its end.
    """

    def __init__(self, scheduler: Scheduler):
        pass

    def stops(self, number: int, progress: float, value: float) -> bool:
        """Learns what a trial reports after an epoch, and decides whether it stops there.

        Args:
            number: The trial.
            progress: Share of its schedule that is completed, in percent.
            value: Its metric.
        """
        return False

    def replay(self, number: int, progress: float, value: float) -> None:
        """Learns what a trial reported in an earlier launch."""
        self.stops(number, progress, value)


@dataclass(frozen=True)
class _Trial:
    """A trial in a rule's memory: equal in all launches, as Ray's trials are not."""

    trial_id: str


class HalvingRule(Rule):
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


class MedianRule(Rule, MedianStoppingRule):
    """Stops a trial whose best value is below the median of the others' running means."""

    def __init__(self, scheduler: Scheduler):
        MedianStoppingRule.__init__(
            self,
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


RULES: dict[str, type[Rule]] = {"halving": HalvingRule, "median": MedianRule, "none": Rule}
"""By `SchedulerSpec.rule`."""


def make_rule(scheduler: Scheduler) -> Rule:
    """Builds the rule of a study's scheduler."""
    return RULES[scheduler_spec(scheduler).rule](scheduler)
