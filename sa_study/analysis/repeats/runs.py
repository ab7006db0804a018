"""The runs of given configurations, each with several seeds and folds, and their statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.confidence import LEVEL, Stratum, estimate
from sa_study.metrics.query_scores import QueryScores
from sa_study.provenance import utc_now
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

REPEATED_SETTINGS = ("seed", "fold")
"""Settings in which the runs of one configuration differ."""

Configuration = dict[str, Any]
"""A value of each searched setting, but for seed and fold."""


@dataclass(frozen=True)
class Run:
    """A configuration trained with one seed on one fold.

    Attributes:
        trial: Its number in the study of the repeats.
        configuration: The configuration.
        seed: Its seed.
        fold: Which identities it was validated with.
        figures: Its best epoch's figures; empty if it failed before its first.
        failure: Why it failed, or empty.
        scores: What each validation query scored at that epoch; None of a failed run.
        reranked: The same after re-ranking, where that was asked for.
    """

    trial: int
    configuration: Configuration
    seed: int
    fold: int
    figures: Mapping[str, float]
    failure: str = ""
    scores: QueryScores | None = None
    reranked: QueryScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """The run's seed, fold and validation metrics as plain values."""
        metrics = {name: self.figures.get(name) for name in names.STUDY_METRICS}
        return {"seed": self.seed, "fold": self.fold, **metrics}


def without_repeats(settings: Mapping[str, Any]) -> Configuration:
    """The configuration that a run's searched settings are of."""
    return {name: value for name, value in settings.items() if name not in REPEATED_SETTINGS}


def ended_runs(study: StudySummary) -> list[tuple[TrialSummary, Run]]:
    """The trials of a study of repeats that have ended, as runs that lack their queries' scores."""
    return [
        (
            trial,
            Run(
                trial.number,
                without_repeats(trial.params),
                trial.params["seed"],
                study.value(trial, "fold"),
                trial.record.best,
                trial.record.failure,
            ),
        )
        for trial in study.trials
        if trial.state in ("COMPLETE", "FAIL")
    ]


def runs_of(configuration: Configuration, runs: Sequence[Run]) -> list[Run]:
    """The runs of one configuration."""
    return [run for run in runs if run.configuration == configuration]


def strata_of(runs: Sequence[Run], *, reranked: bool = False) -> list[Stratum]:
    """The query scores of runs of one configuration, by fold; failed runs are left out."""
    by_fold: dict[int, list[QueryScores]] = {}
    for run in sorted(runs, key=lambda run: (run.fold, run.seed)):
        if (scores := run.reranked if reranked else run.scores) is not None:
            by_fold.setdefault(run.fold, []).append(scores)
    return [Stratum(fold, of_fold) for fold, of_fold in by_fold.items()]


def figure_statistics(strata: Sequence[Stratum]) -> dict[str, dict[str, float]] | None:
    """Mean, standard deviation over runs (n - 1; 0 of one run) and 95 % interval, as plain values.

    Returns:
        By study metric, fractions; None where there is no run.
    """
    if not strata:
        return None
    found = {}
    for figure in names.STUDY_METRICS:
        values = [float(run.of(figure).mean()) for stratum in strata for run in stratum.runs]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        mean = estimate(strata, figure)
        found[figure] = {"mean": mean.mean, "std": deviation, "low": mean.low, "high": mean.high}
    return found


def summarise_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """How many runs of a configuration ended and failed, and the statistics of the others."""
    failed = sum(bool(run.failure) for run in runs)
    return {"runs": len(runs), "failed": failed, "figures": figure_statistics(strata_of(runs))}


def describe_repeats(runs: Sequence[Run], asked: int, seeds: Sequence[int], metric: str) -> dict[str, Any]:
    """The entries that `confirmation.json` and `ablation.json` have in common.

    Args:
        runs: The runs that have ended.
        asked: How many runs there should be.
        seeds: The seeds of every configuration.
        metric: The study's metric.
    """
    failed = sum(bool(run.failure) for run in runs)
    return {
        "time": utc_now(),
        "metric": metric,
        "seeds": list(seeds),
        "level": LEVEL,
        "complete": len(runs) == asked,
        "runs": {"asked": asked, "ended": len(runs), "failed": failed},
    }
