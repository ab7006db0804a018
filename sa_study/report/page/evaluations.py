"""A study's test figures and other JSON beside it, as far as they can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sa_study.metrics import names
from sa_study.report.page.text import finite, short
from sa_study.study.folder import StudyFolder
from sa_study.utils.files import read_json


def read_or_notice(path: Path, notices: list[str]) -> dict[str, Any]:
    """A file's content; empty where it is missing, and with a notice where it is damaged."""
    try:
        return read_json(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        notices.append(f"{short(path.name)} is left out: it is damaged or cannot be read")
    return {}


def read_evaluations(folder: StudyFolder, notices: list[str]) -> dict[str, dict[str, Any]]:
    """Test figures by name: `best` and `baseline`; what is damaged is left out with a notice."""
    sources = {"best": folder.evaluation, "baseline": folder.baseline_evaluation}
    found = {}
    for name, path in sources.items():
        content = read_or_notice(path, notices)
        if not content:
            continue
        if _rates(content) and _rates(content.get("reranked") or content):
            again = content.get("reranked")
            found[name] = {**_with_intervals(content), "reranked": _with_intervals(again) if again else None}
        else:
            notices.append(f"{path.name} is left out: it has no test figures")
    return found


def _with_intervals(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "intervals": _intervals(content.get("intervals"))}


def _intervals(content: Any) -> dict[str, list[float]]:
    """The intervals that are some."""
    found = {}
    for name, ends in content.items() if isinstance(content, dict) else ():
        numbers = [finite(end) for end in ends] if isinstance(ends, list) else []
        if len(numbers) == 2 and None not in numbers:
            found[str(name)] = [number for number in numbers if number is not None]
    return found


def _rates(content: Any) -> bool:
    rates: Sequence[str] = names.TEST_FIGURES
    return isinstance(content, dict) and all(finite(content.get(rate)) is not None for rate in rates)
