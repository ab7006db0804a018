"""The Gaussian process: its likelihood, its predictions, and data that break a naive one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from sa_study.tuning.search import gaussian_process
from sa_study.tuning.search.gaussian_process import GaussianProcess, Kernel, Rows, fit_kernel, thinned
from sa_study.tuning.search.unit_cube import Floats

KERNEL = Kernel(np.array([0.5, 0.8, 0.8]), progress=1.0, shared=0.6, scale=1.0, noise=1e-2)
AXIS_OF = np.array([0, 1, 1])


def rows(count: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(rng.random((count, 3)), np.log(rng.choice([0.1, 0.3, 1.0], count)))


def smooth(at: Rows) -> Floats:
    return np.asarray(np.sin(4 * at.columns[:, 0]) + at.columns[:, 1] + 0.3 * at.progress)


def test_the_likelihood_is_that_of_a_normal_distribution_and_its_gradient_is_right() -> None:
    at = rows(12)
    scores = smooth(at)
    parameters = np.array([-0.5, 0.1, 0.2, -3.0, 0.4, 0.3])
    squares = np.square(at.progress[:, None] - at.progress)

    def value(point: Floats) -> float:
        return gaussian_process._negative_likelihood(point, at, scores, AXIS_OF, squares)[0]

    kernel = gaussian_process._kernel(parameters, AXIS_OF)
    covariance = kernel(at, at) + kernel.noise * np.eye(len(at))
    expected = -multivariate_normal(np.zeros(len(at)), covariance).logpdf(scores)
    assert value(parameters) + len(at) * np.log(2 * np.pi) / 2 == pytest.approx(expected)
    gradient = gaussian_process._negative_likelihood(parameters, at, scores, AXIS_OF, squares)[1]
    assert gradient == pytest.approx(approx_fprime(parameters, value, 1e-6), rel=1e-3, abs=1e-3)


def test_predictions_are_those_of_the_conditional_distribution() -> None:
    known, asked = rows(9), rows(4, seed=1)
    scores = smooth(known)
    inverse = np.linalg.inv(KERNEL(known, known) + KERNEL.noise * np.eye(9))
    across = KERNEL(known, asked)
    means, deviations = GaussianProcess(KERNEL, known, scores).predict(asked)
    assert means == pytest.approx(across.T @ inverse @ scores)
    assert np.square(deviations) == pytest.approx(1 - np.diag(across.T @ inverse @ across))


def test_a_fitted_process_predicts_what_it_has_not_seen() -> None:
    known, asked = rows(80), rows(60, seed=1)
    kernel = fit_kernel(known, smooth(known), AXIS_OF)
    means, deviations = GaussianProcess(kernel, known, smooth(known)).predict(asked)
    errors = means - smooth(asked)
    assert np.abs(errors).max() < 0.2 and (np.abs(errors) < 3 * deviations + 0.01).mean() > 0.9
    assert kernel.lengths[1] == kernel.lengths[2], "columns of one setting share a length scale"


def test_believing_lowers_the_uncertainty_alone() -> None:
    process = GaussianProcess(KERNEL, rows(9), smooth(rows(9)))
    asked = rows(4, seed=1)
    before, after = process.predict(asked), process.believing(asked).predict(asked)
    assert after[0] == pytest.approx(before[0]) and (after[1] < before[1]).all()
    assert process.believing(Rows(np.empty((0, 3)), np.empty(0))) is process


@pytest.mark.parametrize("count", [1, 2, 300])
def test_equal_points_and_equal_scores_are_no_trouble(count: int) -> None:
    same = Rows(np.full((count, 3), 0.5), np.zeros(count))
    for scores in (np.zeros(count), np.random.default_rng(0).standard_normal(count)):
        kernel = fit_kernel(same, scores, AXIS_OF)
        means, deviations = GaussianProcess(kernel, same, scores).predict(rows(3))
        assert np.isfinite(means).all() and np.isfinite(deviations).all()


def test_of_many_rows_the_best_and_a_spread_of_the_others_are_kept() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    kept = scores[thinned(scores, 100)]
    assert len(set(kept)) == 100 and set(range(950, 1000)) <= set(kept)
    assert kept.min() == 0 and np.median(kept) > 900
    assert list(thinned(scores[:5], 100)) == [0, 1, 2, 3, 4]
