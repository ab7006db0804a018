"""Plots of the search space: every trial over all its settings, and the score over one setting or two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sa_study.analysis.search_model import SearchModel
from sa_study.report.page import plot_style as style
from sa_study.report.page.importance import Importance, unit_points, unit_position, varied_settings
from sa_study.report.page.page_study import PageStudy
from sa_study.report.text import setting_text, short
from sa_study.settings.space import Parameter
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.search.unit_cube import Floats

_COLUMNS = 3
_MANY = 100
MAX_SLICES = 12

_SHARES = (0.25, 0.5, 0.7, 0.85, 0.95)
"""Shares of the trials at which a line's shade changes: the last shade is that of the best twentieth."""

_MAX_LABEL = 16
"""Characters of a choice beside an axis."""


def parallel(study: PageStudy) -> go.Figure | None:
    """Each trial as a line over all searched settings to its score; the box-select tool picks trials."""
    search = varied_settings(study)
    trials = [trial for trial in study.trials if trial.score is not None]
    if not search or len(trials) < 2:
        return None
    scores = np.array([trial.score for trial in trials], dtype=float)
    low, high = float(scores.min()), float(scores.max())
    heights = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    rows = np.column_stack([unit_points(study, trials), heights])
    figure = go.Figure()
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") / (len(scores) - 1)
    levels = np.searchsorted(_SHARES, ranks, side="right")
    # The best are drawn last, on top.
    for level, shade in enumerate(style.RAMP):
        picked = [int(index) for index in np.flatnonzero(levels == level)]
        if picked:
            figure.add_scatter(**_lines(study, trials, rows, picked, shade, level))
    # All at once: plotly checks all axes and labels anew with each that is added.
    axes, labels = list[dict[str, Any]](), list[dict[str, Any]]()
    for place, name in enumerate([*search, ""]):
        line = {"color": style.colour("line"), "width": 1}
        axes.append({"x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "y domain", "line": line})
        for height, text in axis_ticks(search[name]) if name else _score_ticks(low, high):
            label = {"showarrow": False, "xanchor": "left", "xshift": 5, "font": {"size": 11}}
            labels.append({"x": place, "y": height, "text": style.for_plot(text), **label})
    names = [*map(style.for_plot, search), style.axis_title(study)]
    figure.update_layout(
        shapes=[{"type": "line", "xref": "x", **axis} for axis in axes],
        annotations=labels,
        xaxis={
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [-0.15, len(names) - 0.7],
            "side": "top",
            "showgrid": False,
        },
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        showlegend=False,
        dragmode="select",
        hovermode="closest",
    )
    return figure


def _lines(
    study: PageStudy, trials: Sequence[TrialSummary], rows: Any, picked: Sequence[int], shade: str, level: int
) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    texts: list[str] = []
    width = rows.shape[1]
    for index in picked:
        x += [*range(width), None]
        y += [*(round(float(value), 4) for value in rows[index]), None]
        numbers += [trials[index].number] * width + [None]
        texts += [style.hover_text(study, trials[index])] * width + [""]
    return {
        "x": x,
        "y": y,
        "customdata": numbers,
        "text": texts,
        "mode": "lines+markers",
        "line": {"color": shade, "width": (0.5 if len(trials) > _MANY else 1) + level * 0.3},
        "marker": {"size": 3, "color": shade},
        "opacity": 0.5 + 0.1 * level,
        "hovertemplate": "%{text}<extra></extra>",
    }


def axis_ticks(parameter: Parameter) -> list[tuple[float, str]]:
    """Heights and texts of a setting's axis."""
    if parameter.kind == "categorical":
        return [
            (unit_position(parameter, choice), short(setting_text(choice), _MAX_LABEL))
            for choice in parameter.choices
        ]
    if parameter.count is not None and parameter.count <= 9:
        values = [parameter.value(index) for index in range(parameter.count)]
    elif parameter.log:
        values = np.geomspace(parameter.low, parameter.high, 5).tolist()
    else:
        values = np.linspace(parameter.low, parameter.high, 5).tolist()
    return [(unit_position(parameter, value), f"{value:.3g}") for value in values]


def _score_ticks(low: float, high: float) -> list[tuple[float, str]]:
    if high <= low:
        return [(0.5, f"{100 * low:.1f}")]
    return [(part, f"{100 * (low + part * (high - low)):.1f}") for part in (0, 0.25, 0.5, 0.75, 1)]


def slices(study: PageStudy) -> go.Figure | None:
    """Score by each searched setting."""
    names = list(varied_settings(study))[:MAX_SLICES]
    groups = style.scored(study)
    if not names or not groups:
        return None
    columns = min(_COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows=lines, cols=columns, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.22 / lines
    )
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        parameter = study.config.space.search[name]
        for group, members in groups.items():
            trials = [trial for trial in members if name in trial.params]
            x = [_place(parameter, trial.params[name]) for trial in trials]
            legend = {"legendgroup": group, "showlegend": index == 0}
            points = style.trial_points(study, group, trials, x, **legend)
            figure.add_scatter(**points, row=row + 1, col=column + 1)
        figure.update_xaxes(**_axis(name, parameter), row=row + 1, col=column + 1)
        if column == 0:
            figure.update_yaxes(title=style.axis_title(study), row=row + 1, col=1)
    figure.update_layout(height=120 + 260 * lines)
    return figure


def _place(parameter: Parameter, value: Any) -> float | None:
    """Coordinate of a value on an axis; the index of a choice."""
    if parameter.kind == "categorical":
        choices = list(map(str, parameter.choices))
        return choices.index(str(value)) if str(value) in choices else None
    return float(value) if isinstance(value, int | float) else None


def _axis(name: str, parameter: Parameter) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": style.for_plot(name)}
    if parameter.kind == "categorical":
        texts = [style.for_plot(short(setting_text(choice), _MAX_LABEL)) for choice in parameter.choices]
        ticks = {"tickmode": "array", "tickvals": list(range(len(texts))), "ticktext": texts}
        return axis | ticks | {"range": [-0.5, len(texts) - 0.5]}
    return axis | ({"type": "log", "dtick": "D2", "minor": {}} if parameter.log else {})


def surface_axes(study: PageStudy, found: Sequence[Importance]) -> tuple[str, str] | None:
    """The two numbers to draw over each other: lr and dropout where both are searched, else what mattered."""
    search = varied_settings(study)
    numbers = [name for name, parameter in search.items() if parameter.kind != "categorical"]
    if {"lr", "dropout"} <= set(numbers):
        return "lr", "dropout"
    best = [name for name in (found[0].shares if found else numbers) if name in numbers]
    return (best[0], best[1]) if len(best) > 1 else None


def surfaces(
    study: PageStudy, model: SearchModel | None, axes: tuple[str, str] | None
) -> tuple[go.Figure, go.Figure] | tuple[None, None]:
    """The score that a model expects over two settings, with the trials, and its uncertainty."""
    if model is None or axes is None:
        return None, None
    places, expected = model.surface(*axes)
    half = (expected.high - expected.low) / 2
    score = _surface(study, axes, places, expected.median, style.axis_title(study))
    score.data[0].update(
        customdata=[style.in_percent(row) for row in half.tolist()],
        hovertemplate="%{z:.1f} % ± %{customdata:.1f} points<extra></extra>",
    )
    white = {"color": "#ffffff", "line": {"width": 1.2, "color": "#1a1f26"}}
    parameters = [study.config.space.search[name] for name in axes]
    for group, trials in style.scored(study).items():
        x, y = (
            [unit_position(each, study.value(trial, name)) for trial in trials]
            for name, each in zip(axes, parameters, strict=True)
        )
        dots = {"y": y, "marker": {**style.marker(group), **white}, "showlegend": False}
        score.add_scatter(**style.trial_points(study, group, trials, x, **dots))
    best = model.optimum.settings
    if best.keys() >= set(axes):
        place = [[unit_position(each, best[name])] for name, each in zip(axes, parameters, strict=True)]
        score.add_scatter(
            x=place[0],
            y=place[1],
            mode="markers",
            marker={"symbol": "cross", "size": 13, **white},
            hovertemplate="predicted optimum<extra></extra>",
            showlegend=False,
        )
    return score, _surface(study, axes, places, half, "± points")


def _surface(
    study: PageStudy, axes: tuple[str, str], places: Floats, values: Floats, title: str
) -> go.Figure:
    figure = go.Figure()
    figure.add_contour(
        x=places.round(4).tolist(),
        y=places.round(4).tolist(),
        z=[style.in_percent(row) for row in values.tolist()],
        colorscale=[[index / (len(style.RAMP) - 1), shade] for index, shade in enumerate(style.RAMP)],
        ncontours=14,
        line={"width": 0.6},
        colorbar={"title": {"text": title}, "thickness": 14, "outlinewidth": 0},
        hovertemplate="± %{z:.1f} points<extra></extra>",
    )
    first, second = (_side(name, study.config.space.search[name]) for name in axes)
    return figure.update_layout(xaxis=first, yaxis=second)


def _side(name: str, parameter: Parameter) -> dict[str, Any]:
    heights, texts = zip(*axis_ticks(parameter), strict=True)
    return {
        "title": style.for_plot(name),
        "tickmode": "array",
        "tickvals": heights,
        "ticktext": list(map(style.for_plot, texts)),
        "range": [0, 1],
        "showgrid": False,
        "zeroline": False,
    }
