"""A multi-fidelity Gaussian process of BoTorch's as an Optuna sampler. Needs BoTorch 0.18.

BoTorch is imported when the model is first fitted: the rest of this module serves without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from sa_study.settings.space import SearchSpace
from sa_study.study.records import step_of
from sa_study.tuning.search.curve_model import Curve, read_curve
from sa_study.tuning.search.multifidelity import STARTUP_TRIALS, MultiFidelitySampler
from sa_study.tuning.search.samplers import SamplerSpec, comparison_levels
from sa_study.tuning.search.unit_cube import UnitCube
from simulation.landscapes import Floats

_RESTARTS, _RAW_SAMPLES = 5, 256
"""Starts of the search for the greatest merit, and the points of which they are the best."""


class BoTorchSampler(MultiFidelitySampler):
    """Suggests where the expected improvement at the end of the schedule is greatest.

    The model is BoTorch's `SingleTaskMultiFidelityGP` of the best score so far at each rung that a trial has
    reached, with its kernel of exponential decay: some matrices of its default kernel could not be factored.
    The merit is its `qLogExpectedImprovement` over the best mean of all trials, together with running ones.

    It is made as the sampler that it is compared with, and shares with it all but the suggestion.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The suggestion; none, for random ones, before there are scores enough."""
        trials = [t for t in study.get_trials(deepcopy=False) if t.params and t.number != trial.number]
        curves = [read_curve(t, study.direction, self._levels, step_of(100)) for t in trials]
        if sum(bool(curve.values) for curve in curves) < STARTUP_TRIALS:
            return {}
        cube = UnitCube(search_space)
        place = self._most_promising(cube.places([t.params for t in trials]), curves)
        return cube.values(cube.snapped(place))

    def _most_promising(self, places: Floats, curves: Sequence[Curve]) -> Floats:
        """The place of the greatest merit."""
        import torch
        from botorch.acquisition import qLogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskMultiFidelityGP
        from botorch.optim import optimize_acqf
        from gpytorch.mlls import ExactMarginalLogLikelihood

        torch.manual_seed(self._seed)
        torch.set_num_threads(1)
        inputs, scores = rows(places, curves, self._levels)
        settings = places.shape[1]
        model = SingleTaskMultiFidelityGP(
            torch.from_numpy(inputs),
            torch.from_numpy(scores)[:, None],
            iteration_fidelity=settings,
            linear_truncated=False,
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        at_end = torch.from_numpy(np.column_stack([places, np.ones(len(places))]))
        with torch.no_grad():
            best = model.posterior(at_end).mean.max()
        running = at_end[[not curve.ended for curve in curves]]
        merit = qLogExpectedImprovement(model, best, X_pending=running if len(running) else None)
        found, _ = optimize_acqf(
            merit,
            torch.tensor([[0.0] * (settings + 1), [1.0] * (settings + 1)], dtype=torch.double),
            q=1,
            num_restarts=_RESTARTS,
            raw_samples=_RAW_SAMPLES,
            fixed_features={settings: 1.0},
        )
        return np.asarray(found[0, :settings])


def rows(places: Floats, curves: Sequence[Curve], levels: Sequence[float]) -> tuple[Floats, Floats]:
    """The model's rows: places and the share of the schedule [rows, settings + 1], and the scores there."""
    shares = [*levels, 1.0]
    reached = [(index, level) for index, curve in enumerate(curves) for level in range(len(curve.values))]
    inputs = np.array([[*places[index], shares[level]] for index, level in reached])
    return inputs, np.array([curves[index].values[level] for index, level in reached])


def _make(space: SearchSpace, seed: int) -> BaseSampler:
    return BoTorchSampler(seed, levels=comparison_levels(space.scheduler))


BOTORCH = SamplerSpec("BoTorch's multi-fidelity Gaussian process", _make, max_objectives=1)
