"""Compares a trial's recorded figures with a rerun's, epoch by epoch, and finds what no machine explains."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sa_study.metrics import names
from sa_study.study.result_files import deterministic, is_number

Epochs = Mapping[int, Mapping[str, Any]]
"""Figures by epoch."""

_SCHEDULE = (names.EPOCH, names.PROGRESS, names.LR)
"""Figures that follow from the settings, whatever computes them."""

_MAX_CHARACTERS = 60  # longest name or value in a message: a record may have been edited


@dataclass(frozen=True)
class FigureDifference:
    """A figure whose value in the rerun is not the recorded one.

    Attributes:
        source: Where it was recorded.
        epoch: Its epoch.
        figure: Its name.
        recorded: The recorded value, or None.
        rerun: The rerun's value, or None.
    """

    source: str
    epoch: int
    figure: str
    recorded: Any
    rerun: Any

    @property
    def size(self) -> float | None:
        """The absolute difference; None unless both values are finite numbers."""
        if not (is_number(self.recorded) and is_number(self.rerun)):
            return None
        size = abs(float(self.recorded) - float(self.rerun))
        return size if math.isfinite(size) else None

    def __str__(self) -> str:
        """The difference in words."""
        where = f"epoch {self.epoch}: {self.figure[:_MAX_CHARACTERS]}"
        return f"{where} is {_text(self.recorded)} in {self.source}, {_text(self.rerun)} in the rerun"


def compare(source: str, recorded: Epochs, rerun: Epochs, *, whole: bool) -> list[FigureDifference]:
    """Every deterministic figure that differs in any bit from a source's record.

    If `whole`, the source records all figures of an epoch, so that a missing figure must have been removed.
    """
    found = []
    for epoch in sorted(recorded):
        was, is_now = deterministic(recorded[epoch]), deterministic(rerun.get(epoch, {}))
        found += [
            FigureDifference(source, epoch, name, was.get(name), is_now.get(name))
            for name in ({**was, **is_now} if whole else was)
            if was.get(name) != is_now.get(name)
        ]
    return found


def largest_differences(
    recorded: Iterable[Epochs], differences: Sequence[FigureDifference]
) -> dict[str, float | None]:
    """The largest absolute difference of each recorded figure; None where a value was no number."""
    figures = (deterministic(figures) for epochs in recorded for figures in epochs.values())
    found: dict[str, float | None] = dict.fromkeys((name for of_epoch in figures for name in of_epoch), 0.0)
    for difference in differences:
        size, before = difference.size, found.get(difference.figure, 0.0)
        found[difference.figure] = None if size is None or before is None else max(size, before)
    return {
        name: size for name, size in found.items() if name not in (names.EPOCH, names.PROGRESS) or size != 0
    }


def contradictions(
    differences: Sequence[FigureDifference],
    compared: Sequence[int],
    tolerance: float,
    epoch_with_equal_weights: int = 0,
) -> list[str]:
    """Differences that no other machine or version explains: the record must have been changed.

    Training builds on itself: once a loss differs in its last bit, every later loss does. So where all
    training figures of an epoch are equal, all earlier epochs were equal too. And an equal mAP means an equal
    order of the gallery, from which all ranks follow.

    Args:
        differences: What `compare` found.
        compared: The epochs whose losses were compared.
        tolerance: Accepted difference, in points, of a validation figure of the same weights.
        epoch_with_equal_weights: An epoch after which the weights are equal, or 0.
    """
    trained = {difference.epoch for difference in differences if _is_trained(difference.figure)}
    reordered = {difference.epoch for difference in differences if difference.figure == names.MAP}
    last_equal = max([epoch_with_equal_weights, *(epoch for epoch in compared if epoch not in trained)])
    found = []
    for difference in differences:
        figure, size, before = difference.figure, difference.size, difference.epoch <= last_equal
        if figure in _SCHEDULE:
            if size is None or size > 1e-9 * max(1.0, abs(float(difference.rerun))):
                found.append(f"{difference}, which follows from the settings alone")
        elif figure in names.RANKING and difference.epoch not in reordered:
            found.append(f"{difference}, though the mAP, and so the order, is equal")
        elif before and _is_trained(figure):
            found.append(f"{difference}, though all later training is equal")
        elif before and (size is None or 100 * size > tolerance):
            found.append(f"{difference}, though the weights are equal")
    return found


def disagreements(sources: Mapping[str, Epochs], without: Collection[int]) -> list[str]:
    """Figures that two sources have recorded differently, in words; `without` has the epochs to leave out."""
    first_records: dict[tuple[int, str], tuple[str, Any]] = {}
    found = []
    for source, epochs in sources.items():
        for epoch in sorted(epochs.keys() - set(without)):
            for name, value in deterministic(epochs[epoch]).items():
                first_source, first_value = first_records.setdefault((epoch, name), (source, value))
                if first_value != value:
                    found.append(
                        f"epoch {epoch}: {name[:_MAX_CHARACTERS]} is {_text(first_value)} in {first_source}, "
                        f"but {_text(value)} in {source}: the record was changed"
                    )
    return found


def _is_trained(figure: str) -> bool:
    """Whether a figure is of an epoch's training, so that everything later depends on it."""
    return figure in (names.LOSS, names.TRAIN_ACCURACY) or figure.startswith(f"{names.LOSS}/")


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    return repr(value)[:_MAX_CHARACTERS] if isinstance(value, int | float | str) else type(value).__name__
