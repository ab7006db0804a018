"""Is one configuration really better than another? Differences of evaluations, paired by query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.comparability import why_not_comparable
from sa_study.metrics.confidence import FIGURES, LEVEL, Estimate, Stratum, difference
from sa_study.metrics.protocol import PROTOCOL, recorded_protocol
from sa_study.metrics.query_scores import QueryScores
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_json

_FILE = "evaluation.json"


def compare_evaluations(first: Path, second: Path) -> dict[str, Any]:
    """Compares two configurations on the same test images.

    Args:
        first: An evaluation file, or a folder that holds `evaluation.json` or one in each `seed_…`.
        second: The same for the other configuration.

    Returns:
        For `plain` figures (and `reranked` ones where all evaluations have them) and each of rank-1 and mAP:
        both means, their difference (second less first, fractions) with its 95 % interval and two-sided p
        value, and the number of queries whose mean over runs rose and fell. `seeds` is whether the intervals
        include the spread between seeds.

    Raises:
        DataError: There is no evaluation, one is damaged or of an earlier version, or they cannot be
            compared; see `why_not_comparable`.
    """
    sides = [{file: _read(file) for file in _files(path)} for path in (first, second)]
    reference, reference_evaluation = next(iter(sides[0].items()))
    for side in sides:
        for path, evaluation in side.items():
            if reason := why_not_comparable(reference_evaluation, evaluation):
                raise DataError(f"{path}: cannot be compared with {reference}: {reason}")
    before, after = (list(side.values()) for side in sides)
    found: dict[str, Any] = {"plain": _compare(before, after)}
    if all(evaluation.get("reranked") for evaluation in before + after):
        found["reranked"] = _compare(*([one["reranked"] for one in side] for side in (before, after)))
    runs = [len(before), len(after)]
    about = {"first": str(first), "second": str(second), "runs": runs, "seeds": min(runs) > 1}
    return {**about, PROTOCOL: recorded_protocol(reference_evaluation), **found}


def paired_difference(first: Mapping[str, Any], second: Mapping[str, Any], figure: str) -> Estimate | None:
    """The second evaluation's figure less the first's, with its 95 % interval over identities.

    Returns:
        None where the two cannot be compared, or an earlier version wrote no scores of single queries.
    """
    if why_not_comparable(first, second):
        return None
    try:
        before, after = evaluated_runs([first]), evaluated_runs([second])
        return difference(after, before, figure, LEVEL) if before[0].runs[0].valid.any() else None
    except (DataError, KeyError, TypeError):
        return None


def figure_differences(
    ours: Sequence[Stratum], theirs: Sequence[Stratum], level: float = LEVEL, *, same_runs: bool = False
) -> dict[str, dict[str, float]] | None:
    """Ours less theirs for each study metric, with its interval, as plain values for a JSON file.

    See `sa_study.metrics.confidence.difference` for the arguments.

    Returns:
        By figure; None where there are no runs, or the two sides have different folds.
    """
    if not ours or [one.fold for one in ours] != [one.fold for one in theirs]:
        return None
    found = {}
    for figure in names.STUDY_METRICS:
        estimate = difference(ours, theirs, figure, level, same_runs=same_runs)
        found[figure] = {name: getattr(estimate, name) for name in ("mean", "low", "high", "p_better")}
    return found


def evaluated_runs(evaluations: Iterable[Mapping[str, Any]]) -> list[Stratum]:
    """The query scores of evaluations on the same test images, as `difference` takes them."""
    return [Stratum(0, [QueryScores.from_dict(one["per_query"], "evaluation") for one in evaluations])]


def _compare(first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    before, after = evaluated_runs(first), evaluated_runs(second)
    return {figure: _compare_figure(before, after, figure) for figure in FIGURES}


def _compare_figure(before: Sequence[Stratum], after: Sequence[Stratum], figure: str) -> dict[str, Any]:
    means = [np.mean([run.of(figure) for run in side[0].runs], axis=0) for side in (before, after)]
    estimate = difference(after, before, figure, LEVEL)
    change = means[1] - means[0]
    return {
        "first": float(means[0].mean()),
        "second": float(means[1].mean()),
        "difference": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "p": 2 * min(estimate.p_better, 1 - estimate.p_better),
        "better": int((change > 0).sum()),
        "worse": int((change < 0).sum()),
        "queries": int(change.size),
    }


def _files(path: Path) -> list[Path]:
    files = [path]
    if path.is_dir():
        files = [path / _FILE] if (path / _FILE).is_file() else sorted(path.glob(f"seed_*/{_FILE}"))
    if not files or not path.exists():
        raise DataError(f"{path}: no {_FILE} there; 'evaluate' writes one, or give a file")
    return files


def _read(path: Path) -> dict[str, Any]:
    try:
        evaluation = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an evaluation ({error})") from None
    if "mAP" not in evaluation:
        raise DataError(f"{path}: is not an evaluation; 'evaluate' writes {_FILE}")
    parts = [evaluation, *filter(None, [evaluation.get("reranked")])]
    if not all(isinstance(part, dict) and isinstance(part.get("per_query"), dict) for part in parts):
        raise DataError(f"{path}: lacks the scores of single queries; run 'evaluate' again")
    for part in parts:
        QueryScores.from_dict(part["per_query"], str(path))  # names a damaged file before any comparison
    return evaluation
