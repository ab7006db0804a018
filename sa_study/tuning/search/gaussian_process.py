"""A Gaussian process over settings and progress, whose kernel's parameters are fitted to the data.

The kernel is a Matérn kernel with ν = 5/2 and a length scale for each setting, times one over the logarithm
of progress, `shared + (1 − shared) · RBF`, plus noise: settings that are alike have alike curves, and a value
early in a schedule tells something of its end. Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import expit

from sa_study.tuning.search.unit_cube import Floats

MAX_FITTED_ROWS = 160
"""Rows that the kernel's parameters are fitted to; the predictions are made from all."""

_MAX_ITERATIONS = 30

_PRIORS = {
    "scale": (0.0, 0.7),
    "noise": (np.log(1e-2), 1.5),
    "shared": (0.5, 1.0),
    "progress": (np.log(1.0), 0.7),
}
"""Mean and standard deviation of each parameter's normal prior: of a logarithm, for `shared` of a logit."""

_LENGTH = (np.log(0.5), 1.0)
"""Those of a length scale's logarithm for a single setting; the scale grows with the root of their number."""

_MIN_NOISE = 1e-4


@dataclass(frozen=True)
class Rows:
    """Points at which scores are known or predicted.

    Attributes:
        columns: Coordinates of the settings, as `UnitCube.columns` gives them: [rows, columns].
        progress: Logarithm of the share of the schedule: [rows].
    """

    columns: Floats
    progress: Floats

    def __len__(self) -> int:
        return len(self.progress)


@dataclass(frozen=True)
class Kernel:
    """The kernel with its parameters.

    Attributes:
        lengths: Length scale of each column.
        progress: Length scale of the logarithm of progress.
        shared: Part of the variance that is the same at all progress.
        scale: Variance of the scores.
        noise: Variance of their noise.
    """

    lengths: Floats
    progress: float
    shared: float
    scale: float
    noise: float

    def __call__(self, one: Rows, other: Rows) -> Floats:
        """Covariances between two sets of rows, without the noise."""
        distance = _distances(one.columns / self.lengths, other.columns / self.lengths)
        squares = np.square(one.progress[:, None] - other.progress)
        return np.asarray(self.scale * _matern(distance) * self.over_progress(self.alike(squares)))

    def alike(self, squares: Floats) -> Floats:
        """How alike two shares of the schedule are, given squared differences of their logarithms."""
        return np.asarray(np.exp(-squares / (2 * self.progress**2)))

    def over_progress(self, alike: Floats) -> Floats:
        """The kernel over progress."""
        return self.shared + (1 - self.shared) * alike


class GaussianProcess:
    """What a kernel expects at any settings, given known scores of mean 0 and variance 1 or so: [rows]."""

    def __init__(self, kernel: Kernel, rows: Rows, scores: Floats):
        self.kernel, self.rows, self.scores = kernel, rows, scores
        covariances = kernel(rows, rows)
        covariances[np.diag_indices_from(covariances)] += kernel.noise
        self._factor = cholesky(covariances, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), scores, check_finite=False)

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Means and standard deviations of the scores, without their noise, at some rows: [rows] each."""
        covariances = self.kernel(self.rows, rows)
        solved = solve_triangular(self._factor, covariances, lower=True, check_finite=False)
        variances = self.kernel.scale - np.square(solved).sum(axis=0)
        return covariances.T @ self._weights, np.sqrt(np.maximum(variances, 1e-12))

    def believing(self, rows: Rows) -> GaussianProcess:
        """The process if the scores at some rows turn out as it predicts."""
        if not len(rows):
            return self
        columns = np.concatenate([self.rows.columns, rows.columns])
        progress = np.concatenate([self.rows.progress, rows.progress])
        scores = np.concatenate([self.scores, self.predict(rows)[0]])
        return GaussianProcess(self.kernel, Rows(columns, progress), scores)


def fit_kernel(rows: Rows, scores: Floats, axis_of: NDArray[np.int64]) -> Kernel:
    """The kernel whose parameters are the most probable, given priors and known scores, as `GaussianProcess`.

    `axis_of` has for each column its setting; columns of one setting share a length scale.
    """
    kept = thinned(scores, MAX_FITTED_ROWS)
    rows, scores = Rows(rows.columns[kept], rows.progress[kept]), scores[kept]
    means, deviations = _priors(int(axis_of.max()) + 1)
    squares = np.square(rows.progress[:, None] - rows.progress)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        value, gradient = _negative_likelihood(parameters, rows, scores, axis_of, squares)
        pull = (parameters - means) / deviations
        return value + float(pull @ pull) / 2, gradient + pull / deviations

    found = minimize(
        loss,
        means,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(means - 4 * deviations, means + 4 * deviations, strict=True)),
        options={"maxiter": _MAX_ITERATIONS},
    )
    return _kernel(found.x if np.isfinite(found.x).all() else means, axis_of)


def thinned(scores: Floats, count: int) -> NDArray[np.int64]:
    """Indices of at most `count` rows: half of them the best, the others spread evenly over the rest."""
    if len(scores) <= count:
        return np.arange(len(scores))
    order = np.argsort(-scores, kind="stable")
    best, rest = order[: count // 2], order[count // 2 :]
    spread = rest[np.linspace(0, len(rest) - 1, count - len(best)).astype(int)]
    return np.sort(np.concatenate([best, spread]))


def _priors(settings: int) -> tuple[Floats, Floats]:
    """Means and standard deviations of the parameters: the settings' length scales first."""
    length = (_LENGTH[0] + np.log(settings) / 2, _LENGTH[1])
    means, deviations = np.array([length] * settings + list(_PRIORS.values())).T
    return means, deviations


def _kernel(parameters: Floats, axis_of: NDArray[np.int64]) -> Kernel:
    *lengths, scale, noise, shared, progress = parameters
    return Kernel(
        np.exp(np.array(lengths))[axis_of],
        float(np.exp(progress)),
        float(expit(shared)),
        float(np.exp(scale)),
        float(np.exp(noise)) + _MIN_NOISE,
    )


def _negative_likelihood(
    parameters: Floats, rows: Rows, scores: Floats, axis_of: NDArray[np.int64], squares: Floats
) -> tuple[float, Floats]:
    """The negative logarithm of the marginal likelihood but for a constant, and its gradient.

    `parameters` are ordered as by `_priors`; `squares` are those of differences of the logarithm of
    progress: [rows, rows].
    """
    kernel = _kernel(parameters, axis_of)
    scaled = rows.columns / kernel.lengths
    distance = _distances(scaled, scaled)
    over_settings, alike = _matern(distance), kernel.alike(squares)
    over_progress = kernel.over_progress(alike)
    covariances = kernel.scale * over_settings * over_progress
    noisy = covariances + kernel.noise * np.eye(len(rows))
    factor = cholesky(noisy, lower=True, check_finite=False)
    weights = cho_solve((factor, True), scores, check_finite=False)
    value = float(scores @ weights) / 2 + float(np.log(np.diag(factor)).sum())

    inverse = cho_solve((factor, True), np.eye(len(rows)), check_finite=False)
    slopes = (inverse - np.outer(weights, weights)) / 2
    nearness = slopes * kernel.scale * over_progress * 5 / 3 * (1 + distance) * np.exp(-distance)
    by_column = 2 * (nearness.sum(axis=1) @ np.square(scaled) - (scaled * (nearness @ scaled)).sum(axis=0))
    of_settings = slopes * kernel.scale * over_settings
    by_shared = (of_settings * (1 - alike)).sum() * kernel.shared * (1 - kernel.shared)
    by_progress = (of_settings * alike * squares).sum() * (1 - kernel.shared) / kernel.progress**2
    others = [
        (slopes * covariances).sum(),
        np.trace(slopes) * (kernel.noise - _MIN_NOISE),
        by_shared,
        by_progress,
    ]
    return value, np.concatenate([np.bincount(axis_of, by_column), others])


def _distances(one: Floats, other: Floats) -> Floats:
    """√5 times the distances between the rows of two arrays."""
    squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.sqrt(5 * np.maximum(squares, 0)))


def _matern(distance: Floats) -> Floats:
    """The Matérn kernel with ν = 5/2 of √5 times the distance."""
    return np.asarray((1 + distance + np.square(distance) / 3) * np.exp(-distance))
