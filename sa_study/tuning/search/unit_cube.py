"""Configurations as points of a unit cube, in which a model of the scores measures distances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sa_study.settings.unit_scale import Floats, UnitScale


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

    Args:
        distributions: What each setting takes.

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
