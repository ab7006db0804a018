"""A range as places from 0 to 1, in which samplers, models of the scores and plots measure distances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UnitScale:
    """A range of numbers as places from 0 to 1, evenly on a linear or a logarithmic scale.

    The values of a grid lie in the middle of cells, so that a place drawn evenly gives each of them with the
    same probability.

    Attributes:
        low: The lowest number.
        high: The highest.
        step: Distance between the numbers of a grid; None for a continuous range.
        log: Whether the scale is logarithmic.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def places(self, numbers: Floats) -> Floats:
        """Places of numbers; outside 0 and 1 for numbers beyond the range."""
        start, width = self._extent
        return np.asarray((self._scaled(numbers) - start) / width)

    def numbers(self, places: Floats) -> Floats:
        """The numbers of the range, or of its grid, that are nearest to some places."""
        start, width = self._extent
        numbers = start + places * width
        if self.log:
            numbers = np.exp(numbers)
        if self.step:
            numbers = self.low + self.step * np.round((numbers - self.low) / self.step)
        return np.asarray(np.clip(numbers, self.low, self.high))

    @cached_property
    def _extent(self) -> tuple[float, float]:
        """Where the outermost cells begin on the scale, and how far they reach."""
        half = (self.step or 0) / 2
        start, end = self._scaled(np.array([self.low - half, self.high + half]))
        return start, (end - start) or 1.0

    def _scaled(self, numbers: Floats) -> Floats:
        return np.log(numbers) if self.log else numbers
