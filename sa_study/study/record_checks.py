"""Checks values of a study's database and result files: only what this program can have written is accepted.

A study's folder may come from anyone, and can be edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sa_study.metrics import names
from sa_study.settings.run import MAX_EPOCHS
from sa_study.training.tensorboard.tags import tag_of

_PLACE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_FIGURES = ("last", "best")
_PLACES = ("last_checkpoint", "best_checkpoint")
_AMOUNTS = ("epochs_run", "seconds", "gpu_seconds", "latency", "accumulate")
_COUNTS = ("epochs_run", "accumulate")
_KNOWN = {*_FIGURES, *_PLACES, *_AMOUNTS, "notes", "stopped", "failure"}
_MAX_AMOUNT = 1e15


def record_fault(values: object) -> str:
    """Why a value is no trial's record, in words; empty for one that is."""
    if not isinstance(values, Mapping):
        return f"is of type {type(values).__name__}"
    if strange := sorted(str(name) for name in values if name not in _KNOWN):
        return f"has {strange[0]!r}, which none has"
    for name in _FIGURES:
        if fault := _figures_fault(name, values.get(name, {})):
            return f"is wrong: {fault}"
    for name in _PLACES:
        if fault := place_fault(values.get(name, "")):
            return f"has a wrong {name}: {fault}"
    for name in _AMOUNTS:
        value = values.get(name, 0)
        if (
            not _is_number(value)
            or not 0 <= value <= _MAX_AMOUNT
            or (name in _COUNTS and type(value) is not int)
        ):
            return f"has a wrong {name}: {_shown(value)}"
    notes, failure, stopped = values.get("notes", []), values.get("failure", ""), values.get("stopped", False)
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return "has notes that are no texts"
    if not isinstance(failure, str) or not isinstance(stopped, bool):
        return "has a failure that is no text, or stopped is neither true nor false"
    return ""


def row_fault(values: Mapping[str, Any], needed: Iterable[str] = ()) -> str:
    """Why a line of Ray's results is no epoch's, in words; empty for one that is.

    Args:
        values: The line.
        needed: Figures that it must have besides the progress.
    """
    name = f"epoch {_shown(values.get(names.EPOCH))}"
    for figure in (names.PROGRESS, *needed):
        if not isinstance(values.get(figure), int | float):
            return f"{name}: {figure} is {_shown(values.get(figure))}, not a number"
    for figure, value in values.items():
        if tag_of(figure) and not isinstance(value, float) and not _is_number(value):
            return f"{name}: {figure} is {_shown(value)}, not a number"
    return _figures_fault(f"{name}:", values)


def place_fault(place: object) -> str:
    """Why a checkpoint's place is none inside the trials' storage; empty for one that is."""
    if not isinstance(place, str):
        return _shown(place)
    return "" if not place or _PLACE.fullmatch(place) else f"{place!r} leaves the trials' storage"


def launch_fault(used: object) -> str:
    """Why a value does not tell what a launch has used; empty for one that does."""
    if not isinstance(used, Mapping) or not {"slot_seconds", "training_seconds"} <= used.keys():
        return "does not tell what it has used"
    wrong = [name for name, value in used.items() if not _is_number(value) or not 0 <= value <= _MAX_AMOUNT]
    return f"has a wrong {wrong[0]}: {_shown(used[wrong[0]])}" if wrong else ""


def _figures_fault(which: str, figures: object) -> str:
    if not isinstance(figures, Mapping):
        return f"{which} is {_shown(figures)}, not figures by name"
    bounds = [name for ends in names.INTERVALS.values() for name in ends]
    for name in (*names.RANKING, *bounds, names.SECONDS, names.LATENCY, names.EPOCH, names.PROGRESS):
        value = figures.get(name, 1)
        # What is not finite is told as such; it is no winner's.
        if not _is_number(value) and not (isinstance(value, float) and name in names.RANKING):
            return f"{which} {name} is no number ({_shown(value)})"
    if not figures:
        return ""
    epoch, progress = figures.get(names.EPOCH), figures.get(names.PROGRESS, 0.0)
    if epoch is None or epoch != int(epoch) or not 1 <= epoch <= MAX_EPOCHS:
        return f"{which} epoch is {_shown(epoch)}, not one of 1 to {MAX_EPOCHS}"
    return "" if 0 <= progress <= 100 + 1e-6 else f"{which} progress is {_shown(progress)}, not per cent"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_AMOUNT


def _shown(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | None) else type(value).__name__
