"""Configurations that are weighed against each other: drawn evenly, and then around the most promising."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from sa_study.settings.unit_scale import Floats
from sa_study.tuning.search.unit_cube import UnitCube

_EVENLY_DRAWN = 1000

_WIDTHS = (0.1, 0.03, 0.01)
"""Standard deviations of the moves around the most promising candidates, in units of the cube, by round."""

_CENTRES = 10
_MOVES = 50
_REDRAWN = 0.15
"""Probability with which a setting is drawn anew in a move."""

Active = Callable[[Mapping[str, Any]], Collection[str]]
"""Gives the settings that a configuration has, where some depend on others."""


class Candidates:
    """Draws allowed configurations, and finds those of the greatest merit.

    Args:
        cube: The settings.
        active: The settings that a configuration has; None if it has all.
    """

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
        """Configurations by their merit, the greatest first, among random ones and around the best.

        Args:
            merit: Takes configurations, gives the merit of each.
            starts: Configurations to search around, the best first; only some are used.
            rng: Source of the draws.
        """
        found = np.concatenate([self.drawn(rng, _EVENLY_DRAWN), starts[:_CENTRES]])
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
