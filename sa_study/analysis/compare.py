"""Are two evaluations of the same test images really different?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sa_study.metrics import names
from sa_study.metrics.comparability import why_not_comparable
from sa_study.metrics.confidence import LEVEL, Estimate, Stratum, difference
from sa_study.metrics.query_scores import QueryScores
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_json

_FILE = "evaluation.json"
FIGURES = (names.RANK1, names.MAP)


@dataclass(frozen=True)
class Side:
    """Evaluations of one configuration, of one or several trainings.

    Attributes:
        name: What the user called it.
        files: Their files.
        evaluations: Their content.
    """

    name: str
    files: tuple[Path, ...]
    evaluations: tuple[Mapping[str, Any], ...]

    def strata(self, *, reranked: bool) -> list[Stratum]:
        """The scores of its queries, run by run."""
        runs = []
        for path, found in zip(self.files, self.evaluations, strict=True):
            part = found["reranked"] if reranked else found
            runs.append(QueryScores.from_dict(part["per_query"], str(path)))
        return [Stratum(0, runs)]


def read_side(path: Path) -> Side:
    """Reads an evaluation: a JSON file, or a folder with one, or with one in each `seed_…`.

    Raises:
        DataError: There is none, or it is damaged or older than the scores of single queries.
    """
    files = [path]
    if path.is_dir():
        files = [path / _FILE] if (path / _FILE).is_file() else sorted(path.glob(f"seed_*/{_FILE}"))
    if not files or not path.exists():
        raise DataError(f"{path}: no {_FILE} there; 'evaluate' writes one, or give a file")
    return Side(str(path), tuple(files), tuple(map(_read, files)))


def compare(one: Side, other: Side) -> dict[str, Any]:
    """Compares two sides, paired by query.

    Returns:
        By kind (`plain`, and `reranked` where both have it) and figure: the means of both sides, the
        difference (second less first) with its 95 % interval and two-sided p value, and how many queries got
        better and worse by the mean over runs. `seeds` tells whether other seeds are covered.

    Raises:
        DataError: Their difference would say nothing; see `why_not_comparable`.
    """
    _require_comparable(one, other)
    kinds = ["plain"]
    if all(found.get("reranked") for side in (one, other) for found in side.evaluations):
        kinds.append("reranked")
    found = {}
    for kind in kinds:
        before, after = (side.strata(reranked=kind == "reranked") for side in (one, other))
        found[kind] = {figure: _compared(before, after, figure) for figure in FIGURES}
    runs = [len(side.evaluations) for side in (one, other)]
    return {"first": one.name, "second": other.name, "runs": runs, "seeds": min(runs) > 1, **found}


def paired_difference(first: Mapping[str, Any], second: Mapping[str, Any], figure: str) -> Estimate | None:
    """The second evaluation's figure less the first's, with its 95 % interval over identities.

    Returns:
        None where the two cannot be compared, or hold no scores of single queries, as earlier versions' do.
    """
    if why_not_comparable(first, second):
        return None
    try:
        sides = [QueryScores.from_dict(evaluation["per_query"], "") for evaluation in (first, second)]
        if not sides[0].valid.any():
            return None
        before, after = ([Stratum(0, [scores])] for scores in sides)
        return difference(after, before, figure, LEVEL)
    except (DataError, KeyError, TypeError):
        return None


def _compared(before: Sequence[Stratum], after: Sequence[Stratum], figure: str) -> dict[str, Any]:
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


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an evaluation ({error})") from None
    if "mAP" not in found:
        raise DataError(f"{path}: is no evaluation; 'evaluate' writes {_FILE}")
    again = found.get("reranked")
    parts = [found, *([again] if again else [])]
    if not all(isinstance(part, dict) and isinstance(part.get("per_query"), dict) for part in parts):
        raise DataError(f"{path}: lacks the scores of single queries; run 'evaluate' again")
    for part in parts:
        QueryScores.from_dict(part["per_query"], str(path))  # damaged ones are named before any comparison
    return found


def _require_comparable(one: Side, other: Side) -> None:
    for side in (one, other):
        for path, found in zip(side.files, side.evaluations, strict=True):
            if reason := why_not_comparable(one.evaluations[0], found):
                raise DataError(f"{path}: cannot be compared with {one.files[0]}: {reason}")
