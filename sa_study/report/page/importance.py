"""Which settings mattered: functional ANOVA of a random forest, what it rests on and how far it holds.

After Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance" (ICML
2014). The trees' leaves are boxes of the unit cube, so that they are integrated exactly. A variance does not
know which direction is better: maximised and minimised figures give the same importance.

Optuna's evaluator is not used: it integrates log-scaled settings over their values, has no fit on trials left
out and no spread between trees, and takes thirty times as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.settings.space import Parameter
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import rungs

MIN_TRIALS = 8
"""Trials below which nothing is said."""

MIN_FIT = 0.3
"""A fit below this says that the bars mean nothing."""

_TREES = 32


@dataclass(frozen=True)
class Sample:
    """Trials that can be compared with each other.

    Attributes:
        name: What is compared, in words.
        trials: The trials.
        values: Their values.
    """

    name: str
    trials: tuple[TrialSummary, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Importance:
    """Importance of each setting for the score, and how well it was estimated.

    Attributes:
        sample: What was compared.
        shares: By setting, the share of the variance that it explains alone, the greatest first.
        spread: By setting, the deviation of that share between the forest's trees.
        combinations: The share that only combinations of settings explain.
        fit: Share of the variance of trials that a tree has not seen which the forest predicts (R²); below 0
            it predicts worse than their mean.
    """

    sample: Sample
    shares: Mapping[str, float]
    spread: Mapping[str, float]
    combinations: float
    fit: float


def samples(study: PageStudy) -> list[Sample]:
    """What can be compared: complete trials by score; at the first rung all trials that came there.

    Trials stopped early have no final score, and complete ones are those that the rule let pass: in a region
    that was left early the first sample says little, and the second says only what shows early.
    """
    complete = [trial for trial in study.trials if trial.complete and trial.score is not None]
    found = [_sample(f"final score, {len(complete)} complete trials", complete, [t.score for t in complete])]
    if marks := rungs(study.config.space.scheduler):
        reached = [(trial, _value_at(trial, marks[0])) for trial in study.trials]
        known = [(trial, value) for trial, value in reached if value is not None]
        name = f"{names.heading(study.config.metric)} at {marks[0]:g} % of the schedule, {len(known)} trials"
        found.append(_sample(name, [trial for trial, _ in known], [value for _, value in known]))
    return found


def _sample(name: str, trials: Sequence[TrialSummary], values: Sequence[float | None]) -> Sample:
    return Sample(name, tuple(trials), tuple(float(value or 0.0) for value in values))


class UnitCube:
    """The search space as a unit cube, in which the sampler draws evenly.

    Args:
        study: Its space; a setting that takes one value only is no dimension.
    """

    def __init__(self, study: PageStudy):
        self._study = study
        space = study.config.space
        self.search = {name: p for name, p in space.search.items() if len(set(map(str, p.ends))) > 1}
        self._choices = {
            name: list(map(str, space.possible(name)))
            for name, p in self.search.items()
            if p.kind == "categorical"
        }

    def points(self, trials: Sequence[TrialSummary]) -> Array:
        """Trials × dimensions. A setting that was not searched in a trial has there what it ran with."""
        rows = [
            [self._place(name, self._study.value(trial, name)) for name in self.search] for trial in trials
        ]
        return np.array(rows, dtype=float).reshape(len(trials), len(self.search))

    def shuffled(self, points: Array, rng: np.random.Generator) -> Array:
        """The same with each categorical setting's choices in another order, for they have none."""
        points = points.copy()
        for axis, name in enumerate(self.search):
            if name in self._choices:
                count = len(self._choices[name])
                cells = np.minimum((points[:, axis] * count).astype(int), count - 1)
                points[:, axis] = (rng.permutation(count)[cells] + 0.5) / count
        return points

    def _place(self, name: str, value: Any) -> float:
        if name in self._choices:
            choices = self._choices[name]
            index = choices.index(str(value)) if str(value) in choices else 0
            return (index + 0.5) / len(choices)
        return unit_position(self.search[name], value)


def unit_position(parameter: Parameter, value: Any) -> float:
    """A number's place between 0 and 1 on the parameter's own scale; where it has steps, a cell's middle."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0.5
    half = 0.0
    if parameter.count is not None:
        half = (parameter.step or 1.0) / 2
    low, high = parameter.low - half, parameter.high + half
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def importance(study: PageStudy, sample: Sample) -> Importance | None:
    """What explains a sample; None where it is too small, or nothing was searched or differs."""
    cube = UnitCube(study)
    values = np.array(sample.values)
    if len(values) < MIN_TRIALS or not cube.search or np.ptp(values) < 1e-12:
        return None
    points, rng = cube.points(sample.trials), np.random.default_rng(0)
    min_leaf = max(2, len(values) // 60)
    shares, seen, sums = [], np.zeros(len(values)), np.zeros(len(values))
    for _ in range(_TREES):
        drawn = rng.integers(0, len(values), len(values))
        mixed = cube.shuffled(points, rng)
        tree = grow_tree(mixed[drawn], values[drawn], min_leaf)
        left_out = np.setdiff1d(np.arange(len(values)), drawn)
        sums[left_out] += tree.predict(mixed[left_out])
        seen[left_out] += 1
        if (share := tree.shares()) is not None:
            shares.append(share)
    if not shares:
        return None
    table, known = np.array(shares), seen > 0
    errors = values[known] - sums[known] / seen[known]
    fit = 1 - float((errors**2).sum() / ((values[known] - values[known].mean()) ** 2).sum())
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    order = [int(axis) for axis in np.argsort(-mean, kind="stable")]
    settings = list(cube.search)
    return Importance(
        sample=sample,
        shares={settings[axis]: float(mean[axis]) for axis in order},
        spread={settings[axis]: float(deviation[axis]) for axis in order},
        combinations=max(0.0, 1 - float(mean.sum())),
        fit=fit,
    )


def _value_at(trial: TrialSummary, progress: float) -> float | None:
    """A trial's metric at a share of its schedule, linear between two epochs; None before that."""
    curve = trial.finite_curve
    if not curve or curve[-1][0] < progress - 1e-9:
        return None
    before = curve[0]
    for point in curve:
        if point[0] >= progress:
            if point[0] == before[0]:
                return point[1]
            part = (progress - before[0]) / (point[0] - before[0])
            return before[1] + part * (point[1] - before[1])
        before = point
    return before[1]


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


def grow_tree(points: Array, values: Array, min_leaf: int) -> Tree:
    """Grows a tree by squared error; no leaf has fewer than `min_leaf` points, unless all have fewer."""
    size = points.shape[1]
    lows, highs, means = [], [], []
    stack = [(np.arange(len(points)), np.zeros(size), np.ones(size))]
    while stack:
        rows, low, high = stack.pop()
        split = _split(points[rows], values[rows], min_leaf)
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


def _split(points: Array, values: Array, min_leaf: int) -> tuple[int, float] | None:
    """The axis and cut that lower the squared error most, or None."""
    count = len(values)
    if count < 2 * min_leaf or np.ptp(values) < 1e-12:
        return None
    order = np.argsort(points, axis=0, kind="stable")
    sorted_points = np.take_along_axis(points, order, axis=0)
    sums = np.cumsum((values - values.mean())[order], axis=0)[:-1]
    sizes = np.arange(1, count)[:, None]
    gain = sums**2 / sizes + sums**2 / (count - sizes)
    gain[sorted_points[1:] - sorted_points[:-1] < 1e-12] = -1
    gain[: min_leaf - 1] = gain[count - min_leaf :] = -1
    row, axis = np.unravel_index(np.argmax(gain), gain.shape)
    if gain[row, axis] <= 1e-15:
        return None
    return int(axis), float((sorted_points[row, axis] + sorted_points[row + 1, axis]) / 2)
