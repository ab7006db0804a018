"""Plots of effects: how much each setting matters, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from sa_study.report.page.importance import MIN_FIT, Importance
from sa_study.report.page.page_study import Difference
from sa_study.report.page.plot_style import colour, for_plot, thin_line

Array = NDArray[np.float64]

_ROW_HEIGHT = 34
_MARGIN = 110


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


def forest_plot(differences: Sequence[Difference], title: str) -> go.Figure | None:
    """Each difference as a point with its interval, beside the line of no difference."""
    if not differences:
        return None
    figure = go.Figure()
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
