"""Configurations as points of a unit cube, where samplers, models and plots of scores measure distances."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Floats = NDArray[np.float64]

_RANDOM_CANDIDATES = 1000

_WIDTHS = (0.1, 0.03, 0.01)
"""Standard deviations of the moves around the most promising candidates, in units of the cube, by round."""

_CENTRES = 10
_MOVES = 50
_REDRAWN = 0.15  # probability with which a setting is drawn anew in a move
Active = Callable[[Mapping[str, Any]], Collection[str]]
"""Gives the settings that a configuration has, where some depend on others."""


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
        """Where the first value's cell begins on the setting's scale, and the width of all cells together."""
        half = (self.step or 0) / 2
        start, end = self._scaled(np.array([self.low - half, self.high + half]))
        return start, (end - start) or 1.0

    def _scaled(self, numbers: Floats) -> Floats:
        return np.log(numbers) if self.log else numbers


class _Axis:
    """One setting as an axis: a number on its own scale, or a choice by its index."""

    def __init__(self, distribution: BaseDistribution):
        self._distribution: Any = distribution
        if isinstance(distribution, CategoricalDistribution):
            self.choices = len(distribution.choices)
            self.scale = UnitScale(0.0, self.choices - 1.0, 1.0)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            self.choices = 0
            low, high = float(distribution.low), float(distribution.high)
            self.scale = UnitScale(low, high, distribution.step, distribution.log)
        else:
            raise TypeError(f"{distribution} is no distribution of numbers or choices")

    def place(self, value: Any) -> float:
        """Place of a value."""
        return float(self.scale.places(np.array(self._distribution.to_internal_repr(value))))

    def value(self, place: float) -> Any:
        """The allowed value nearest to a place."""
        return self._distribution.to_external_repr(float(self.scale.numbers(np.array(place))))


class UnitCube:
    """A search space as a unit cube with an axis for each setting.

    A configuration is a row of places from 0 to 1, NaN for a setting that it lacks.

    Attributes:
        names: The settings, in the order of the axes.
        axis_of: For each column of `columns` the index of its axis.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]):
        self.names = list(distributions)
        self._axes = [_Axis(distribution) for distribution in distributions.values()]
        widths = [axis.choices or 1 for axis in self._axes]
        self.axis_of = np.repeat(np.arange(len(self._axes)), widths)

    def places(self, configurations: Iterable[Mapping[str, Any]]) -> Floats:
        """The rows of some configurations: [configurations, settings]."""
        rows = [
            [
                axis.place(values[name]) if name in values else np.nan
                for name, axis in zip(self.names, self._axes, strict=True)
            ]
            for values in configurations
        ]
        return np.array(rows, float).reshape(-1, len(self.names))

    def snapped(self, places: Floats) -> Floats:
        """The allowed configurations nearest to some places: [..., settings]."""
        places = np.clip(places, 0, 1)
        return np.stack(
            [axis.scale.places(axis.scale.numbers(places[..., i])) for i, axis in enumerate(self._axes)], -1
        )

    def values(self, places: Floats) -> dict[str, Any]:
        """The configuration of one row, without the settings that it lacks."""
        return {
            name: axis.value(place)
            for name, axis, place in zip(self.names, self._axes, places, strict=True)
            if not np.isnan(place)
        }

    def columns(self, places: Floats) -> Floats:
        """Coordinates for a kernel: [rows, columns].

        A number has its place, and a choice as many columns as there are choices, such that two different
        ones have distance 1. A setting that is lacking lies in the middle of all its values.
        """
        parts = []
        for axis, place in zip(self._axes, places.T, strict=True):
            if not axis.choices:
                parts.append(np.nan_to_num(place, nan=0.5)[:, None])
                continue
            middles = axis.scale.places(np.arange(axis.choices, dtype=float))
            parts.append((np.abs(place[:, None] - middles) < 0.5 / axis.choices) * np.sqrt(0.5))
        return np.concatenate(parts, axis=1)


class Candidates:
    """Draws allowed configurations of a cube, and finds those of the greatest merit."""

    def __init__(self, cube: UnitCube, active: Active | None = None):
        self._cube, self._active = cube, active

    def drawn(self, rng: np.random.Generator, count: int) -> Floats:
        """Configurations drawn evenly: [count, settings]."""
        return self.nearest(rng.random((count, len(self._cube.names))))

    def nearest(self, places: Floats) -> Floats:
        """The allowed configurations nearest to some places, without the settings that they do not have."""
        places = self._cube.snapped(places)
        if self._active:
            for row in places:
                active = self._active(self._cube.values(row))
                row[[name not in active for name in self._cube.names]] = np.nan
        return places

    def ranked(self, merit: Callable[[Floats], Floats], starts: Floats, rng: np.random.Generator) -> Floats:
        """Configurations by their merit, the greatest first: random ones, and some around the best.

        `merit` gives that of each of some configurations; `starts` are further ones to search around, the
        best first, of which only some are used.
        """
        found = np.concatenate([self.drawn(rng, _RANDOM_CANDIDATES), starts[:_CENTRES]])
        merits = merit(found)
        for width in _WIDTHS:
            centres = found[np.argsort(-merits, kind="stable")[:_CENTRES]]
            near = self.nearest(_moved(centres, rng, width))
            found = np.concatenate([found, near])
            merits = np.concatenate([merits, merit(near)])
        return found[np.argsort(-merits, kind="stable")]


def _moved(centres: Floats, rng: np.random.Generator, width: float) -> Floats:
    """Configurations around some: each setting moves a little, and a few are drawn anew."""
    near = np.repeat(centres, _MOVES, axis=0)
    moved = near + width * rng.standard_normal(near.shape)
    anew = (rng.random(near.shape) < _REDRAWN) | np.isnan(near)
    return np.where(anew, rng.random(near.shape), moved)
