"""What a model of a study's learning curves predicts: the best settings, a surface over two, and how well.

The model is the one of the `multifidelity` sampler, fitted to the trials of a study with any sampler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from sa_study.settings.space import SearchSpace
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.search.curve_model import Curve, CurveModel
from sa_study.tuning.search.samplers import comparison_levels
from sa_study.tuning.search.suggest import distribution
from sa_study.tuning.search.unit_cube import Candidates, Floats

MIN_TRIALS = 8
"""Minimum number of trials with a score for a model to be fitted."""

_FOLDS = 5
_GRID = 41
"""Places along each axis of a surface."""

_DEVIATIONS = float(ndtri(0.975))
"""Standard deviations to either end of a 95 % interval."""


@dataclass(frozen=True, eq=False)
class Expected:
    """Scores expected at the end of a schedule, as fractions: the median and a 95 % interval."""

    median: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class HeldOutCheck:
    """How the scores of trials compare with what the model, fitted without them, had predicted.

    The score of a stopped trial is its last one plus what trials that went on from there gained.

    Attributes:
        trials: Number of trials.
        correlation: Spearman's rank correlation of predictions and scores; 0 where all are equal.
        covered: Number of scores that lie in the 95 % interval of their prediction.
    """

    trials: int
    correlation: float
    covered: int


@dataclass(frozen=True)
class Optimum:
    """The settings of the highest expected score, and that score as a fraction with its 95 % interval."""

    settings: Mapping[str, Any]
    median: float
    low: float
    high: float


class SearchModel:
    """The model of the learning curves of a study's trials.

    Attributes:
        optimum: Where the highest score is expected.
        check: How predictions of trials that were held out compare with their scores.
    """

    def __init__(
        self, space: SearchSpace, configurations: Sequence[Mapping[str, Any]], curves: Sequence[Curve]
    ):
        self._distributions = {name: distribution(each) for name, each in space.search.items()}
        self._levels = comparison_levels(space.scheduler)
        self._configurations = configurations
        with threadpool_limits(limits=1, user_api="blas"):
            self._model = self._fitted(curves)
            means, _ = self._model.predict(self._model.places)
            candidates = Candidates(self._model.cube, space.active_settings if space.conditional else None)
            self._best = candidates.ranked(
                lambda places: self._model.predict(places)[0],
                self._model.places[np.argsort(-means, kind="stable")],
                np.random.default_rng(0),
            )[0]
            found = _expected(self._model, *self._model.predict(self._best[None]))
            ends = (float(part[0]) for part in (found.median, found.low, found.high))
            self.optimum = Optimum(self._model.cube.values(self._best), *ends)
            self.check = self._check()

    def surface(self, first: str, second: str) -> tuple[Floats, Expected]:
        """The score expected over two settings, all others as in the optimum.

        Returns:
            The places of a grid along both axes, 0 to 1 on each setting's own scale, and what is expected
            there: [places of the second setting, places of the first].
        """
        sides = np.linspace(0, 1, _GRID)
        rows = np.repeat(self._best[None], _GRID**2, axis=0)
        names = self._model.cube.names
        rows[:, names.index(first)], rows[:, names.index(second)] = np.tile(sides, _GRID), sides.repeat(_GRID)
        found = _expected(self._model, *self._model.predict(rows))
        shape = (_GRID, _GRID)
        return sides, Expected(*(part.reshape(shape) for part in (found.median, found.low, found.high)))

    def _fitted(self, curves: Sequence[Curve]) -> CurveModel:
        model = CurveModel(self._distributions, self._configurations, curves, self._levels)
        model.fit()
        return model

    def _check(self) -> HeldOutCheck:
        """Fits the model five times, each time without a fifth of the trials."""
        scores = self._model.comparable_values()
        known = [index for index, curve in enumerate(self._model.curves) if curve.values and curve.ended]
        order = np.random.default_rng(0).permutation(known)
        predicted, covered = np.zeros(len(order)), 0
        for fold in range(_FOLDS):
            part = np.arange(fold, len(order), _FOLDS)
            left_out = set(order[part].tolist())
            model = self._fitted(
                [Curve((), True, False) if i in left_out else c for i, c in enumerate(self._model.curves)]
            )
            found = _expected(model, *model.predict(model.places[order[part]], noisy=True))
            truth = np.array([scores[index] for index in order[part]])
            covered += int(((found.low <= truth) & (truth <= found.high)).sum())
            predicted[part] = found.median
        truth = np.array([scores[index] for index in order])
        equal = np.ptp(truth) == 0 or np.ptp(predicted) == 0
        return HeldOutCheck(
            len(order), 0.0 if equal else float(spearmanr(predicted, truth).statistic), covered
        )


def search_model(study: StudySummary) -> SearchModel | None:
    """The model of a study's trials; None with fewer than `MIN_TRIALS` that have a score, or no setting."""
    space = study.config.space
    trials = [trial for trial in study.trials if trial.state != "WAITING" and _belongs(space, trial)]
    levels = comparison_levels(space.scheduler)
    curves = [
        Curve.of(
            ((progress / 100, value) for progress, value in trial.finite_curve),
            levels,
            final=trial.score if trial.complete else None,
            ended=trial.ended,
            failed=trial.state == "FAIL",
        )
        for trial in trials
    ]
    known = [curve.values[-1] for curve in curves if curve.values and curve.ended]
    if not space.search or len(known) < MIN_TRIALS or len(set(known)) == 1:
        return None
    return SearchModel(space, [trial.params for trial in trials], curves)


def _belongs(space: SearchSpace, trial: TrialSummary) -> bool:
    """Whether a trial's settings are of the space, which anyone can have edited."""
    for name, value in trial.params.items():
        parameter = space.search.get(name)
        if parameter is None or (isinstance(value, str | None) and parameter.kind != "categorical"):
            return False
        if not parameter.contains(value):
            return False
    return True


def _expected(model: CurveModel, means: Floats, deviations: Floats) -> Expected:
    """Scores from the means and standard deviations that the model predicts on its own scale."""
    parts = (means, means - _DEVIATIONS * deviations, means + _DEVIATIONS * deviations)
    return Expected(*map(model.values, parts))
