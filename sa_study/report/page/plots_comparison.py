"""Plots of several studies: the best score so far over what had been spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from sa_study.metrics import names
from sa_study.report.page import plot_style as style
from sa_study.report.page.comparison import ComparedStudy, Comparison


def best_over_epochs(comparison: Comparison, studies: Sequence[str]) -> go.Figure | None:
    """The best score so far of some studies over the epochs that they had trained."""
    return _best_so_far(comparison, studies, "epochs", "epochs of all trials")


def best_over_hours(comparison: Comparison, studies: Sequence[str], *, gpus: bool) -> go.Figure | None:
    """The best score so far over GPU-hours, of studies that used GPUs, or over CPU-hours, of the others."""
    alike = [name for name in studies if comparison.studies[name].has_gpus is gpus]
    return _best_so_far(comparison, alike, "hours", "GPU-hours" if gpus else "CPU-hours")


def _best_so_far(comparison: Comparison, studies: Sequence[str], cost: str, title: str) -> go.Figure | None:
    drawn = [name for name in studies if comparison.studies[name].leaders]
    if not drawn:
        return None
    figure, places = go.Figure(), list(comparison.studies)
    for name in drawn:
        figure.add_scatter(**_steps(comparison.studies[name], name, places.index(name), cost))
    return figure.update_layout(
        showlegend=True,
        xaxis={"title": title, "rangemode": "tozero"},
        yaxis_title=style.axis_title(comparison.studies[drawn[0]], names.VALIDATION),
    )


def _steps(study: ComparedStudy, name: str, index: int, cost: str) -> dict[str, Any]:
    """A step at each trial that was the best when it ended; the last level lasts as long as the study."""
    leaders, metric, line = study.leaders, names.heading(study.config.metric), style.study_line(index)
    texts = [
        f"{style.for_plot(name)}, trial {one.trial}: {metric} {100 * one.score:.1f} %<br>"
        f"after {one.epochs:,.0f} epochs, {one.hours:,.2f} {study.unit}"
        for one in leaders
    ]
    end = study.cost.epochs if cost == "epochs" else study.hours
    return {
        "x": [*(round(getattr(one, cost), 4) for one in leaders), round(end, 4)],
        "y": style.in_percent([*(one.score for one in leaders), leaders[-1].score]),
        "mode": "lines+markers",
        "line": {**line, "shape": "hv"},
        "marker": {"color": line["color"], "size": [7] * len(leaders) + [0]},
        "name": style.for_plot(name),
        "text": [*texts, ""],
        "hovertemplate": "%{text}<extra></extra>",
    }
