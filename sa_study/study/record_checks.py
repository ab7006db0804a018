"""What a study's database and results hold is checked before it is used: anyone can edit them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sa_study.metrics import names
from sa_study.settings.run import MAX_EPOCHS

_CHECKPOINT_PATH = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_FIGURES = ("last", "best")
_PATHS = ("last_checkpoint", "best_checkpoint")
_COUNTS = ("epochs_run", "accumulate")
_AMOUNTS = ("seconds", "gpu_seconds", "latency", *_COUNTS)
_KEYS = {*_FIGURES, *_PATHS, *_AMOUNTS, "notes", "stopped", "failure"}
_MAX_NUMBER = 1e15


def validate_record(values: object) -> None:
    """Checks a trial's record.

    Raises:
        ValueError: It is none that this program writes; says why.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"is of type {type(values).__name__}")
    if unknown := sorted(str(name) for name in values if name not in _KEYS):
        raise ValueError(f"has {unknown[0]!r}, which none has")
    for name in _FIGURES:
        try:
            _validate_figures(name, values.get(name, {}))
        except ValueError as error:
            raise ValueError(f"is wrong: {error}") from None
    for name in _PATHS:
        try:
            validate_checkpoint_path(values.get(name, ""))
        except ValueError as error:
            raise ValueError(f"has a wrong {name}: {error}") from None
    for name in _AMOUNTS:
        value = values.get(name, 0)
        if not _is_amount(value) or (name in _COUNTS and type(value) is not int):
            raise ValueError(f"has a wrong {name}: {_printable(value)}")
    notes = values.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("has notes that are no texts")
    if not isinstance(values.get("failure", ""), str) or not isinstance(values.get("stopped", False), bool):
        raise ValueError("has a failure that is no text, or stopped is neither true nor false")


def validate_result(values: Mapping[str, Any], needed: Iterable[str] = ()) -> None:
    """Checks an epoch's line in Ray's result file.

    Args:
        values: The line.
        needed: Figures that it must have besides the progress.

    Raises:
        ValueError: It is none that a trial reports; says why.
    """
    name = f"epoch {_printable(values.get(names.EPOCH))}"
    for figure in (names.PROGRESS, *needed):
        if not isinstance(values.get(figure), int | float):
            raise ValueError(f"{name}: {figure} is {_printable(values.get(figure))}, not a number")
    for figure, value in values.items():
        if names.tag_of(figure) and not isinstance(value, float) and not _is_number(value):
            raise ValueError(f"{name}: {figure} is {_printable(value)}, not a number")
    _validate_figures(f"{name}:", values)


def validate_checkpoint_path(path: object) -> None:
    """Checks that a checkpoint's path, or an empty one, lies inside the trials' storage.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(path, str):
        raise ValueError(_printable(path))
    if path and not _CHECKPOINT_PATH.fullmatch(path):
        raise ValueError(f"{path!r} leaves the trials' storage")


def validate_launch(used: object) -> None:
    """Checks the record of what a launch has used.

    Raises:
        ValueError: It is none; says why.
    """
    if not isinstance(used, Mapping) or not {"slot_seconds", "training_seconds"} <= used.keys():
        raise ValueError("does not tell what it has used")
    if wrong := [name for name, value in used.items() if not _is_amount(value)]:
        raise ValueError(f"has a wrong {wrong[0]}: {_printable(used[wrong[0]])}")


def _validate_figures(which: str, figures: object) -> None:
    if not isinstance(figures, Mapping):
        raise ValueError(f"{which} is {_printable(figures)}, not figures by name")
    bounds = [name for ends in names.INTERVALS.values() for name in ends]
    for name in (*names.RANKING, *bounds, names.SECONDS, names.LATENCY, names.EPOCH, names.PROGRESS):
        value = figures.get(name, 1)
        # A ranking figure that is not finite is kept as such; it never wins.
        if not _is_number(value) and not (isinstance(value, float) and name in names.RANKING):
            raise ValueError(f"{which} {name} is no number ({_printable(value)})")
    if not figures:
        return
    epoch, progress = figures.get(names.EPOCH), figures.get(names.PROGRESS, 0.0)
    if epoch is None or epoch != int(epoch) or not 1 <= epoch <= MAX_EPOCHS:
        raise ValueError(f"{which} epoch is {_printable(epoch)}, not one of 1 to {MAX_EPOCHS}")
    if not 0 <= progress <= 100 + 1e-6:
        raise ValueError(f"{which} progress is {_printable(progress)}, not per cent")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _is_amount(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _printable(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float | None) else type(value).__name__
