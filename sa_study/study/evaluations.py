"""What `evaluate` and `confirm` leave in a study's folder, checked: anyone can edit it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.settings.run import completed
from sa_study.utils.files import read_json

_SET_BY_EVALUATION = ("device", "pretrained", names.ACCUMULATE)
"""Settings that may differ between a trial and the evaluation of its checkpoint."""


_CONFIRMATION: dict[str, tuple[type, ...]] = {
    "metric": (str,),
    "seeds": (list,),
    "folds": (list,),
    "comparisons": (int,),
    "configurations": (list,),
    "winner": (int, type(None)),
    "verdict": (str,),
    "curse": (dict, type(None)),
}
"""What a confirmation holds, and of which types."""


@dataclass(frozen=True)
class ConfirmationSummary:
    """The checked findings of `confirm`.

    Attributes:
        winner: Number of the trial that it found to beat the baseline; None where it found none.
        trials: Numbers of the trials that it retrained, the baseline among them.
        ended: Whether all of its runs have ended.
        verdict: Its verdict, in words.
    """

    winner: int | None
    trials: tuple[int, ...]
    ended: bool
    verdict: str


def read_confirmation(path: Path) -> ConfirmationSummary | None:
    """What `confirm` has found; None where it was not asked, or its file is damaged."""
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


def read_evaluation(path: Path) -> dict[str, Any] | None:
    """An evaluation file's content; None where it is damaged.

    Raises:
        FileNotFoundError: There is none.
    """
    try:
        return _checked(read_json(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return None


def same_settings(evaluated: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a checkpoint that was evaluated was trained with these settings."""
    ignored = dict.fromkeys(_SET_BY_EVALUATION)
    return {**completed(evaluated), **ignored} == {**settings, **ignored}


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """An evaluation file's content, with those of its intervals that are some.

    Raises:
        ValueError, KeyError, TypeError: It is damaged.
    """
    again = found.get("reranked")
    for figures in (found, again) if again else (found,):
        for name in names.TEST_FIGURES:
            if name not in figures and name not in names.STUDY_METRICS:
                continue  # a figure that is younger than the file
            if isinstance(figures[name], str | bool) or not 0 <= figures[name] <= 1:
                raise ValueError(name)
    for name, kind in (("queries", int), ("gallery", int), ("settings", dict)):
        if type(found[name]) is not kind:
            raise ValueError(name)
    reranked = {**again, "intervals": _intervals(again)} if again else None
    return {**found, "intervals": _intervals(found), "reranked": reranked}


def _intervals(figures: Mapping[str, Any]) -> dict[str, list[float]]:
    content = figures.get("intervals")
    return {
        str(name): ends
        for name, ends in (content.items() if isinstance(content, dict) else ())
        if isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)
    }
