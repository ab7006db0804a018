"""A study of given configurations, each with several seeds and folds, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sa_study.metrics import names
from sa_study.metrics.confidence import Stratum
from sa_study.metrics.query_scores import QueryScores
from sa_study.settings.space import Parameter, Scheduler, SearchSpace
from sa_study.study.config import StudyConfig
from sa_study.study.database import read_trials
from sa_study.study.folder import StudyFolder
from sa_study.study.records import read_record
from sa_study.tuning.launch.launch import LaunchObserver, Outcome, launch, resume
from sa_study.tuning.launch.relaunch import Changes
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError

_MOST_SEEDS = 2**31 - 1
REPEATED = ("seed", "fold")
"""Settings in which the runs of one configuration differ."""

Point = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A configuration with one seed on one fold.

    Attributes:
        trial: Its number in the study of the repeats.
        point: The configuration: a value of each searched setting, but for seed and fold.
        seed: Its seed.
        fold: Which identities it was validated with.
        figures: Its best epoch's figures; empty if it failed before its first.
        failure: Why it failed, or empty.
        scores: What each validation query scored at that epoch; None of a failed run.
        reranked: The same after re-ranking, where that was asked for.
    """

    trial: int
    point: Point
    seed: int
    fold: int
    figures: Mapping[str, float]
    failure: str = ""
    scores: QueryScores | None = None
    reranked: QueryScores | None = None


def repeated(space: SearchSpace, seed: int, folds: Sequence[int] | None) -> SearchSpace:
    """A space whose trials differ in seed and fold too, and of which none is stopped early.

    Args:
        space: What the configurations are of.
        seed: The first seed.
        folds: The folds, or None for the one that the space fixes.
    """
    added = {"seed": Parameter("int", 0, _MOST_SEEDS)}
    first: Point = {"seed": seed}
    if folds is not None:
        added["fold"] = Parameter("categorical", choices=tuple(folds))
        first["fold"] = folds[0]
    return dataclasses.replace(
        space,
        search={**_without(space.search, added), **added},
        fixed=_without(space.fixed, added),
        baseline={**_without(space.baseline, added), **first},
        sampler="random",  # never asked: every configuration is given
        scheduler=Scheduler("none"),
    )


def points_of(
    configurations: Sequence[Mapping[str, Any]], seeds: Sequence[int], folds: Sequence[int] | None
) -> tuple[Point, ...]:
    """Every configuration with every seed on every fold; a stop leaves as many of each as can be."""
    of_folds: list[Point] = [{}] if folds is None else [{"fold": fold} for fold in folds]
    return tuple(
        {**point, "seed": seed, **of_fold}
        for seed in seeds
        for of_fold in of_folds
        for point in configurations
    )


def run_all(
    root: Path, config: StudyConfig, initial_trials: InitialTrials, observer: LaunchObserver, changes: Changes
) -> Outcome:
    """Makes the study of the repeats and runs it, or goes on with it.

    Args:
        root: Its folder.
        config: What it is, where it has to be made.
        initial_trials: Its configurations; those that it does not have yet are added.
        observer: Hears of the launch while it runs.
        changes: What is asked of a study that is there already, but for the number of trials.

    Raises:
        StudyError: Bad input; nothing was written, or the study is as it was.
    """
    if not StudyFolder(root).config.exists():
        return launch(root, config, observer, initial_trials)
    begun = sum(trial.state != TrialState.WAITING for trial in read_trials(StudyFolder.existing(root)))
    if begun > (trials := len(initial_trials.configurations)):
        raise ConfigError(f"--seeds: {root} has begun {begun} runs, more than these {trials}; give more")
    return resume(root, dataclasses.replace(changes, trials=trials), observer, initial_trials)


def ended_runs(trials: Sequence[FrozenTrial], fold: int) -> Iterator[tuple[FrozenTrial, Run]]:
    """The runs of trials that have ended, without what their queries scored.

    Args:
        trials: Those of the study of the repeats.
        fold: The fold of trials that name none.
    """
    for trial in trials:
        if trial.state not in (TrialState.COMPLETE, TrialState.FAIL):
            continue
        record, params = read_record(trial), dict(trial.params)
        point = _without(params, REPEATED)
        yield (
            trial,
            Run(
                trial.number,
                point,
                params["seed"],
                params.get("fold", fold),
                record.best,
                record.failure,
            ),
        )


def strata_of(runs: Sequence[Run], *, reranked: bool = False) -> list[Stratum]:
    """The scores of runs of one configuration, by fold; failed runs are left out."""
    by_fold: dict[int, list[QueryScores]] = {}
    for run in sorted(runs, key=lambda run: (run.fold, run.seed)):
        if (scores := run.reranked if reranked else run.scores) is not None:
            by_fold.setdefault(run.fold, []).append(scores)
    return [Stratum(fold, of_fold) for fold, of_fold in by_fold.items()]


def of_point(runs: Sequence[Run], point: Mapping[str, Any]) -> list[Run]:
    """The runs of one configuration."""
    return [run for run in runs if run.point == dict(point)]


def count_runs(runs: Sequence[Run], asked: int) -> dict[str, int]:
    """How many runs there should be, how many have ended, and how many of these failed."""
    failed = sum(bool(run.failure) for run in runs)
    return {"asked": asked, "ended": len(runs), "failed": failed}


def scores_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each run's validation figures as plain values."""
    return [
        {"seed": run.seed, "fold": run.fold, **{name: run.figures.get(name) for name in names.STUDY_METRICS}}
        for run in runs
    ]


def _without(values: Mapping[str, Any], left_out: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in left_out}
