"""A model of a study's learning curves: the score at the end of the schedule that it expects anywhere.

Each trial gives its value at the first and at the last level of progress that it reached. Values at
different levels are made comparable first: each is raised by the median gain of the trials that went on. All
are then replaced by normal scores, so that a few very bad trials do not hide the differences of good ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri
from scipy.stats import rankdata

from sa_study.tuning.search.gaussian_process import GaussianProcess, Rows, fit_kernel, thinned
from sa_study.tuning.search.unit_cube import Floats, UnitCube

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


def read_curve(
    trial: FrozenTrial, direction: StudyDirection, levels: Sequence[float], full_step: float
) -> Curve:
    """Reads a trial's values.

    Args:
        trial: The trial, in any state.
        direction: The study's.
        levels: Shares of the schedule, ascending, without the whole.
        full_step: Optuna's step at the end of the schedule.
    """
    sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
    reported = sorted(
        (s / full_step, sign * v) for s, v in trial.intermediate_values.items() if np.isfinite(v)
    )
    values: list[float] = []
    best = -np.inf
    for progress, value in reported:
        best = max(best, value)
        while len(values) < len(levels) and progress >= levels[len(values)] - _ROUNDING:
            values.append(best)
    if reported and not values and trial.state.is_finished():
        values.append(best)  # stopped before the first level
    if trial.state == TrialState.COMPLETE and trial.value is not None and np.isfinite(trial.value):
        final = sign * trial.value
        values = [*values, *[final] * (len(levels) - len(values)), final]
    failed = trial.state == TrialState.FAIL
    return Curve(() if failed else tuple(values), trial.state.is_finished(), failed)


class CurveModel:
    """Predicts the normal score of any configuration at the end of its schedule.

    Args:
        distributions: The settings.
        trials: The trials; those without any value count as running.
        direction: The study's.
        levels: Shares of the schedule at which curves are compared, ascending, without the whole.
        full_step: Optuna's step at the end of the schedule.

    Attributes:
        cube: The settings as a unit cube.
        places: The trials' configurations there: [trials, settings].
        curves: What is known of their scores.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        trials: Sequence[FrozenTrial],
        direction: StudyDirection,
        levels: Sequence[float],
        full_step: float,
    ):
        self.cube = UnitCube(distributions)
        self.places = self.cube.places([trial.params for trial in trials])
        self.curves = [read_curve(trial, direction, levels, full_step) for trial in trials]
        self._progress = np.log([*levels, 1.0])
        self._process: GaussianProcess | None = None

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
        kept = thinned(scores, MAX_ROWS)
        owners, levels, scores = owners[kept], levels[kept], scores[kept]
        rows = Rows(self.cube.columns(self.places[owners]), self._progress[levels])
        kernel = fit_kernel(rows, scores, self.cube.axis_of)
        running = [index for index, curve in enumerate(self.curves) if not curve.ended]
        self._process = GaussianProcess(kernel, rows, scores).believing(self._at_end(self.places[running]))

    def predict(self, places: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations of the scores at the end of the schedule: [configurations] each."""
        assert self._process is not None, "fit comes first"
        return self._process.predict(self._at_end(places))

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
    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))
