"""What `evaluate` and `confirm` have left beside a study's database, checked: anyone can edit it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.study.result_files import is_number
from sa_study.utils.files import read_json

_CONFIRMATION: dict[str, tuple[type, ...]] = {
    "metric": (str,),
    "seeds": (list,),
    "folds": (list,),
    "comparisons": (int,),
    "configurations": (list,),
    "winner": (int, type(None)),
    "verdict": (str,),
    "curse": (dict, type(None)),  # the winner's curse
}
"""Keys of `confirmation.json` that are read, and the types of their values."""


@dataclass(frozen=True)
class ConfirmationSummary:
    """The checked findings of `confirm`.

    Attributes:
        winner: Number of the trial found to beat the baseline; None if there is none.
        trials: Numbers of the retrained trials, the baseline among them.
        ended: Whether all runs have ended.
        verdict: The verdict, in words.
    """

    winner: int | None
    trials: tuple[int, ...]
    ended: bool
    verdict: str


def read_confirmation(path: Path) -> ConfirmationSummary | None:
    """The findings of `confirm`; None where there is no such file, or it is damaged."""
    try:
        found = read_json(path)
        if any(type(found[name]) not in types for name, types in _CONFIRMATION.items()):
            raise TypeError
        trials = tuple(operator.index(row["trial"]) for row in found["configurations"])
        if found["curse"] is not None:
            operator.index(found["curse"]["trial"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    ended = found.get("complete", True) is True
    return ConfirmationSummary(found["winner"], trials, ended, found["verdict"])


def read_evaluation(path: Path) -> dict[str, Any]:
    """The content of an evaluation file, without invalid intervals.

    Raises:
        OSError: The file cannot be read.
        ValueError, KeyError, TypeError: The file is damaged.
    """
    found = read_json(path)
    reranked = found.get("reranked")
    for figures in (found, reranked) if reranked else (found,):
        for name in names.TEST_FIGURES:
            if name not in figures and name not in (names.MAP, names.RANK1):  # which every version wrote
                continue
            if isinstance(figures[name], str | bool) or not 0 <= figures[name] <= 1:
                raise ValueError(name)
    for name, kind in (("queries", int), ("gallery", int), ("settings", dict)):
        if type(found[name]) is not kind:
            raise ValueError(name)
    seconds = found.get("seconds", {})
    if type(seconds) is not dict or not all(map(is_number, seconds.values())):
        raise ValueError("seconds")
    reranked = {**reranked, "intervals": _intervals(reranked)} if reranked else None
    return {**found, "intervals": _intervals(found), "reranked": reranked}


def _intervals(figures: Mapping[str, Any]) -> dict[str, list[float]]:
    content = figures.get("intervals")
    return {
        str(name): ends
        for name, ends in (content.items() if isinstance(content, dict) else ())
        if isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)
    }
