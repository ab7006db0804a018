"""The page's contours of the metric over two settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sa_study.report.page.figures import axis_title, hover_text
from sa_study.report.page.figures_space import axis_ticks
from sa_study.report.page.importance import LEAST, Cube, Importance, Sample, samples, unit
from sa_study.report.page.palette import RAMP
from sa_study.report.page.surface import Array, fit_surface
from sa_study.report.page.text import for_plot
from sa_study.report.page.view import PageStudy
from sa_study.settings.parameter import Parameter


def contour_axes(study: PageStudy, found: Sequence[Importance]) -> tuple[str, str] | None:
    """The two numbers to draw over each other: lr and dropout where both are searched, else what mattered."""
    search = Cube(study).search
    numbers = [name for name, parameter in search.items() if parameter.kind != "categorical"]
    if {"lr", "dropout"} <= set(numbers):
        return "lr", "dropout"
    order = list(found[0].shares) if found else numbers
    best = [name for name in order if name in numbers]
    return (best[0], best[1]) if len(best) > 1 else None


def contour_sample(study: PageStudy) -> Sample | None:
    """The final scores where enough trials are complete, else what all trials had at the first rung."""
    usable = [sample for sample in samples(study) if len(sample.values) >= LEAST]
    return usable[0] if usable else None


def contour(study: PageStudy, found: Sequence[Importance]) -> go.Figure | None:
    """The metric over two settings, drawn only where trials are near."""
    axes, sample = contour_axes(study, found), contour_sample(study)
    if axes is None or sample is None:
        return None
    search = study.config.space.search
    places = np.array(
        [[unit(search[name], study.value(trial, name)) for name in axes] for trial in sample.trials]
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
