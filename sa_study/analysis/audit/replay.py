"""Recomputes every early-stopping decision of a study, as if it had run in one launch.

Written in plain loops, without `tuning.stopping.ray_scheduler` and without Ray, so that an error there shows
here; the rungs, which both share, are compared with Ray's by a test.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from sa_study.analysis.audit.evidence import Evidence
from sa_study.metrics import names
from sa_study.settings.space import Scheduler
from sa_study.study.records import BASELINE
from sa_study.tuning.stopping.schedulers import bracket_count, bracket_of, rungs, scheduler_spec

_MIN_MEDIAN_TRIALS = 3  # as in `ray_scheduler`, which is not imported
Judge = Callable[[int, float, float], str]
"""Takes a trial's number, progress and metric; returns why the trial has to stop, or nothing."""


def check_stopping(evidence: Evidence) -> Iterator[str]:
    """Each trial was stopped, or went on, by the scheduler's rule and what was known at that moment."""
    scheduler = evidence.study.config.space.scheduler
    judge = JUDGES[scheduler_spec(scheduler).rule](scheduler)
    stopped = {trial.number: trial.record.epoch for trial in evidence.study.trials if trial.record.stopped}
    for _, number, epoch, progress, value in sorted(_reports(evidence)):
        reason = judge(number, progress, value)
        due = bool(reason) and number != BASELINE and progress < 100
        if due and stopped.get(number) != epoch:
            yield f"trial {number}: went on after epoch {epoch}, but {reason}"
        if not due and stopped.get(number) == epoch:
            yield f"trial {number}: stopped at epoch {epoch}, where {scheduler.name} lets it go on"


def _reports(evidence: Evidence) -> Iterator[tuple[float, int, int, float, float]]:
    """Every epoch: time, trial, epoch, progress, metric.

    TensorBoard's time is the driver's and exact; Ray's `timestamp` is the worker's, in whole seconds.
    """
    for trial in evidence.study.trials:
        curves = evidence.curves.get(trial.number)
        for epoch, figures in evidence.epochs(trial.number).items():
            when = curves.times.get(epoch) if curves else None
            value = figures[evidence.study.config.metric]
            yield when or figures["timestamp"], trial.number, epoch, figures[names.PROGRESS], value


def _halving(scheduler: Scheduler) -> Judge:
    """ASHA, and Hyperband, where each further bracket has its first rung later."""
    values_at_rung: list[dict[float, dict[int, float]]] = [
        {rung: {} for rung in rungs(scheduler, bracket)} for bracket in range(bracket_count(scheduler))
    ]

    def judge(number: int, progress: float, value: float) -> str:
        if progress >= 100:
            return ""
        dropped = 1 - 1 / scheduler.reduction_factor
        for rung, values in reversed(values_at_rung[bracket_of(number, scheduler)].items()):
            if progress >= rung and number not in values:
                before = list(values.values())
                values[number] = value
                cutoff = np.percentile(before, 100 * dropped) if before else -math.inf
                below = f"its {value:.6f} is below the cut-off {cutoff:.6f} of the rung at {rung:g} %"
                return below if value < cutoff else ""
        return ""

    return judge


def _median(scheduler: Scheduler) -> Judge:
    """The median rule: a trial's best value against the median of the other trials' means so far."""
    reported: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)

    def judge(number: int, progress: float, value: float) -> str:
        reported[number].append((progress, value))
        others = [other for key, other in reported.items() if key != number and other[-1][0] >= progress]
        spans = [[v for p, v in other if scheduler.grace_period <= p <= progress] for other in others]
        means = [statistics.fmean(span) for span in spans if span]
        if progress < scheduler.grace_period or len(means) < _MIN_MEDIAN_TRIALS:
            return ""
        best, middle = max(v for _, v in reported[number]), statistics.median(means)
        return f"its best {best:.6f} is below the median {middle:.6f} of the others" if best < middle else ""

    return judge


JUDGES: dict[str, Callable[[Scheduler], Judge]] = {
    "halving": _halving,
    "median": _median,
    "none": lambda scheduler: lambda number, progress, value: "",
}
"""By a scheduler's rule (`SchedulerSpec.rule`), the function that makes its judge."""
