"""Are a study's leading configurations really better than its baseline?

A study's best score is the best of many on the same validation identities, with one seed: some of its lead is
luck. Here its leaders and the baseline are trained again, with seeds that the study did not use, and scored
on identities that it did not choose by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sa_study.analysis.repeats.figures import differences_of, figures_of
from sa_study.analysis.repeats.runs import (
    REPEATED,
    Point,
    Run,
    count_runs,
    of_point,
    points_of,
    repeated,
    scores_of,
    strata_of,
)
from sa_study.metrics.confidence import LEVEL, simultaneous
from sa_study.provenance import utc_now
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE, score
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError, RunFailed

ABOUT = "confirms"
"""Under which the study of the repeats keeps what it confirms."""

MOST_FOLDS = 4
"""Folds beside the study's own: at most a fifth of the identities is held out."""


@dataclass(frozen=True)
class Candidate:
    """A configuration to train again.

    Attributes:
        trial: The study's trial that ran it.
        point: Its searched settings, but for seed and fold.
        score: What it scored in the study.
    """

    trial: int
    point: Point
    score: float | None

    @property
    def name(self) -> str:
        """What it is called."""
        return "baseline" if self.trial == BASELINE else f"trial {self.trial}"


@dataclass(frozen=True)
class Confirmation:
    """What is to be confirmed, and how.

    Attributes:
        candidates: The baseline first, then the leaders, the best first.
        seeds: Seeds that the study did not use.
        folds: Folds whose identities the study did not choose by.
        top: How many leaders were asked for; the study may have had fewer.
    """

    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    top: int

    @property
    def initial_trials(self) -> InitialTrials:
        """What the study of the repeats is given."""
        points = points_of([candidate.point for candidate in self.candidates], self.seeds, self.folds)
        kept = [dataclasses.asdict(candidate) for candidate in self.candidates]
        about = {"candidates": kept, "first_seed": self.seeds[0], "folds": self.folds, "top": self.top}
        return InitialTrials(points, {ABOUT: about})


def choose(
    config: StudyConfig, trials: Sequence[FrozenTrial], *, top: int, seeds: int, folds: int
) -> Confirmation:
    """Chooses what to confirm of a study.

    Args:
        config: What the study was asked for.
        trials: Its trials.
        top: How many leading configurations, beside the baseline.
        seeds: How many seeds.
        folds: How many folds.

    Raises:
        ConfigError: A number is out of range.
        RunFailed: The study has no complete trial beside the baseline.
    """
    if not 1 <= folds <= MOST_FOLDS:
        raise ConfigError(f"--folds: {folds} is not between 1 and {MOST_FOLDS}")
    if seeds * folds < 2:
        raise ConfigError(
            f"--seeds: {seeds} run of each tells nothing of what a seed changes; give 2 or more"
        )
    leaders = sorted(
        (trial for trial in trials if trial.state == TrialState.COMPLETE),
        key=lambda trial: (-(score(trial, config.metric) or 0.0), trial.number),
    )
    baseline = Candidate(BASELINE, _point(config.space.baseline), _score_of(trials, config.metric))
    candidates = [baseline]
    for trial in leaders:
        point = _point(trial.params)
        if len(candidates) <= top and all(point != other.point for other in candidates):
            candidates.append(Candidate(trial.number, point, score(trial, config.metric)))
    if len(candidates) == 1:
        raise RunFailed("no configuration but the baseline is complete: there is nothing to confirm")
    base = config.space.settings(config.space.baseline)
    used = {base.seed, *(trial.params["seed"] for trial in trials if "seed" in trial.params)}
    first = max(used) + 1
    own = base.fold
    fresh = [fold for fold in range(MOST_FOLDS + 1) if fold != own][:folds]
    return Confirmation(tuple(candidates), tuple(range(first, first + seeds)), tuple(fresh), top)


def describe(confirmation: Confirmation, parent: StudyConfig) -> StudyConfig:
    """The study of the repeats."""
    space = repeated(parent.space, confirmation.seeds[0], confirmation.folds)
    return dataclasses.replace(
        parent,
        space=space,
        trials=len(confirmation.initial_trials.configurations),
        time_budget=None,
        epoch_budget=None,
        gpu_hours=None,
        minimize=None,
        storage_path=parent.storage_path and f"{parent.storage_path.rstrip('/')}-confirm",
    )


def kept_of(about: Mapping[str, Any], asked: Confirmation, folder: StudyFolder) -> Confirmation:
    """What a study of repeats that is there already confirms, with the seeds that are asked for now.

    The study may have found better ones since: what was begun is ended first.

    Raises:
        ConfigError: It was begun with other numbers of configurations, seeds or folds.
    """
    kept = about.get(ABOUT)
    again = f"remove {folder.root} to begin anew"
    if not isinstance(kept, dict):
        raise ConfigError(f"{folder.root}: holds a study that 'confirm' did not make; move it")
    try:
        candidates = tuple(Candidate(**values) for values in kept["candidates"])
        top, folds = int(kept["top"]), tuple(kept["folds"])
        seeds = tuple(range(int(kept["first_seed"]), int(kept["first_seed"]) + len(asked.seeds)))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{folder.root}: what it confirms is damaged, or of another version; {again}"
        ) from None
    if top != asked.top:
        raise ConfigError(
            f"--top: {asked.top}, but {folder.root} was begun with {top}; give the same, or {again}"
        )
    if folds != asked.folds:
        raise ConfigError(
            f"--folds: {len(asked.folds)}, but {folder.root} was begun with {len(folds)}; give the same, or "
            f"{again}"
        )
    return Confirmation(candidates, seeds, asked.folds, asked.top)


def conclude(confirmation: Confirmation, runs: Sequence[Run], config: StudyConfig) -> dict[str, Any]:
    """What came of it: the content of `confirmation.json`.

    The winner is the best of the configurations whose difference to the baseline has an interval above 0; the
    intervals of all differences hold together, so that any of them may be named. Where a run of the baseline
    failed, none is: what is left of it says too little of how much its seeds do.

    Args:
        confirmation: What was to be confirmed.
        runs: All its runs, with their scores.
        config: The study of the repeats.
    """
    candidates, metric = confirmation.candidates, config.metric
    level = simultaneous(LEVEL, len(candidates) - 1)
    runs_of = [of_point(runs, candidate.point) for candidate in candidates]
    strata = [strata_of(mine) for mine in runs_of]
    baseline = candidates[0]
    rows: list[dict[str, Any]] = [
        {
            "name": candidate.name,
            "trial": candidate.trial,
            "settings": candidate.point,
            "study_score": candidate.score,
            "study_lead": _lead(candidate, baseline),
            "runs": len(mine),
            "failed": sum(bool(run.failure) for run in mine),
            "scores": scores_of(mine),
            "figures": figures_of(of_mine),
            "difference": None if candidate is baseline else differences_of(of_mine, strata[0], level),
        }
        for candidate, mine, of_mine in zip(candidates, runs_of, strata, strict=True)
    ]
    whole = [row for row in rows if row["figures"] and not row["failed"]]
    better = [row for row in whole if _better(row, metric)] if rows[0] in whole else []
    leader = max(better or whole, key=lambda row: row["figures"][metric]["mean"], default=None)
    return {
        "time": utc_now(),
        "metric": metric,
        "seeds": list(confirmation.seeds),
        "folds": list(confirmation.folds),
        "level": LEVEL,
        "comparisons": len(candidates) - 1,
        "complete": len(runs) == len(confirmation.initial_trials.configurations),
        "runs": count_runs(runs, len(confirmation.initial_trials.configurations)),
        "configurations": rows,
        "leader": leader["trial"] if leader else None,
        "winner": leader["trial"] if leader and better else None,
        "verdict": _verdict(rows, leader, metric, confirmation),
        "curse": _curse(rows, metric),
    }


def _better(row: Mapping[str, Any], metric: str) -> bool:
    return bool(row["difference"]) and row["difference"][metric]["low"] > 0


def _verdict(
    rows: Sequence[Mapping[str, Any]], leader: Mapping[str, Any] | None, metric: str, asked: Confirmation
) -> str:
    count = len(rows) - 1
    several = f"for all {count} comparisons together" if count > 1 else "one comparison"
    how = f"{len(asked.seeds)} new seeds, identities that the study did not choose by"
    if leader is None:
        return f"Nothing is confirmed: of every configuration a run failed ({how})."
    if rows[0]["failed"] or not rows[0]["figures"]:
        return f"Nothing is confirmed: of the baseline's runs some failed ({how})."
    if leader["trial"] == BASELINE:
        which = f"None of the {count} leading configurations" if count > 1 else "The leader does not"
        return f"{which} {'beats' if count > 1 else 'beat'} the baseline ({how})."
    found = leader["difference"]
    mean, low, high = (100 * found[metric][name] for name in ("mean", "low", "high"))
    said = f"{mean:+.1f} points of {metric} (95 % interval {low:+.1f} to {high:+.1f}, {several}; {how})"
    if _better(leader, metric):
        return f"{leader['name'].capitalize()} beats the baseline: {said}."
    return f"None is shown to beat the baseline; the best, {leader['name']}: {said}."


def _curse(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """The study's winner: its lead there, and what is left of it; None where it had none."""
    scored = [row for row in rows[1:] if row["study_score"] is not None and row["difference"]]
    if not scored:
        return None
    winner = max(scored, key=lambda row: (row["study_score"], -row["trial"]))
    if winner["study_lead"] is None or winner["study_lead"] <= 0:
        return None
    left = winner["difference"][metric]
    return {
        "trial": winner["trial"],
        "study_lead": winner["study_lead"],
        "lead": left["mean"],
        "low": left["low"],
        "high": left["high"],
    }


def _lead(candidate: Candidate, baseline: Candidate) -> float | None:
    if candidate is baseline or candidate.score is None or baseline.score is None:
        return None
    return candidate.score - baseline.score


def _score_of(trials: Sequence[FrozenTrial], metric: str) -> float | None:
    return next((score(trial, metric) for trial in trials if trial.number == BASELINE), None)


def _point(params: Mapping[str, Any]) -> Point:
    return {name: value for name, value in params.items() if name not in REPEATED}
