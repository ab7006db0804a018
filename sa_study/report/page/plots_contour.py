"""The score over two settings as a smooth surface, drawn only where trials are near."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from sa_study.report.page.importance import MIN_TRIALS, Importance, Sample, UnitCube, samples, unit_position
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plot_style import RAMP, axis_title, hover_text
from sa_study.report.page.plots_space import axis_ticks
from sa_study.report.page.text import for_plot
from sa_study.settings.space import Parameter

Array = NDArray[np.float64]

_MIN_POINTS = 6

_GRID = 41

_MAX_DEVIATION = 0.75
"""Share of the prior deviation above which nothing is drawn."""


@dataclass(frozen=True)
class Surface:
    """Values over the unit square; NaN where no trial is near.

    Attributes:
        places: Places of the grid along each side.
        values: Rows are the second coordinate, columns the first.
    """

    places: Array
    values: Array


def fit_surface(points: Array, values: Array) -> Surface | None:
    """A Gaussian process with one length for both axes; length and noise by marginal likelihood.

    Args:
        points: n × 2, in the unit square.
        values: n.

    Returns:
        The mean on a grid; None for fewer than six points, or values that do not differ.
    """
    spread = float(values.std()) if len(values) else 0.0
    if len(values) < _MIN_POINTS or spread < 1e-9:
        return None
    target = (values - values.mean()) / spread
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    fits = [
        (_likelihood(distances, target, length, noise), length, noise)
        for length in (0.12, 0.2, 0.33, 0.5)
        for noise in (0.02, 0.1, 0.3)
    ]
    _, length, noise = max(fits)
    places = np.linspace(0, 1, _GRID)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    covariance = _kernel(distances, length) + noise * np.eye(len(target))
    cross = _kernel(((grid[:, None] - points[None]) ** 2).sum(axis=2), length)
    mean = cross @ np.linalg.solve(covariance, target)
    known = np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.T))
    unsure = np.sqrt(np.clip(1 - known, 0, 1)) > _MAX_DEVIATION
    surface = np.where(unsure, np.nan, values.mean() + spread * mean)
    return Surface(places, surface.reshape(_GRID, _GRID))


def _kernel(squares: Array, length: float) -> Array:
    kernel: Array = np.exp(-squares / (2 * length**2))
    return kernel


def _likelihood(distances: Array, target: Array, length: float, noise: float) -> float:
    covariance = _kernel(distances, length) + noise * np.eye(len(target))
    _, log_determinant = np.linalg.slogdet(covariance)
    return float(-0.5 * (target @ np.linalg.solve(covariance, target) + log_determinant))


def contour_axes(study: PageStudy, found: Sequence[Importance]) -> tuple[str, str] | None:
    """The two numbers to draw over each other: lr and dropout where both are searched, else what mattered."""
    search = UnitCube(study).search
    numbers = [name for name, parameter in search.items() if parameter.kind != "categorical"]
    if {"lr", "dropout"} <= set(numbers):
        return "lr", "dropout"
    order = list(found[0].shares) if found else numbers
    best = [name for name in order if name in numbers]
    return (best[0], best[1]) if len(best) > 1 else None


def contour_sample(study: PageStudy) -> Sample | None:
    """The final scores where enough trials are complete, else what all trials had at the first rung."""
    usable = [sample for sample in samples(study) if len(sample.values) >= MIN_TRIALS]
    return usable[0] if usable else None


def contour(study: PageStudy, found: Sequence[Importance]) -> go.Figure | None:
    """The metric over two settings, drawn only where trials are near."""
    axes, sample = contour_axes(study, found), contour_sample(study)
    if axes is None or sample is None:
        return None
    search = study.config.space.search
    places = np.array(
        [[unit_position(search[name], study.value(trial, name)) for name in axes] for trial in sample.trials]
    )
    surface = fit_surface(places, 100 * np.array(sample.values))
    if surface is None:
        return None
    figure = go.Figure()
    values = [[None if math.isnan(v) else round(float(v), 2) for v in row] for row in surface.values]
    grid = [round(float(v), 4) for v in surface.places]
    figure.add_contour(
        x=grid,
        y=grid,
        z=values,
        colorscale=[[index / (len(RAMP) - 1), shade] for index, shade in enumerate(RAMP)],
        ncontours=14,
        line={"width": 0.6},
        colorbar={"title": {"text": axis_title(study)}, "thickness": 14, "outlinewidth": 0},
        hovertemplate="%{z:.1f} %<extra></extra>",
    )
    figure.add_scatter(**_dots(study, sample, places))
    figure.update_layout(xaxis=_side(axes[0], search), yaxis=_side(axes[1], search))
    return figure


def _dots(study: PageStudy, sample: Sample, places: Array) -> dict[str, Any]:
    won = [trial is study.winner for trial in sample.trials]
    return {
        "x": [round(float(v), 4) for v in places[:, 0]],
        "y": [round(float(v), 4) for v in places[:, 1]],
        "mode": "markers",
        "marker": {
            "size": [14 if winner else 7 for winner in won],
            "symbol": ["star" if winner else "circle" for winner in won],
            "color": "#ffffff",
            "line": {"width": 1.2, "color": "#1a1f26"},
        },
        "text": [hover_text(study, trial) for trial in sample.trials],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _side(name: str, search: Mapping[str, Parameter]) -> dict[str, Any]:
    ticks = axis_ticks(search[name])
    return {
        "title": for_plot(name),
        "tickmode": "array",
        "tickvals": [height for height, _ in ticks],
        "ticktext": [for_plot(text) for _, text in ticks],
        "range": [0, 1],
        "showgrid": False,
        "zeroline": False,
    }
