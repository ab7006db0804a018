"""Every stopping decision again, in plain loops: as if the study had run in one launch.

Written without `sa_study.tuning.stopping.rules` and without Ray, so that an error there shows here;
the rungs, which are the same here and there, are held against Ray's by a test.
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

Judge = Callable[[int, float, float], str]
"""Takes a trial's number, progress and metric; says why the trial is to stop, or nothing."""


def check_stopping(evidence: Evidence) -> Iterator[str]:
    """Yields each trial that was stopped or went on against the rule, by what was known at that moment."""
    scheduler = evidence.study.config.space.scheduler
    judge = JUDGES[scheduler_spec(scheduler).rule](scheduler)
    stopped = {trial.number: trial.record.epoch for trial in evidence.study.trials if trial.record.stopped}
    for _, number, epoch, progress, value in sorted(_reports(evidence)):
        reason = judge(number, progress, value)
        due = bool(reason) and number != BASELINE and progress < 100
        if due and stopped.get(number) != epoch:
            yield f"trial {number}: went on after epoch {epoch}, but {reason}"
        if not due and stopped.get(number) == epoch:
            yield f"trial {number}: stopped at epoch {epoch}, where the {scheduler.name} rule lets it go on"


def _reports(evidence: Evidence) -> Iterator[tuple[float, int, int, float, float]]:
    """Every epoch: when, trial, epoch, progress, metric.

    Ray's `timestamp` has whole seconds and is the worker's; TensorBoard's is the driver's and exact.
    """
    for trial in evidence.study.trials:
        curves = evidence.curves.get(trial.number)
        for epoch, figures in evidence.epochs(trial.number).items():
            when = curves.times.get(epoch) if curves else None
            value = figures[evidence.study.config.metric]
            yield when or figures["timestamp"], trial.number, epoch, figures[names.PROGRESS], value


def _halving(scheduler: Scheduler) -> Judge:
    """ASHA, and HyperBand where trials are spread over brackets that begin later."""
    taken_at = [
        {share: dict[int, float]() for share in rungs(scheduler, bracket)}
        for bracket in range(bracket_count(scheduler))
    ]

    def judge(number: int, progress: float, value: float) -> str:
        if progress >= 100:
            return ""
        dropped = 1 - 1 / scheduler.reduction_factor
        for milestone, taken in reversed(taken_at[bracket_of(number, scheduler)].items()):
            if progress >= milestone and number not in taken:
                before = list(taken.values())
                taken[number] = value
                cutoff = np.percentile(before, 100 * dropped) if before else -math.inf
                below = f"its {value:.6f} is below the cut-off {cutoff:.6f} of the rung at {milestone:g} %"
                return below if value < cutoff else ""
        return ""

    return judge


def _median(scheduler: Scheduler) -> Judge:
    told: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)

    def judge(number: int, progress: float, value: float) -> str:
        told[number].append((progress, value))
        others = [other for key, other in told.items() if key != number and other[-1][0] >= progress]
        spans = [[v for p, v in other if scheduler.grace_period <= p <= progress] for other in others]
        means = [statistics.fmean(span) for span in spans if span]
        if progress < scheduler.grace_period or len(means) < 3:
            return ""
        best, middle = max(v for _, v in told[number]), statistics.median(means)
        return f"its best {best:.6f} is below the median {middle:.6f} of the others" if best < middle else ""

    return judge


def _none(scheduler: Scheduler) -> Judge:
    return lambda number, progress, value: ""


JUDGES = {"halving": _halving, "median": _median, "none": _none}
"""By the rule of a scheduler (`SchedulerSpec.rule`), what makes its judge."""
