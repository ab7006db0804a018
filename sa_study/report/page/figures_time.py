"""The page's timeline of slots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from sa_study.report.page.figures import hover_text
from sa_study.report.page.palette import STATES, colour
from sa_study.report.page.view import PageStudy
from sa_study.study.trial_summary import TrialSummary


def timeline(study: PageStudy) -> go.Figure | None:
    """Which slot ran which trial when."""
    lanes = lay_out(study)
    if not lanes:
        return None
    figure = go.Figure()
    for state in STATES:
        trials = [trial for trial in study.trials if trial.state == state and trial.number in lanes]
        if trials:
            figure.add_bar(**_bars(study, state, trials, lanes))
    for launch in launch_times(study):
        figure.add_vline(x=_local(launch), line={"color": colour("line"), "width": 1, "dash": "dot"})
    count = max(lanes.values()) + 1
    figure.update_layout(
        barmode="overlay",
        bargap=0.25,
        height=150 + 34 * min(count, 24),
        xaxis={"type": "date", "title": f"time ({datetime.now().astimezone():UTC%z})"},
        yaxis={
            "title": "slot",
            "autorange": "reversed",
            "tickmode": "linear",
            "dtick": max(1, count // 12),
        },
    )
    return figure


def _bars(study: PageStudy, state: str, trials: list[TrialSummary], lanes: dict[int, int]) -> dict[str, Any]:
    ends = [_end(study, trial) for trial in trials]
    spans = [max(end - _begin(trial), 0.05) for trial, end in zip(trials, ends, strict=True)]
    return {
        "orientation": "h",
        "base": [_local(_begin(trial)) for trial in trials],
        "x": [round(1000 * span) for span in spans],
        "y": [lanes[trial.number] + 1 for trial in trials],
        "marker": {"color": colour(state), "line": {"width": 0}},
        "name": STATES[state],
        "text": [str(trial.number) for trial in trials],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "hovertext": [hover_text(study, trial) for trial in trials],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def launch_times(study: PageStudy) -> list[float]:
    """When the study was launched and resumed, in seconds since 1970."""
    times = []
    for launch in study.launches:
        try:
            times.append(datetime.fromisoformat(str(launch.get("time"))).timestamp())
        except (ValueError, OverflowError):
            continue
    return times


def lay_out(study: PageStudy) -> dict[int, int]:
    """A lane for each trial that began, so that no two in a lane overlap; the fewest lanes."""
    begun = sorted(
        (trial for trial in study.trials if trial.start),
        key=lambda trial: (_begin(trial), trial.number),
    )
    free: list[float] = []
    lanes = {}
    for trial in begun:
        began, end = _begin(trial), _end(study, trial)
        lane = next((index for index, until in enumerate(free) if until <= began), len(free))
        if lane == len(free):
            free.append(end)
        free[lane] = max(end, began)
        lanes[trial.number] = lane
    return lanes


def _end(study: PageStudy, trial: TrialSummary) -> float:
    """When a trial ended; of one that has not, now while a driver runs, else what it trained."""
    if trial.end:
        return trial.end.timestamp()
    return study.read_at if study.driver else _begin(trial) + trial.record.seconds


def _begin(trial: TrialSummary) -> float:
    """When a trial began, in seconds since 1970."""
    return trial.start.timestamp() if trial.start else 0.0


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(timespec="milliseconds")
