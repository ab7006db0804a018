"""A smooth surface through scattered trials, drawn only where trials are near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST = 6
_GRID = 41
_UNSURE = 0.75
"""Share of the prior deviation above which nothing is drawn."""


@dataclass(frozen=True)
class Surface:
    """Values over the unit square; NaN where no trial is near.

    Attributes:
        places: Places of the grid along each side.
        values: Rows are the second coordinate, columns the first.
    """

    places: Array
    values: Array


def fit_surface(points: Array, values: Array) -> Surface | None:
    """A Gaussian process with one length for both axes; length and noise by marginal likelihood.

    Args:
        points: n × 2, in the unit square.
        values: n.

    Returns:
        The mean on a grid; None for fewer than six points, or values that do not differ.
    """
    spread = float(values.std()) if len(values) else 0.0
    if len(values) < LEAST or spread < 1e-9:
        return None
    target = (values - values.mean()) / spread
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    fits = [
        (_likelihood(distances, target, length, noise), length, noise)
        for length in (0.12, 0.2, 0.33, 0.5)
        for noise in (0.02, 0.1, 0.3)
    ]
    _, length, noise = max(fits)
    places = np.linspace(0, 1, _GRID)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    covariance = _kernel(distances, length) + noise * np.eye(len(target))
    cross = _kernel(((grid[:, None] - points[None]) ** 2).sum(axis=2), length)
    mean = cross @ np.linalg.solve(covariance, target)
    known = np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.T))
    unsure = np.sqrt(np.clip(1 - known, 0, 1)) > _UNSURE
    surface = np.where(unsure, np.nan, values.mean() + spread * mean)
    return Surface(places, surface.reshape(_GRID, _GRID))


def _kernel(squares: Array, length: float) -> Array:
    kernel: Array = np.exp(-squares / (2 * length**2))
    return kernel


def _likelihood(distances: Array, target: Array, length: float, noise: float) -> float:
    covariance = _kernel(distances, length) + noise * np.eye(len(target))
    _, log_determinant = np.linalg.slogdet(covariance)
    return float(-0.5 * (target @ np.linalg.solve(covariance, target) + log_determinant))
