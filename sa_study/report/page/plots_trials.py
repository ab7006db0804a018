"""Plots of a study's trials: history, learning curves, Pareto front and timeline.

Each function returns a plotly figure without colours of background or text, which the page sets by its theme;
None where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.report.page.plot_style import STATES, axis_title, colour, hover_text, in_percent, marker, scored
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import rungs


def history(study: PageStudy) -> go.Figure | None:
    """Scores in the order of the trials, and the best complete one so far."""
    if not any(trial.score is not None for trial in study.trials):
        return None
    figure = go.Figure()
    best: list[float] = []
    for trial in study.trials:
        before = best[-1] if best else 0.0
        best.append(max(before, trial.score or 0.0) if trial.complete else before)
    known = [(trial.number, value) for trial, value in zip(study.trials, best, strict=True) if value]
    figure.add_scatter(
        x=[number for number, _ in known],
        y=in_percent(value for _, value in known),
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": colour("line")},
        name="best so far",
        hoverinfo="skip",
    )
    for group, trials in scored(study).items():
        figure.add_scatter(
            x=[trial.number for trial in trials],
            y=in_percent(trial.score for trial in trials),
            mode="markers",
            marker=marker(group),
            name=STATES.get(group, group),
            text=[hover_text(study, trial) for trial in trials],
            hovertemplate="%{text}<extra></extra>",
        )
    lost = [trial for trial in study.trials if trial.state == "FAIL" and trial.score is None]
    if lost:
        figure.add_scatter(
            x=[trial.number for trial in lost],
            y=[0.0] * len(lost),
            mode="markers",
            marker=marker("FAIL"),
            name="failed before an epoch",
            text=[hover_text(study, trial) for trial in lost],
            hovertemplate="%{text}<extra></extra>",
        )
    _baseline_line(figure, study)
    figure.update_layout(xaxis_title="trial", yaxis_title=axis_title(study, names.VALIDATION))
    return figure


def _baseline_line(figure: go.Figure, study: PageStudy) -> None:
    baseline = study.baseline
    if baseline is not None and baseline.score is not None:
        figure.add_hline(
            y=100 * baseline.score, line={"color": colour("baseline"), "width": 1, "dash": "dash"}
        )


def curves(study: PageStudy) -> go.Figure | None:
    """Learning curves over the share of each trial's own schedule, the rungs, and where trials stopped."""
    drawn = [trial for trial in study.trials if trial.finite_curve]
    if not drawn:
        return None
    figure = go.Figure()
    rest = [trial for trial in drawn if not trial.baseline and trial is not study.winner]
    groups = {state: [trial for trial in rest if trial.state == state] for state in STATES}
    groups["baseline"] = [t for t in drawn if t.baseline and t is not study.winner]
    groups["winner"] = [t for t in drawn if t is study.winner]
    for group, trials in groups.items():
        if trials:
            figure.add_scatter(**_curves_of(group, trials, names.heading(study.config.metric)))
    stopped = [trial for trial in drawn if trial.state == "PRUNED"]
    if stopped:
        figure.add_scatter(
            x=[trial.finite_curve[-1][0] for trial in stopped],
            y=in_percent(trial.finite_curve[-1][1] for trial in stopped),
            mode="markers",
            marker={"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": colour("PRUNED")}},
            name="stopped here",
            text=[hover_text(study, trial) for trial in stopped],
            hovertemplate="%{text}<extra></extra>",
        )
    for share in rungs(study.config.space.scheduler):
        figure.add_vline(
            x=share,
            line={"color": colour("line"), "width": 1, "dash": "dot"},
            annotation={
                "text": f"rung {share:.3g} %",
                "xanchor": "left",
                "yanchor": "bottom",
                "yref": "paper",
                "y": 0,
            },
        )
    figure.update_layout(
        xaxis={"title": "share of the trial's own schedule, %", "range": [0, 102]},
        yaxis_title=axis_title(study, names.VALIDATION),
    )
    return figure


def _curves_of(group: str, trials: Sequence[TrialSummary], metric: str) -> dict[str, Any]:
    """All curves of a group as one line with gaps: hundreds of lines of their own would be slow."""
    x: list[float | None] = []
    y: list[float | None] = []
    about: list[list[int | None]] = []
    for trial in trials:
        x += [*(share for share, _ in trial.finite_curve), None]
        y += [*in_percent(value for _, value in trial.finite_curve), None]
        epochs = trial.epochs or 0
        about += [[trial.number, round(share * epochs / 100)] for share, _ in trial.finite_curve]
        about.append([None, None])
    special = group in ("winner", "baseline")
    return {
        "x": x,
        "y": y,
        "customdata": about,
        "mode": "lines+markers" if special or len(trials) < 60 else "lines",
        "marker": {"size": 5 if special else 3},
        "line": {
            "color": colour(group),
            "width": 3 if special else 1.2,
            "dash": "dash" if group == "baseline" else "solid",
        },
        "opacity": 1 if special else 0.75 if len(trials) < 60 else 0.5,
        "name": STATES.get(group, group),
        "hovertemplate": f"trial %{{customdata[0]}}, epoch %{{customdata[1]}}: {metric} %{{y:.1f}} %"
        "<extra></extra>",
    }


def front(study: PageStudy) -> go.Figure | None:
    """Both objectives of a study that has two."""
    known = [trial for trial in study.trials if trial.complete and trial.second is not None]
    if not study.config.minimize or not known:
        return None
    figure = go.Figure()
    line = sorted((t for t in known if t in study.front), key=lambda trial: trial.second or 0)
    figure.add_scatter(
        x=[trial.second for trial in line],
        y=in_percent(trial.score for trial in line),
        mode="lines",
        line={"shape": "hv", "color": colour("winner"), "width": 1.5},
        name="Pareto front",
        hoverinfo="skip",
    )
    parts = {
        "COMPLETE": [trial for trial in known if trial not in study.front and not trial.baseline],
        "winner": line,
        "baseline": [trial for trial in known if trial.baseline and trial not in study.front],
    }
    for group, trials in parts.items():
        if trials:
            figure.add_scatter(
                x=[trial.second for trial in trials],
                y=in_percent(trial.score for trial in trials),
                mode="markers",
                marker={**marker(group), "symbol": "circle", "size": 9},
                name={"COMPLETE": "beaten by another", "winner": "on the front"}.get(group, group),
                text=[hover_text(study, trial) for trial in trials],
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(
        xaxis_title=names.FIGURES[study.config.minimize].unit,
        yaxis_title=axis_title(study, names.VALIDATION),
    )
    return figure


def timeline(study: PageStudy) -> go.Figure | None:
    """A bar for each trial in the row of the slot that ran it, over time."""
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
        "width": 0.75,
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
