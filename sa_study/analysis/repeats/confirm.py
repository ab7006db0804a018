"""`confirm`: are a study's leading configurations really better than its baseline?

A study's best score is the best of many on the same validation identities, with one seed: part of its lead is
luck. Here the leaders and the baseline are trained again, with seeds that the study did not use, and scored
on held-out identities that had no part in their selection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.analysis.compare import figure_differences
from sa_study.analysis.repeats.runs import (
    Configuration,
    RepeatStudy,
    Run,
    describe_repeats,
    repeat_space,
    repeated_configurations,
    runs_of,
    scored_runs,
    strata_of,
    summarise_runs,
    without_seed_and_fold,
)
from sa_study.metrics import names
from sa_study.metrics.confidence import LEVEL, bonferroni_level
from sa_study.metrics.protocol import PROTOCOL
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import BASELINE, CONFIRMS
from sa_study.study.summary import StudySummary
from sa_study.tuning.search.initial_trials import InitialTrials
from sa_study.utils.errors import ConfigError, RunFailed, StudyFolderError
from sa_study.utils.files import require_writable, write_json
from sa_study.utils.progress import ProgressCallback

MAX_FOLDS = 4
"""Folds beside the study's own: five folds of at most a fifth of the identities each."""


@dataclass(frozen=True)
class Candidate:
    """A configuration to train again; its fields are stored in the database by their names.

    Attributes:
        trial: The study's trial that ran it.
        point: The configuration itself.
        score: Its score in the study.
    """

    trial: int
    point: Configuration
    score: float | None

    @property
    def name(self) -> str:
        """Name of the configuration in tables."""
        return "baseline" if self.trial == BASELINE else f"trial {self.trial}"


@dataclass(frozen=True)
class Confirmation:
    """A plan of `confirm`: its configurations, seeds and folds.

    Attributes:
        candidates: The baseline first, then the leaders, the best first.
        seeds: Seeds that the study did not use.
        folds: Folds whose held-out identities had no part in the study's scores.
        top: How many leaders were asked for; the study may have fewer.
    """

    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    top: int

    @property
    def initial_trials(self) -> InitialTrials:
        """All runs: every candidate with every seed on every fold."""
        runs = repeated_configurations([one.point for one in self.candidates], self.seeds, self.folds)
        candidates = [dataclasses.asdict(candidate) for candidate in self.candidates]
        about = {"candidates": candidates, "first_seed": self.seeds[0], "folds": self.folds, "top": self.top}
        return InitialTrials(runs, {CONFIRMS: about})

    def study(self, parent: StudyConfig) -> StudyConfig:
        """The study that trains these runs, like the confirmed study but without its limits."""
        return dataclasses.replace(
            parent,
            space=repeat_space(parent.space, self.seeds[0], self.folds),
            trials=len(self.initial_trials.configurations),
            time_budget=None,
            epoch_budget=None,
            gpu_hours=None,
            patience=None,
            minimize=None,
            track=(),
            storage_path=parent.storage_path and f"{parent.storage_path.rstrip('/')}-confirm",
        )


def plan_confirmation(study: StudySummary, *, top: int, seeds: int, folds: int) -> Confirmation:
    """Chooses a study's baseline and this many leaders, seeds and folds that it did not use.

    Raises:
        ConfigError: A number is out of range.
        RunFailed: The study has no complete trial beside the baseline.
    """
    if not 1 <= folds <= MAX_FOLDS:
        raise ConfigError(f"--folds: {folds} is not between 1 and {MAX_FOLDS}")
    if seeds * folds < 2:
        raise ConfigError(
            f"--seeds: {seeds} is too few: one run per configuration cannot show the spread between seeds; "
            "give --seeds 2 (or --folds 2) or more"
        )
    baseline = study.config.space.baseline
    scored = study.baseline.score if study.baseline else None
    candidates = [Candidate(BASELINE, without_seed_and_fold(baseline), scored)]
    for trial in study.complete:
        configuration = without_seed_and_fold(trial.params)
        if len(candidates) <= top and all(configuration != other.point for other in candidates):
            candidates.append(Candidate(trial.number, configuration, trial.score))
    if len(candidates) == 1:
        raise RunFailed("no configuration but the baseline is complete: there is nothing to confirm")
    used = study.config.space.settings(baseline)
    first = max(used.seed, *(trial.params.get("seed", 0) for trial in study.trials)) + 1
    unused_folds = [fold for fold in range(MAX_FOLDS + 1) if fold != used.fold][:folds]
    return Confirmation(tuple(candidates), tuple(range(first, first + seeds)), tuple(unused_folds), top)


def prepare_confirmation(
    root: Path, *, top: int, seeds: int, folds: int, data_dir: Path | None
) -> tuple[Confirmation, RepeatStudy]:
    """Plans the confirmation of a study, or finds the plan of one that was begun before.

    Raises:
        StudyError: The study is running or has nothing to confirm, or its confirmation was begun with other
            numbers of leaders or folds.
    """
    study = StudySummary.read(root)
    if study.driver:
        raise StudyFolderError(f"{root}: is run by {study.driver}; confirm it when it has ended")
    if study.of_repeats:
        raise StudyFolderError(
            f"{root}: was made by confirm or ablate, so it cannot be confirmed; name the study it came from"
        )
    require_writable(study.folder.confirmation)
    config, folder = study.config, StudyFolder(study.folder.confirm)
    if data_dir:
        config = dataclasses.replace(config, data_dir=data_dir.absolute())
    plan = plan_confirmation(study, top=top, seeds=seeds, folds=folds)
    if folder.config.exists():
        plan = plan_begun_before(StudySummary.read(folder.root).attributes, plan, folder)
    elif not data_dir:
        config.require_data()
    images = study.provenance["data_fingerprint"]
    initial_trials = dataclasses.replace(plan.initial_trials, image_fingerprint=images)
    return plan, RepeatStudy(folder, plan.study(config), initial_trials)


def plan_begun_before(
    attributes: Mapping[str, Any], asked: Confirmation, folder: StudyFolder
) -> Confirmation:
    """The plan that an existing confirmation was begun with, but with as many seeds as are asked for now.

    The parent study may have found better configurations since: what was begun is finished first.

    Raises:
        ConfigError: The plan is damaged, or has other numbers of leaders or folds.
    """
    kept, remedy = attributes.get(CONFIRMS), f"remove {folder.root} to begin anew"
    if not isinstance(kept, dict):
        raise ConfigError(f"{folder.root}: holds a study that 'confirm' did not make; move it")
    try:
        candidates = tuple(Candidate(**values) for values in kept["candidates"])
        top, folds, first = int(kept["top"]), tuple(kept["folds"]), int(kept["first_seed"])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{folder.root}: its stored plan is damaged, or of another version; {remedy}"
        ) from None
    for option, differs, now, was in (
        ("--top", top != asked.top, asked.top, top),
        ("--folds", folds != asked.folds, len(asked.folds), len(folds)),
    ):
        if differs:
            raise ConfigError(
                f"{option}: {now}, but {folder.root} was begun with {was}; give the same, or {remedy}"
            )
    return Confirmation(candidates, tuple(range(first, first + len(asked.seeds))), asked.folds, asked.top)


def finish_confirmation(
    root: Path, plan: Confirmation, study: RepeatStudy, report: ProgressCallback
) -> dict[str, Any]:
    """Scores the runs; writes `confirmation.json` of the study in `root`, and returns its content."""
    found = conclude_confirmation(plan, scored_runs(study.folder, report=report), study.config.metric)
    found[PROTOCOL] = StudySummary.read(study.folder.root).protocol
    write_json(StudyFolder(root).confirmation, found)
    return found


def conclude_confirmation(plan: Confirmation, runs: Sequence[Run], metric: str) -> dict[str, Any]:
    """Computes the content of `confirmation.json`.

    The winner is the best of the configurations whose difference to the baseline has an interval above 0. The
    intervals of all differences hold simultaneously, so that any of them may be named. There is no winner if
    a run of the baseline failed: the spread between its seeds is then too uncertain.
    """
    candidates = plan.candidates
    level = bonferroni_level(LEVEL, len(candidates) - 1)
    runs_by_candidate = [runs_of(candidate.point, runs) for candidate in candidates]
    baseline = strata_of(runs_by_candidate[0])
    rows: list[dict[str, Any]] = []
    for candidate, repeats in zip(candidates, runs_by_candidate, strict=True):
        rows.append(
            {
                "name": candidate.name,
                "trial": candidate.trial,
                "settings": candidate.point,
                "study_score": candidate.score,
                "study_lead": _lead(candidate, candidates[0]),
                "scores": [
                    {"seed": run.seed, "fold": run.fold}
                    | {name: run.figures.get(name) for name in names.STUDY_METRICS}
                    for run in repeats
                ],
                **summarise_runs(repeats),
                "difference": figure_differences(strata_of(repeats), baseline, level) if rows else None,
            }
        )
    whole = [row for row in rows if row["figures"] and not row["failed"]]
    better = [row for row in whole if _is_better(row, metric)] if rows[0] in whole else []
    leader = max(better or whole, key=lambda row: row["figures"][metric]["mean"], default=None)
    return {
        **describe_repeats(runs, len(plan.initial_trials.configurations), plan.seeds, metric),
        "folds": list(plan.folds),
        "comparisons": len(candidates) - 1,
        "configurations": rows,
        "leader": leader["trial"] if leader else None,
        "winner": leader["trial"] if leader and better else None,
        "verdict": _verdict(rows, leader, metric, len(plan.seeds)),
        "curse": _winners_curse(rows, metric),  # the winner's curse: a lead that was luck
    }


def _is_better(row: Mapping[str, Any], metric: str) -> bool:
    return bool(row["difference"]) and row["difference"][metric]["low"] > 0


def _verdict(
    rows: Sequence[Mapping[str, Any]], leader: Mapping[str, Any] | None, metric: str, seeds: int
) -> str:
    count = len(rows) - 1
    how = f"{seeds} new seeds, identities that the study did not choose by"
    if leader is None:
        return f"Nothing is confirmed: every configuration has a failed run ({how})."
    if rows[0]["failed"] or not rows[0]["figures"]:
        return f"Nothing is confirmed: some of the baseline's runs failed ({how})."
    if leader["trial"] == BASELINE:
        none = (
            f"None of the {count} leading configurations beats" if count > 1 else "The leader does not beat"
        )
        return f"{none} the baseline ({how})."
    several = f"for all {count} comparisons together" if count > 1 else "one comparison"
    mean, low, high = (100 * leader["difference"][metric][name] for name in ("mean", "low", "high"))
    lead = f"{mean:+.1f} points of {metric} (95 % interval {low:+.1f} to {high:+.1f}, {several}; {how})"
    if _is_better(leader, metric):
        return f"{leader['name'].capitalize()} beats the baseline: {lead}."
    return f"No configuration is shown to beat the baseline; the best, {leader['name']}: {lead}."


def _winners_curse(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any] | None:
    """The lead of the study's winner in the study, and when it was trained again; None if it led nothing."""
    scored = [row for row in rows[1:] if row["study_score"] is not None and row["difference"]]
    winner = max(scored, key=lambda row: (row["study_score"], -row["trial"]), default=None)
    if winner is None or (winner["study_lead"] or 0) <= 0:
        return None
    repeated = winner["difference"][metric]
    of_study = {name: winner[name] for name in ("trial", "study_lead")}
    return {**of_study, "lead": repeated["mean"], "low": repeated["low"], "high": repeated["high"]}


def _lead(candidate: Candidate, baseline: Candidate) -> float | None:
    if candidate is baseline or candidate.score is None or baseline.score is None:
        return None
    return candidate.score - baseline.score
