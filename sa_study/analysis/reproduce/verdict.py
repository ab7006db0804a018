"""Whether a rerun of a trial gave what was recorded, and what is kept of that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.analysis.reproduce.compare_epochs import (
    DIFFERENT,
    EQUAL,
    WITHIN,
    Difference,
    compare,
    contradictions,
    disagreements,
    largest,
)
from sa_study.analysis.reproduce.environment import Change, changes_since
from sa_study.analysis.reproduce.recorded import RAY, Recorded
from sa_study.analysis.reproduce.rerun import Rerun, compare_weights
from sa_study.metrics import names
from sa_study.provenance import describe_run
from sa_study.utils.errors import StudyFolderError
from sa_study.utils.files import read_json, write_json

_OF_LIST = "reproductions"


@dataclass(frozen=True)
class Verdict:
    """Whether a trial's figures came again.

    Attributes:
        result: `equal`, `within tolerance` or `different`.
        reasons: Why it is not equal, the first the one that decides.
        differences: Every figure that differs.
        weights: Whether the best epoch's weights are `equal` or `different`, or `not compared`.
        changes: What differs between then and now.
        rerun: The study's metric at the record's best epoch in the rerun; None where there is none.
    """

    result: str
    reasons: list[str]
    differences: list[Difference]
    weights: str
    changes: list[Change]
    rerun: float | None


def judge(recorded: Recorded, rerun: Rerun, tolerance: float) -> Verdict:
    """Compares a rerun with the record.

    Equal figures are asked for where nothing differs that figures depend on; elsewhere the study's metric at
    the best epoch must be within the tolerance, and the record must not contradict itself.

    Args:
        recorded: The record.
        rerun: What came of it now.
        tolerance: In points of the study's metric.
    """
    changes = [*recorded.doubts(rerun.device, rerun.start), *_changes(recorded, rerun)]
    weights, why = compare_weights(recorded, rerun.weights)
    if why:
        changes.append(Change(why, decides=False))
    differences = _differences(recorded, rerun)
    metric, best = recorded.config.metric, int(recorded.record.best.get(names.EPOCH, 0))
    again = rerun.epochs.get(best, {}).get(metric)
    failing = failures(recorded.record.failure, rerun.failure)
    weights_line = "the best epoch's weights differ" if weights == DIFFERENT else ""
    unequal = [line for line in (failing, *map(str, differences), weights_line) if line]
    if not unequal:
        return Verdict(EQUAL, [], [], weights, changes, again)
    reasons = _decisive(recorded, rerun, differences, tolerance, best if weights == EQUAL else 0)
    if weights_line and not differences and not reasons and recorded.trained_epochs:
        reasons.append(f"{weights_line}, though every figure is equal: the checkpoint was changed")
    if not any(change.decides for change in changes):
        reasons.append(f"{unequal[0]}, though nothing that figures depend on differs between then and now")
    result, reasons = (DIFFERENT, reasons) if reasons else (WITHIN, [failing] if failing else [])
    return Verdict(result, reasons, differences, weights, changes, again)


def _differences(recorded: Recorded, rerun: Rerun) -> list[Difference]:
    """Every figure that differs; what several places have alike is told once."""
    found: dict[tuple[int, str, str], Difference] = {}
    for source, epochs in recorded.sources.items():
        for difference in compare(source, epochs, rerun.epochs, whole=source == RAY):
            known = difference.epoch, difference.figure, repr(difference.recorded)
            found.setdefault(known, difference)
    return list(found.values())


def _decisive(
    recorded: Recorded, rerun: Rerun, differences: Sequence[Difference], tolerance: float, equal_weights: int
) -> list[str]:
    """Why a rerun is no reproduction, whatever differs between then and now."""
    reasons, metric = [], recorded.config.metric
    before = _failed_in(recorded.record.failure)
    if bool(recorded.record.failure) != bool(rerun.failure) or before not in (0, _failed_in(rerun.failure)):
        reasons.append(failures(recorded.record.failure, rerun.failure))
    at_best = [
        d for d in differences if d.figure == metric and d.epoch == recorded.record.best.get(names.EPOCH)
    ]
    for difference in at_best:
        if difference.size is None or 100 * difference.size > tolerance:
            reasons.append(f"{difference}: more than {tolerance:g} points apart")
    found = contradictions(differences, recorded.trained_epochs, tolerance, equal_weights)
    return [*reasons, *disagreements(recorded.sources, recorded.varying_epochs), *found]


def failures(recorded: str, rerun: str) -> str:
    """What is not the same about two runs' failures, in words; empty for the same, or none in both."""
    if recorded == rerun or (recorded and rerun and not _failed_in(recorded)):
        return ""  # of a process that died no reason is recorded
    if not rerun:
        return f"the failure did not come again ({recorded})"
    return f"the rerun failed: {rerun}" + (f"; recorded: {recorded}" if recorded else "")


def _failed_in(failure: str) -> int:
    """The epoch that a failure names, or 0."""
    first, _, _ = failure.removeprefix("epoch ").partition(":")
    return int(first) if failure.startswith("epoch ") and first.isascii() and first.isdigit() else 0


def _changes(recorded: Recorded, rerun: Rerun) -> list[Change]:
    return changes_since(
        recorded.launches, describe_run(), on_gpu=recorded.on_gpu, gpu_now=rerun.device != "cpu"
    )


def entry(recorded: Recorded, rerun: Rerun, verdict: Verdict, tolerance: float) -> dict[str, Any]:
    """What is kept of a reproduction, as plain values."""
    now, score = describe_run(), recorded.record.best.get(recorded.config.metric)
    return {
        "time": now["time"],
        "command": now["command"],
        "trial": recorded.number,
        "result": verdict.result,
        "tolerance": tolerance,
        "epochs": len(rerun.epochs),
        "metric": recorded.config.metric,
        "recorded": score if score is not None and math.isfinite(score) else None,
        "rerun": verdict.rerun,
        "largest_difference": largest(recorded.sources.values(), verdict.differences),
        "weights": verdict.weights,
        "differs": [change.line for change in verdict.changes],
    }


def read_reproductions(path: Path) -> list[Any]:
    """What a study's reproductions gave, the latest last; nothing where there are none.

    Raises:
        StudyFolderError: The file is damaged.
    """
    try:
        found = read_json(path)[_OF_LIST] if path.exists() else []
        if not isinstance(found, list):
            raise ValueError(_OF_LIST)
    except (OSError, ValueError, KeyError):
        raise StudyFolderError(f"{path}: is damaged; move it away, and reproductions are kept anew") from None
    return found


def keep(path: Path, new: Mapping[str, Any]) -> None:
    """Adds a reproduction to those that are kept.

    Raises:
        StudyFolderError: The file is damaged.
    """
    write_json(path, {_OF_LIST: [*read_reproductions(path), new]})
