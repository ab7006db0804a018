"""Judges whether a rerun reproduces a trial, and keeps the outcome in `reproduction.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.analysis.reproduce.compare_epochs import (
    DIFFERENT,
    EQUAL,
    WITHIN,
    FigureDifference,
    compare,
    contradictions,
    disagreements,
    largest_differences,
)
from sa_study.analysis.reproduce.environment import EnvironmentChange, environment_changes
from sa_study.analysis.reproduce.original import RAY, OriginalTrial
from sa_study.analysis.reproduce.rerun import Rerun, compare_weights
from sa_study.provenance import describe_run
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_json, write_json

_REPRODUCTIONS = "reproductions"


@dataclass(frozen=True)
class Reproduction:
    """A trial beside its rerun, and whether the rerun reproduces it.

    Attributes:
        original: The trial.
        rerun: Its rerun.
        tolerance: In points of the study's metric.
        result: `equal`, `within tolerance` or `different`.
        reasons: Why it is not equal, the decisive reason first.
        differences: Every figure that differs.
        weights: Whether the best epoch's weights are `equal` or `different`, or `not compared`.
        changes: What differs between then and now.
        now: What `describe_run` returned at the comparison.
    """

    original: OriginalTrial
    rerun: Rerun
    tolerance: float
    result: str
    reasons: Sequence[str]
    differences: Sequence[FigureDifference]
    weights: str
    changes: Sequence[EnvironmentChange]
    now: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The reproduction as plain values, as `reproduction.json` keeps it."""
        original, metric = self.original.summary, self.original.metric
        return {
            "time": self.now["time"],
            "command": self.now["command"],
            "trial": original.number,
            "result": self.result,
            "tolerance": self.tolerance,
            "epochs": len(self.rerun.epochs),
            "metric": metric,
            "recorded": original.score,
            "rerun": self.rerun.epochs.get(original.best_epoch or 0, {}).get(metric),
            "largest_difference": largest_differences(self.original.sources.values(), self.differences),
            "weights": self.weights,
            "differs": [change.line for change in self.changes],
        }


def judge_rerun(original: OriginalTrial, rerun: Rerun, tolerance: float) -> Reproduction:
    """Judges whether a rerun reproduces a trial.

    Where nothing that figures depend on has changed, all of them must be equal. Elsewhere the study's metric
    at the best epoch must be within the tolerance, and the record must not contradict itself.

    Args:
        original: The trial.
        rerun: Its rerun.
        tolerance: In points of the study's metric.
    """
    now = describe_run()
    changes = environment_changes(original, now, rerun.device, rerun.backbone_fingerprint)
    weights, why_not_compared = compare_weights(original, rerun.weights)
    if why_not_compared:
        changes.append(EnvironmentChange(why_not_compared, explains=False))
    differences = _differences(original, rerun)
    failure = failure_difference(original.failure, rerun.failure)
    other_weights = "the best epoch's weights differ" if weights == DIFFERENT else ""
    unequal = [line for line in (failure, *map(str, differences), other_weights) if line]
    reasons: list[str] = []
    if unequal:
        reasons = _inexplicable(original, rerun, differences, tolerance, weights)
        if other_weights and not differences and not reasons and original.trained_epochs:
            reasons = [f"{other_weights}, though every figure is equal: the checkpoint was changed"]
        if not any(change.explains for change in changes):
            reasons.append(
                f"{unequal[0]}, though nothing that figures depend on differs between then and now"
            )
    result = DIFFERENT if reasons else WITHIN if unequal else EQUAL
    if result == WITHIN and failure:
        reasons = [failure]
    return Reproduction(original, rerun, tolerance, result, reasons, differences, weights, changes, now)


def failure_difference(recorded: str, rerun: str) -> str:
    """How two runs' failures differ, in words; empty where they do not, or neither run failed."""
    if recorded == rerun or (recorded and rerun and not _failed_epoch(recorded)):
        return ""  # of a process that died no reason is recorded
    if not rerun:
        return f"the failure was not reproduced ({recorded})"
    return f"the rerun failed: {rerun}" + (f"; recorded: {recorded}" if recorded else "")


def read_reproductions(path: Path) -> list[Any]:
    """A study's reproductions, the latest last; none where the file does not exist.

    Raises:
        StudyFolderError: The file is damaged.
    """
    try:
        found = read_json(path)[_REPRODUCTIONS] if path.exists() else []
        if not isinstance(found, list):
            raise ValueError(_REPRODUCTIONS)
    except (OSError, ValueError, KeyError):
        raise StudyFolderError(f"{path}: is damaged; move it away, and reproductions are kept anew") from None
    return found


def add_reproduction(path: Path, new: Mapping[str, Any]) -> None:
    """Adds a reproduction to a study's.

    Raises:
        StudyFolderError: The file is damaged.
    """
    write_json(path, {_REPRODUCTIONS: [*read_reproductions(path), new]})


def _differences(original: OriginalTrial, rerun: Rerun) -> list[FigureDifference]:
    """Every figure that differs, once where several sources have the same value."""
    found: dict[tuple[int, str, str], FigureDifference] = {}
    for source, epochs in original.sources.items():
        for difference in compare(source, epochs, rerun.epochs, whole=source == RAY):
            found.setdefault((difference.epoch, difference.figure, repr(difference.recorded)), difference)
    return list(found.values())


def _inexplicable(
    original: OriginalTrial,
    rerun: Rerun,
    differences: Sequence[FigureDifference],
    tolerance: float,
    weights: str,
) -> list[str]:
    """Why a rerun does not reproduce a trial, whatever differs between then and now."""
    reasons, recorded, best = [], original.failure, original.summary.best_epoch
    other_epoch = _failed_epoch(recorded) not in (0, _failed_epoch(rerun.failure))
    if bool(recorded) != bool(rerun.failure) or other_epoch:
        reasons.append(failure_difference(recorded, rerun.failure))
    for difference in differences:
        if (difference.figure, difference.epoch) == (original.metric, best) and (
            difference.size is None or 100 * difference.size > tolerance
        ):
            reasons.append(f"{difference}: more than {tolerance:g} points apart")
    reasons += disagreements(original.sources, original.varying_epochs)
    equal_weights = best or 0 if weights == EQUAL else 0
    return reasons + contradictions(differences, original.trained_epochs, tolerance, equal_weights)


def _failed_epoch(failure: str) -> int:
    """The epoch that a failure names, or 0."""
    match = re.match(r"epoch (\d{1,9}):", failure, re.ASCII)
    return int(match[1]) if match else 0
