"""A small regression forest whose leaves are boxes of the unit cube, so that it can be integrated exactly.

After Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance" (ICML
2014): functional ANOVA of random forests. A variance does not know which direction is better, so that
maximised and minimised figures give the same importance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """A piecewise constant function on the unit cube.

    Attributes:
        low: Lower corners of the leaves, leaves × dimensions.
        high: Upper corners.
        value: The function's values.
    """

    low: Array
    high: Array
    value: Array

    def predict(self, points: Array) -> Array:
        """The values at points × dimensions."""
        inside = (points[:, None] >= self.low) & ((points[:, None] < self.high) | (self.high >= 1))
        found: Array = self.value[np.argmax(inside.all(axis=2), axis=1)]
        return found

    def shares(self) -> Array | None:
        """Share of the variance over the cube that each dimension alone explains; None of a constant."""
        sides = self.high - self.low
        volumes = sides.prod(axis=1)
        mean = volumes @ self.value
        total = volumes @ (self.value - mean) ** 2
        if total <= 1e-18:
            return None
        found = np.empty(sides.shape[1])
        for axis in range(len(found)):
            cuts = np.unique(np.concatenate([self.low[:, axis], self.high[:, axis]]))
            middles, widths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
            covers = (middles[:, None] > self.low[:, axis]) & (middles[:, None] < self.high[:, axis])
            marginal = covers @ (self.value * volumes / sides[:, axis])
            found[axis] = widths @ (marginal - mean) ** 2
        shares: Array = found / total
        return shares


def grow(points: Array, values: Array, least: int) -> Tree:
    """Grows a tree by squared error; no leaf has fewer than `least` points, unless all have fewer."""
    size = points.shape[1]
    lows, highs, means = [], [], []
    stack = [(np.arange(len(points)), np.zeros(size), np.ones(size))]
    while stack:
        rows, low, high = stack.pop()
        split = _split(points[rows], values[rows], least)
        if split is None:
            lows.append(low)
            highs.append(high)
            means.append(values[rows].mean())
            continue
        axis, cut = split
        left = points[rows, axis] < cut
        middle_high, middle_low = high.copy(), low.copy()
        middle_high[axis] = middle_low[axis] = cut
        stack += [(rows[left], low, middle_high), (rows[~left], middle_low, high)]
    return Tree(np.array(lows), np.array(highs), np.array(means))


def _split(points: Array, values: Array, least: int) -> tuple[int, float] | None:
    """The axis and cut that lower the squared error most, or None."""
    count = len(values)
    if count < 2 * least or np.ptp(values) < 1e-12:
        return None
    order = np.argsort(points, axis=0, kind="stable")
    sorted_points = np.take_along_axis(points, order, axis=0)
    sums = np.cumsum((values - values.mean())[order], axis=0)[:-1]
    sizes = np.arange(1, count)[:, None]
    gain = sums**2 / sizes + sums**2 / (count - sizes)
    gain[sorted_points[1:] - sorted_points[:-1] < 1e-12] = -1
    gain[: least - 1] = gain[count - least :] = -1
    row, axis = np.unravel_index(np.argmax(gain), gain.shape)
    if gain[row, axis] <= 1e-15:
        return None
    return int(axis), float((sorted_points[row, axis] + sorted_points[row + 1, axis]) / 2)
