"""An Optuna sampler that learns from learning curves: a Gaussian process over settings and progress.

Unlike Optuna's own it uses what trials reported on their way, also those that were stopped, so that it fits
schedulers such as ASHA. A suggestion depends on the seed, the trial's number and the recorded trials alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from sa_study.tuning.search.curve_model import LEVELS, CurveModel, read_curve
from sa_study.tuning.search.unit_cube import Active, Candidates, Floats

STARTUP_TRIALS = 10
"""Trials that are spread over the space before the model suggests any."""

RANDOM_SHARE = 0.2
"""Share of suggestions that are always random, so that what the model misses can be found nevertheless."""

MAX_STALE_TRIALS = 30
"""After this many trials without a better one twice the share is random."""

_SPREAD_CANDIDATES = 16
_MIN_DISTANCE = 0.01  # a candidate nearer than this to a trial in all settings repeats it


class MultiFidelitySampler(BaseSampler):
    """Suggests where the expected improvement at the end of the schedule is greatest.

    Args:
        seed: Decides all random draws, together with the trial's number.
        levels: Shares of the schedule at which curves are compared, ascending; best those at which a
            scheduler stops trials.
        full_step: Optuna's step at the end of a schedule; None for the greatest that any trial reported.
        active: Gives the settings that a configuration has, where some depend on others; None if none do.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        levels: Sequence[float] = LEVELS,
        full_step: int | None = None,
        active: Active | None = None,
    ):
        self._seed = seed
        self._levels = [level for level in levels if level < 1]
        self._full_step = full_step
        self._active = active
        self._independent = RandomSampler(seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every setting that a trial has had, as the last one had it."""
        self._raise_error_if_multi_objective(study)
        space: dict[str, BaseDistribution] = {}
        for earlier in study.get_trials(deepcopy=False):
            space |= earlier.distributions
        return space

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value of a setting that no trial has had."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The suggestion."""
        if not search_space:
            return {}
        rng = np.random.default_rng([self._seed, trial.number])
        trials = [t for t in study.get_trials(deepcopy=False) if t.params and t.number != trial.number]
        full_step = self._full_step or max((max(t.intermediate_values, default=0) for t in trials), default=0)
        curves = [read_curve(t, study.direction, self._levels, full_step or 1) for t in trials]
        model = CurveModel(search_space, [t.params for t in trials], curves, self._levels)
        candidates = Candidates(model.cube, self._active)
        stale = len(trials) - 1 - model.best_trial > MAX_STALE_TRIALS
        if not trials or rng.random() < RANDOM_SHARE * (1 + stale):
            return model.cube.values(candidates.drawn(rng, 1)[0])
        known = sum(bool(curve.values) for curve in model.curves)
        if len(trials) < STARTUP_TRIALS or known < 3:
            return model.cube.values(_farthest(model, candidates.drawn(rng, _SPREAD_CANDIDATES)))
        # One thread rounds alike on any number of cores, and leaves the others to trials that train on CPUs.
        with threadpool_limits(limits=1, user_api="blas"):
            model.fit()
            return model.cube.values(_most_promising(model, candidates, rng))


def _farthest(model: CurveModel, drawn: Floats) -> Floats:
    """Of some configurations the one that is farthest from all trials."""
    distances = cdist(model.cube.columns(drawn), model.cube.columns(model.places))
    return np.asarray(drawn[distances.min(axis=1).argmax()])


def _most_promising(model: CurveModel, candidates: Candidates, rng: np.random.Generator) -> Floats:
    """The configuration of the greatest expected improvement that no trial has had."""
    means, _ = model.predict(model.places)

    def merits(places: Floats) -> Floats:
        """Logarithms of the expected improvement."""
        expected, deviations = model.predict(places)
        return log_expected_improvement((expected - means.max()) / deviations) + np.log(deviations)

    ranked = candidates.ranked(merits, model.places[np.argsort(-means)], rng)
    return next((place for place in ranked if not _repeats(place, model.places)), np.asarray(ranked[0]))


def log_expected_improvement(z: Floats) -> Floats:
    """The logarithm of the expected improvement over 0 of a normal variable of mean z and variance 1.

    Its series is used where the difference would vanish. Ament et al., NeurIPS 2023.
    """
    near, far = np.maximum(z, -10), np.minimum(z, -10)
    exact = np.log(np.exp(-np.square(near) / 2) / np.sqrt(2 * np.pi) + near * ndtr(near))
    density = -np.square(far) / 2 - np.log(2 * np.pi) / 2
    series = density - 2 * np.log(-far) + np.log1p(-3 / far**2 + 15 / far**4)
    return np.asarray(np.where(z > -10, exact, series))


def _repeats(place: Floats, tried: Floats) -> bool:
    """Whether a configuration is nearly one of those that were tried."""
    apart = np.abs(np.nan_to_num(tried, nan=-1) - np.nan_to_num(place, nan=-1))
    return bool((apart.max(axis=1) < _MIN_DISTANCE).any())
