"""Forest plots: differences with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from sa_study.report.page.palette import colour
from sa_study.report.page.text import for_plot
from sa_study.report.page.trust import Bar, Part

_ROW = 34
_MARGIN = 110


def forest(part: Part | None, title: str) -> go.Figure | None:
    """Each difference as a point with its interval, beside the line of no difference."""
    bars: Sequence[Bar] = part.bars if part else ()
    if not bars:
        return None
    figure = go.Figure()
    for group, name in (("winner", "above 0"), ("FAIL", "below 0"), ("PRUNED", "not told from 0")):
        mine = [bar for bar in bars if _group(bar) == group]
        if mine:
            figure.add_scatter(
                x=[round(bar.mean, 3) for bar in mine],
                y=[for_plot(bar.label) for bar in mine],
                error_x={
                    "type": "data",
                    "array": [round(bar.high - bar.mean, 3) for bar in mine],
                    "arrayminus": [round(bar.mean - bar.low, 3) for bar in mine],
                    "thickness": 2,
                    "color": colour(group),
                },
                mode="markers",
                marker={"color": colour(group), "size": 10},
                name=name,
                hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
            )
    # Without room around its zero the line stands under the axis, where it is not seen.
    low, high = min(0.0, *(bar.low for bar in bars)), max(0.0, *(bar.high for bar in bars))
    room = 0.06 * (high - low) or 1.0
    figure.add_vline(x=0, line={"color": colour("line"), "dash": "dash", "width": 1})
    figure.update_layout(
        height=_MARGIN + _ROW * len(bars),
        xaxis={"title": {"text": title}, "zeroline": False, "range": [low - room, high + room]},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [for_plot(bar.label) for bar in reversed(bars)],
            "automargin": True,
        },
        legend={"orientation": "h", "y": 1.15},
        margin={"l": 10, "r": 10, "t": 40, "b": 50},
    )
    return figure


def _group(bar: Bar) -> str:
    return "winner" if bar.low > 0 else "FAIL" if bar.high < 0 else "PRUNED"
