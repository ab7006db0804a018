"""A model of a study's learning curves: the score at the end of the schedule that it expects anywhere.

Each trial gives its value at the first and at the last level of progress that it reached. Values at
different levels are made comparable first: each is raised by the median gain of the trials that went on. All
are then replaced by normal scores, so that a few very bad trials do not hide the differences of good ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

from sa_study.tuning.search.gaussian_process import GaussianProcess, Rows, fit_kernel, thinned
from sa_study.tuning.search.unit_cube import Floats, UnitCube

LEVELS = (0.1, 0.3, 0.6)
"""Shares of the schedule at which curves are compared unless others are given."""

MAX_ROWS = 700
"""Rows that predictions are made from; of more, the worst are thinned."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Curve:
    """What is known of a trial's scores; greater ones are better.

    Attributes:
        values: The best value so far at each level that it has reached, the end of the schedule last; none if
            it failed.
        ended: Whether the trial has ended.
        failed: Whether it failed.
    """

    values: tuple[float, ...]
    ended: bool
    failed: bool

    @classmethod
    def of(
        cls,
        reported: Iterable[tuple[float, float]],
        levels: Sequence[float],
        *,
        final: float | None = None,
        ended: bool = True,
        failed: bool = False,
    ) -> Curve:
        """Reads a curve from pairs of the share of the schedule and the score there, finite ones alone.

        `levels` are shares of the schedule, ascending, without the whole; `final` is the score of a trial
        that ran all of it.
        """
        values = _values_at(sorted(pair for pair in reported if np.isfinite(pair[1])), levels, ended)
        if final is not None and np.isfinite(final):
            values = [*values, *[final] * (len(levels) - len(values)), final]
        return cls(() if failed else tuple(values), ended, failed)


def read_curve(
    trial: FrozenTrial, direction: StudyDirection, levels: Sequence[float], full_step: float
) -> Curve:
    """Reads the curve of one of Optuna's trials, in any state; `full_step` ends the schedule."""
    sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
    final = trial.value if trial.state == TrialState.COMPLETE else None
    return Curve.of(
        ((step / full_step, sign * value) for step, value in trial.intermediate_values.items()),
        levels,
        final=None if final is None else sign * final,
        ended=trial.state.is_finished(),
        failed=trial.state == TrialState.FAIL,
    )


def _values_at(reported: Sequence[tuple[float, float]], levels: Sequence[float], ended: bool) -> list[float]:
    """The best value so far at each level that was reached."""
    values: list[float] = []
    best = -np.inf
    for progress, value in reported:
        best = max(best, value)
        while len(values) < len(levels) and progress >= levels[len(values)] - _ROUNDING:
            values.append(best)
    if reported and not values and ended:
        values.append(best)  # stopped before the first level
    return values


class CurveModel:
    """Predicts the normal score of any configuration at the end of its schedule.

    Args:
        distributions: The settings.
        configurations: The trials' values of these settings.
        curves: The trials' curves; also an attribute.
        levels: Shares of the schedule at which curves are compared, ascending, without the whole.

    Attributes:
        cube: The settings as a unit cube.
        places: The trials' configurations there: [trials, settings].
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        configurations: Sequence[Mapping[str, Any]],
        curves: Sequence[Curve],
        levels: Sequence[float],
    ):
        self.cube = UnitCube(distributions)
        self.places = self.cube.places(configurations)
        self.curves = curves
        self._progress = np.log([*levels, 1.0])
        self._process: GaussianProcess | None = None
        self._known = np.zeros((2, 0))

    @property
    def best_trial(self) -> int:
        """Index of the first of the best trials among those that came furthest; 0 if none has a value."""
        return max(
            range(len(self.curves)),
            key=lambda index: (len(self.curves[index].values), self.curves[index].values[-1:], -index),
            default=0,
        )

    def fit(self) -> None:
        """Fits the model to the trials, and has it believe that the running ones end as predicted."""
        owners, levels, values = _comparable(self.curves, len(self._progress))
        scores = _normal_scores(values)
        self._known = np.unique([scores, values], axis=1)
        kept = thinned(scores, MAX_ROWS)
        owners, levels, scores = owners[kept], levels[kept], scores[kept]
        rows = Rows(self.cube.columns(self.places[owners]), self._progress[levels])
        kernel = fit_kernel(rows, scores, self.cube.axis_of)
        running = [index for index, curve in enumerate(self.curves) if not curve.ended]
        self._process = GaussianProcess(kernel, rows, scores).believing(self._at_end(self.places[running]))

    def predict(self, places: Floats, *, noisy: bool = False) -> tuple[Floats, Floats]:
        """Means and standard deviations of the scores at the end of the schedule: [configurations] each.

        The deviations are those of the expected score, or, if `noisy`, of one trial's score.
        """
        assert self._process is not None, "fit comes first"
        means, deviations = self._process.predict(self._at_end(places))
        return means, np.hypot(deviations, np.sqrt(self._process.kernel.noise)) if noisy else deviations

    def values(self, scores: Floats) -> Floats:
        """The values at the end of the schedule that some normal scores stand for.

        Beyond the known ones they are extrapolated by the average slope of the better or the worse half.
        """
        known, values = self._known
        middle = np.interp(0.0, known, values)
        found = np.interp(scores, known, values)
        for end in (0, -1):
            slope = (values[end] - middle) / known[end] if known[end] else 0.0
            beyond = np.maximum(scores - known[end], 0) if end else np.minimum(scores - known[end], 0)
            found += slope * beyond
        return np.asarray(found)

    def comparable_values(self) -> dict[int, float]:
        """By the curve's index, its last value raised to the height of the end of the schedule."""
        rows = zip(*_comparable(self.curves, len(self._progress)), strict=True)
        return {int(index): float(value) for index, _, value in rows}

    def _at_end(self, places: Floats) -> Rows:
        return Rows(self.cube.columns(places), np.zeros(len(places)))


def _comparable(curves: Sequence[Curve], levels: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """The model's rows: index of the curve, index of the level, and the value raised to the end's height."""
    gains = np.zeros(levels)
    for level in range(levels - 1):
        both = [curve.values[level : level + 2] for curve in curves if len(curve.values) > level + 1]
        gains[level] = np.median([later - now for now, later in both]) if both else 0.0
    raised = np.cumsum(gains[::-1])[::-1]
    rows = [
        (index, level, curve.values[level] + raised[level])
        for index, curve in enumerate(curves)
        if curve.values
        for level in sorted({0, len(curve.values) - 1})
    ]
    worst = min((value for *_, value in rows), default=0.0)
    rows += [(index, levels - 1, worst) for index, curve in enumerate(curves) if curve.failed]
    owners, at, values = (np.array(column) for column in zip(*rows, strict=True))
    return owners, at, values


def _normal_scores(values: Floats) -> Floats:
    """Quantiles of the standard normal distribution at the values' ranks."""
    in_order = np.sort(values)
    # Equal values share the mean of their ranks, as by scipy.stats.rankdata, which takes long to import.
    below, up_to = (in_order.searchsorted(values, side) for side in ("left", "right"))
    return np.asarray(ndtri((below + up_to) / 2 / len(values)))
