"""Plots of effects: how much each setting matters, the score over two of them, differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from sa_study.report.page.importance import (
    MIN_FIT,
    MIN_TRIALS,
    Importance,
    Sample,
    UnitCube,
    samples,
    unit_position,
)
from sa_study.report.page.page_study import Difference, PageStudy, TrustSection
from sa_study.report.page.plot_style import RAMP, axis_title, colour, for_plot, thin_line, trial_points
from sa_study.report.page.plots_space import axis_ticks
from sa_study.settings.space import Parameter

Array = NDArray[np.float64]

_ROW_HEIGHT = 34
_MARGIN = 110
_MIN_POINTS = 6
_GRID = 41
_MAX_DEVIATION = 0.75
"""Share of the prior deviation above which no surface is drawn."""


def importance_bars(found: Sequence[Importance]) -> go.Figure | None:
    """Shares of the variance, a colour for each sample."""
    if not found:
        return None
    figure = go.Figure()
    names, several = list(found[0].shares), len(found) > 1
    rows = range(len(names) + 1)
    for index, (item, group) in enumerate(zip(found, ("winner", "COMPLETE"), strict=False)):
        reliable = item.fit >= MIN_FIT
        shift = 0.2 * (2 * index - 1) if several else 0
        figure.add_bar(
            orientation="h",
            y=[row + shift for row in rows],
            x=_rounded([*(item.shares.get(name, 0.0) for name in names), item.combinations]),
            error_x={
                "array": _rounded([*(item.spread[name] for name in names), 0.0]),
                "thickness": 1,
                "width": 3,
                "color": colour("line"),
            },
            width=0.36 if several else 0.6,
            marker_color=colour(group),
            opacity=1 if reliable else 0.35,
            name=for_plot(item.sample.name) + ("" if reliable else ": not to be trusted"),
            showlegend=True,
            hovertemplate="%{x:.0f} %<extra></extra>",
        )
    figure.update_layout(
        height=150 + 46 * len(rows),
        barmode="overlay",
        xaxis={"title": "share of the differences, %", "range": [0, 105]},
        yaxis={
            "tickmode": "array",
            "tickvals": list(rows),
            "ticktext": [*map(for_plot, names), "combinations"],
            "autorange": "reversed",
            "zeroline": False,
        },
    )
    return figure


def _rounded(shares: Sequence[float]) -> list[float]:
    return [round(100 * share, 2) for share in shares]


def fit_surface(points: Array, values: Array) -> tuple[Array, Array] | None:
    """A Gaussian process with one length for both axes; length and noise by marginal likelihood.

    Args:
        points: n × 2, in the unit square.
        values: n.

    Returns:
        Places of a grid along each side, and the mean there: rows are the second coordinate, columns the
        first; NaN where no trial is near. None for fewer than six points, or values that do not differ.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor  # takes its time
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    if len(values) < _MIN_POINTS or values.std() < 1e-9:
        return None
    fits = [
        GaussianProcessRegressor(RBF(length) + WhiteKernel(noise), optimizer=None, normalize_y=True)
        for length in (0.12, 0.2, 0.33, 0.5)
        for noise in (0.02, 0.1, 0.3)
    ]
    best = max((fit.fit(points, values) for fit in fits), key=lambda fit: fit.log_marginal_likelihood_value_)
    places = np.linspace(0, 1, _GRID)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    mean, deviation = best.predict(grid, return_std=True)
    variance = (deviation / values.std()) ** 2 - best.kernel_.k2.noise_level
    surface = np.where(variance > _MAX_DEVIATION**2, np.nan, mean)
    return places, surface.reshape(_GRID, _GRID)


def contour_axes(study: PageStudy, found: Sequence[Importance]) -> tuple[str, str] | None:
    """The two numbers to draw over each other: lr and dropout where both are searched, else what mattered."""
    search = UnitCube(study).search
    numbers = [name for name, parameter in search.items() if parameter.kind != "categorical"]
    if {"lr", "dropout"} <= set(numbers):
        return "lr", "dropout"
    best = [name for name in (found[0].shares if found else numbers) if name in numbers]
    return (best[0], best[1]) if len(best) > 1 else None


def contour_sample(study: PageStudy) -> Sample | None:
    """The final scores where enough trials are complete, else what all trials had at the first rung."""
    return next((sample for sample in samples(study) if len(sample.values) >= MIN_TRIALS), None)


def contour(study: PageStudy, found: Sequence[Importance]) -> go.Figure | None:
    """The metric over two settings, drawn only where trials are near."""
    axes, sample = contour_axes(study, found), contour_sample(study)
    if axes is None or sample is None:
        return None
    parameters = [study.config.space.search[name] for name in axes]
    points = np.array(
        [
            [
                unit_position(each, study.value(trial, name))
                for name, each in zip(axes, parameters, strict=True)
            ]
            for trial in sample.trials
        ]
    )
    surface = fit_surface(points, 100 * np.array(sample.values))
    if surface is None:
        return None
    places, values = surface
    figure = go.Figure()
    figure.add_contour(
        x=places.round(4).tolist(),
        y=places.round(4).tolist(),
        z=[[None if np.isnan(value) else round(float(value), 2) for value in row] for row in values],
        colorscale=[[index / (len(RAMP) - 1), shade] for index, shade in enumerate(RAMP)],
        ncontours=14,
        line={"width": 0.6},
        colorbar={"title": {"text": axis_title(study)}, "thickness": 14, "outlinewidth": 0},
        hovertemplate="%{z:.1f} %<extra></extra>",
    )
    won = [trial is study.winner for trial in sample.trials]
    style = {
        "size": [14 if winner else 7 for winner in won],
        "symbol": ["star" if winner else "circle" for winner in won],
        "color": "#ffffff",
        "line": {"width": 1.2, "color": "#1a1f26"},
    }
    x, y = points.round(4).T.tolist()
    dots = trial_points(study, "COMPLETE", sample.trials, x, y=y, marker=style, showlegend=False)
    figure.add_scatter(**dots)
    first, second = (_side(name, each) for name, each in zip(axes, parameters, strict=True))
    figure.update_layout(xaxis=first, yaxis=second)
    return figure


def _side(name: str, parameter: Parameter) -> dict[str, Any]:
    heights, texts = zip(*axis_ticks(parameter), strict=True)
    return {
        "title": for_plot(name),
        "tickmode": "array",
        "tickvals": heights,
        "ticktext": list(map(for_plot, texts)),
        "range": [0, 1],
        "showgrid": False,
        "zeroline": False,
    }


def forest_plot(part: TrustSection | None, title: str) -> go.Figure | None:
    """Each difference as a point with its interval, beside the line of no difference."""
    if part is None or not part.differences:
        return None
    figure, differences = go.Figure(), part.differences
    for group, name in (("winner", "above 0"), ("FAIL", "below 0"), ("PRUNED", "may be 0")):
        if mine := [difference for difference in differences if _group(difference) == group]:
            figure.add_scatter(
                x=[round(difference.mean, 3) for difference in mine],
                y=[for_plot(difference.label) for difference in mine],
                error_x={
                    "type": "data",
                    "array": [round(difference.high - difference.mean, 3) for difference in mine],
                    "arrayminus": [round(difference.mean - difference.low, 3) for difference in mine],
                    "thickness": 2,
                    "color": colour(group),
                },
                mode="markers",
                marker={"color": colour(group), "size": 10},
                name=name,
                hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
            )
    # Without space around its zero the line stands under the axis, where it is not seen.
    low = min(0.0, *(difference.low for difference in differences))
    high = max(0.0, *(difference.high for difference in differences))
    margin = 0.06 * (high - low) or 1.0
    figure.add_vline(x=0, line=thin_line("dash"))
    figure.update_layout(
        height=_MARGIN + _ROW_HEIGHT * len(differences),
        xaxis={"title": {"text": title}, "zeroline": False, "range": [low - margin, high + margin]},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [for_plot(difference.label) for difference in reversed(differences)],
            "automargin": True,
        },
        legend={"orientation": "h", "y": 1.15},
        margin={"l": 10, "r": 10, "t": 40, "b": 50},
    )
    return figure


def _group(difference: Difference) -> str:
    return "winner" if difference.low > 0 else "FAIL" if difference.high < 0 else "PRUNED"
