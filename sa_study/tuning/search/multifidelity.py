"""An Optuna sampler that learns from learning curves: a Gaussian process over settings and progress.

Unlike Optuna's own it uses what trials reported on their way, also those that were stopped, so that it fits
schedulers such as ASHA. A suggestion depends on the seed, the trial's number and the recorded trials alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from sa_study.tuning.search.curve_model import CurveModel
from sa_study.tuning.search.unit_cube import Floats, UnitCube

LEVELS = (0.1, 0.3, 0.6)
"""Shares of the schedule at which curves are compared unless others are given."""

STARTUP_TRIALS = 10
"""Trials that are spread over the space before the model suggests any."""

RANDOM_SHARE = 0.2
"""Share of suggestions that are random for good: what the model does not see is found nevertheless."""

MAX_STALE_TRIALS = 30
"""After this many trials without a better one twice the share is random."""

_SPREAD_CANDIDATES = 16
_RANDOM_CANDIDATES = 1000

_LOCAL_WIDTHS = (0.1, 0.03, 0.01)
"""Standard deviations of the moves around the most promising candidates, in units of the cube, by round."""

_LOCAL_CENTRES = 10
_LOCAL_CANDIDATES = 50
_REDRAWN = 0.15
"""Probability with which a setting is drawn anew in a move."""

_MIN_DISTANCE = 0.01
"""A candidate nearer than this to a trial in all settings repeats it."""

Active = Callable[[Mapping[str, Any]], Collection[str]]


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
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
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
        model = CurveModel(search_space, trials, study.direction, self._levels, full_step or 1)
        stale = len(trials) - 1 - model.best_trial > MAX_STALE_TRIALS
        if not trials or rng.random() < RANDOM_SHARE * (1 + stale):
            return model.cube.values(self._drawn(model.cube, rng, 1)[0])
        known = sum(bool(curve.values) for curve in model.curves)
        if len(trials) < STARTUP_TRIALS or known < 3:
            return model.cube.values(self._spread(model, rng))
        # One thread rounds alike on any number of cores, and leaves the others to trials that train on CPUs.
        with threadpool_limits(limits=1, user_api="blas"):
            model.fit()
            return model.cube.values(self._most_promising(model, rng))

    def _drawn(self, cube: UnitCube, rng: np.random.Generator, count: int) -> Floats:
        """Configurations drawn evenly."""
        return self._valid(cube, rng.random((count, len(cube.names))))

    def _valid(self, cube: UnitCube, places: Floats) -> Floats:
        """The allowed configurations nearest to some places, without the settings that they do not have."""
        places = cube.snapped(places)
        if self._active:
            for row in places:
                active = self._active(cube.values(row))
                row[[name not in active for name in cube.names]] = np.nan
        return places

    def _spread(self, model: CurveModel, rng: np.random.Generator) -> Floats:
        """Of some random configurations the one that is farthest from all trials."""
        drawn = self._drawn(model.cube, rng, _SPREAD_CANDIDATES)
        distances = cdist(model.cube.columns(drawn), model.cube.columns(model.places))
        return np.asarray(drawn[distances.min(axis=1).argmax()])

    def _most_promising(self, model: CurveModel, rng: np.random.Generator) -> Floats:
        """The configuration of the greatest expected improvement, among random ones and around the best."""
        means, _ = model.predict(model.places)
        best = means.max()
        candidates = self._drawn(model.cube, rng, _RANDOM_CANDIDATES)
        candidates = np.concatenate([candidates, model.places[np.argsort(-means)[:_LOCAL_CENTRES]]])
        merits = self._merits(model, candidates, best)
        for width in _LOCAL_WIDTHS:
            centres = candidates[np.argsort(-merits, kind="stable")[:_LOCAL_CENTRES]]
            near = self._valid(model.cube, _perturbed(centres, rng, width))
            candidates = np.concatenate([candidates, near])
            merits = np.concatenate([merits, self._merits(model, near, best)])
        order = np.argsort(-merits, kind="stable")
        for index in order:
            if not _repeats(candidates[index], model.places):
                return np.asarray(candidates[index])
        return np.asarray(candidates[order[0]])

    def _merits(self, model: CurveModel, places: Floats, best: float) -> Floats:
        """Logarithms of the expected improvement."""
        means, deviations = model.predict(places)
        return log_expected_improvement((means - best) / deviations) + np.log(deviations)


def log_expected_improvement(z: Floats) -> Floats:
    """The logarithm of the expected improvement over 0 of a normal variable of mean z and variance 1.

    Its series is used where the difference would vanish. Ament et al., NeurIPS 2023.
    """
    near, far = np.maximum(z, -10), np.minimum(z, -10)
    exact = np.log(np.exp(-np.square(near) / 2) / np.sqrt(2 * np.pi) + near * ndtr(near))
    density = -np.square(far) / 2 - np.log(2 * np.pi) / 2
    series = density - 2 * np.log(-far) + np.log1p(-3 / far**2 + 15 / far**4)
    return np.asarray(np.where(z > -10, exact, series))


def _perturbed(centres: Floats, rng: np.random.Generator, width: float) -> Floats:
    """Configurations around some: each setting moves a little, and a few are drawn anew."""
    near = np.repeat(centres, _LOCAL_CANDIDATES, axis=0)
    moved = near + width * rng.standard_normal(near.shape)
    anew = (rng.random(near.shape) < _REDRAWN) | np.isnan(near)
    return np.where(anew, rng.random(near.shape), moved)


def _repeats(place: Floats, tried: Floats) -> bool:
    """Whether a configuration is nearly one of those that were tried."""
    apart = np.abs(np.nan_to_num(tried, nan=-1) - np.nan_to_num(place, nan=-1))
    return bool((apart.max(axis=1) < _MIN_DISTANCE).any())
