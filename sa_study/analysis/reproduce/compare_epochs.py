"""A trial's record against a rerun of it: every figure that differs, and what follows from that."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sa_study.metrics import names
from sa_study.study.result_files import deterministic, is_number

Epochs = Mapping[int, Mapping[str, Any]]
"""Figures by epoch."""

EQUAL, WITHIN, DIFFERENT = "equal", "within tolerance", "different"
NOT_COMPARED = "not compared"

_SCHEDULE = (names.EPOCH, names.PROGRESS, names.LR)
"""Figures that follow from the settings, whatever computes them."""

_SHOWN = 60


@dataclass(frozen=True)
class Difference:
    """A figure that is not what was recorded.

    Attributes:
        source: Where it was recorded.
        epoch: Its epoch.
        figure: Its name.
        recorded: What was recorded; None for nothing.
        rerun: What the rerun gave; None for nothing.
    """

    source: str
    epoch: int
    figure: str
    recorded: Any
    rerun: Any

    @property
    def size(self) -> float | None:
        """The absolute difference; None where one of them is no finite number."""
        if not (is_number(self.recorded) and is_number(self.rerun)):
            return None
        size = abs(float(self.recorded) - float(self.rerun))
        return size if math.isfinite(size) else None

    def __str__(self) -> str:
        """The difference in words."""
        return (
            f"epoch {self.epoch}: {self.figure[:_SHOWN]} is {_shown(self.recorded)} in {self.source}, "
            f"{_shown(self.rerun)} in the rerun"
        )


def compare(source: str, recorded: Epochs, rerun: Epochs, *, whole: bool) -> list[Difference]:
    """Every deterministic figure that is not the same to the last bit.

    Args:
        source: Where the record stands.
        recorded: The record.
        rerun: The rerun.
        whole: Whether the source has all figures of an epoch, so that one which it lacks was taken away.
    """
    found = []
    for epoch in sorted(recorded):
        was, is_now = deterministic(recorded[epoch]), deterministic(rerun.get(epoch, {}))
        compared = {**was, **is_now} if whole else was
        found += [
            Difference(source, epoch, name, was.get(name), is_now.get(name))
            for name in compared
            if was.get(name) != is_now.get(name)
        ]
    return found


def largest(recorded: Iterable[Epochs], differences: Sequence[Difference]) -> dict[str, float | None]:
    """By recorded figure, the largest absolute difference; None where one of the two was no number."""
    figures = (deterministic(figures) for epochs in recorded for figures in epochs.values())
    found: dict[str, float | None] = dict.fromkeys((name for of_epoch in figures for name in of_epoch), 0.0)
    for difference in differences:
        size, before = difference.size, found.get(difference.figure, 0.0)
        found[difference.figure] = None if size is None or before is None else max(size, before)
    return {
        name: size for name, size in found.items() if name not in (names.EPOCH, names.PROGRESS) or size != 0
    }


def contradictions(
    differences: Sequence[Difference], compared: Sequence[int], tolerance: float, equal_weights: int = 0
) -> list[str]:
    """Differences that no machine and no version explains: the record was changed since it was made.

    Training builds on itself: once a loss differs in its last bit, every later one does. So where an epoch is
    equal in all that was trained, those before it were equal too. And ranks follow from the order, as the
    mAP does.

    Args:
        differences: What `compare` found.
        compared: The epochs that were compared.
        tolerance: By how many points a validation figure of the same weights may differ.
        equal_weights: An epoch whose weights are equal, or 0.
    """
    apart = {difference.epoch for difference in differences if is_trained(difference.figure)}
    ranked = {difference.epoch for difference in differences if difference.figure == names.MAP}
    same = max([equal_weights, *(epoch for epoch in compared if epoch not in apart)])
    found = []
    for difference in differences:
        size, ranking = difference.size, difference.figure in names.RANKING
        if difference.figure in _SCHEDULE:
            if size is None or size > 1e-9 * max(1.0, abs(float(difference.rerun))):
                found.append(f"{difference}, which follows from the settings alone")
        elif ranking and difference.epoch not in ranked:
            found.append(f"{difference}, though the mAP, and so the order, is equal")
        elif difference.epoch <= same and is_trained(difference.figure):
            found.append(f"{difference}, though what was trained after it is equal")
        elif difference.epoch <= same and (size is None or 100 * size > tolerance):
            found.append(f"{difference}, though the weights are equal")
    return found


def disagreements(sources: Mapping[str, Epochs], without: Collection[int] = ()) -> list[str]:
    """What two places have recorded differently of one figure, in words.

    Args:
        sources: Figures by epoch, by the place where they are recorded.
        without: Epochs of which that proves nothing.
    """
    first: dict[tuple[int, str], tuple[str, Any]] = {}
    found = []
    for source, epochs in sources.items():
        for epoch in sorted(epochs.keys() - set(without)):
            for name, value in deterministic(epochs[epoch]).items():
                before, was = first.setdefault((epoch, name), (source, value))
                if was != value:
                    told = f"epoch {epoch}: {name[:_SHOWN]} is {_shown(was)} in {before}"
                    found.append(f"{told}, but {_shown(value)} in {source}: the record was changed")
    return found


def is_trained(figure: str) -> bool:
    """Whether a figure is of the training of an epoch, so that all later ones depend on what it is of."""
    return figure in (names.LOSS, names.TRAIN_ACCURACY) or figure.startswith(f"{names.LOSS}/")


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return repr(value)[:_SHOWN] if isinstance(value, int | float | str) else type(value).__name__
