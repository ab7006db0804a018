"""Plots of trials: history, learning curves, Pareto front and timeline; of several studies the best so far.

Each function returns a plotly figure without colours of background or text, which the page sets by its theme;
None where there is nothing to draw.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from sa_study.metrics import names
from sa_study.report.page import plot_style as style
from sa_study.report.page.comparison import ComparedStudy, Comparison
from sa_study.report.page.page_study import PageStudy
from sa_study.report.text import STATES
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import rungs


def history(study: PageStudy) -> go.Figure | None:
    """Scores in the order of the trials, and the best complete one so far."""
    if not any(trial.score is not None for trial in study.trials):
        return None
    figure = go.Figure()
    scores = [trial.score or 0.0 if trial.complete else 0.0 for trial in study.trials]
    best = list(itertools.accumulate(scores, max))
    figure.add_scatter(
        x=[trial.number for trial, value in zip(study.trials, best, strict=True) if value],
        y=style.in_percent(filter(None, best)),
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": style.colour("line")},
        name="best so far",
        hoverinfo="skip",
    )
    for group, trials in style.scored(study).items():
        figure.add_scatter(**style.trial_points(study, group, trials, [trial.number for trial in trials]))
    if lost := [trial for trial in study.trials if trial.state == "FAIL" and trial.score is None]:
        at_zero = {"y": [0.0] * len(lost), "name": "failed before an epoch"}
        numbers = [trial.number for trial in lost]
        figure.add_scatter(**style.trial_points(study, "FAIL", lost, numbers, **at_zero))
    if study.baseline is not None and study.baseline.score is not None:
        figure.add_hline(y=100 * study.baseline.score, line=style.thin_line("dash", "baseline"))
    figure.update_layout(xaxis_title="trial", yaxis_title=style.axis_title(study, names.VALIDATION))
    return figure


def curves(study: PageStudy) -> go.Figure | None:
    """Learning curves over the share of each trial's own schedule, the rungs, and where trials stopped."""
    drawn = [trial for trial in study.trials if trial.finite_curve]
    if not drawn:
        return None
    figure = go.Figure()
    for group, trials in style.by_group(study, drawn).items():
        figure.add_scatter(**_curves_of(group, trials, names.heading(study.config.metric)))
    if stopped := [trial for trial in drawn if trial.state == "PRUNED"]:
        ends = [trial.finite_curve[-1] for trial in stopped]
        cross = {"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": style.colour("PRUNED")}}
        changes = {"y": style.in_percent(value for _, value in ends), "marker": cross, "name": "stopped here"}
        figure.add_scatter(**style.trial_points(study, "PRUNED", stopped, [x for x, _ in ends], **changes))
    for share in rungs(study.config.space.scheduler):
        place = {"xanchor": "left", "yanchor": "bottom", "yref": "paper", "y": 0}
        label = {"text": f"rung {share:.3g} %", **place}
        figure.add_vline(x=share, line=style.thin_line("dot"), annotation=label)
    figure.update_layout(
        xaxis={"title": "share of the trial's own schedule, %", "range": [0, 102]},
        yaxis_title=style.axis_title(study, names.VALIDATION),
    )
    return figure


def _curves_of(group: str, trials: Sequence[TrialSummary], metric: str) -> dict[str, Any]:
    """All curves of a group as one line with gaps: hundreds of lines of their own would be slow."""
    points: list[tuple[float | None, float | None, list[int | None]]] = []
    for trial in trials:
        points += [
            (share, value, [trial.number, round(share * trial.epochs / 100)])
            for share, value in trial.finite_curve
        ]
        points.append((None, None, [None, None]))
    special, few = group in ("winner", "baseline"), len(trials) < 60
    return {
        "x": [x for x, _, _ in points],
        "y": style.in_percent(y for _, y, _ in points),
        "customdata": [about for _, _, about in points],
        "mode": "lines+markers" if special or few else "lines",
        "marker": {"size": 5 if special else 3},
        "line": {
            "color": style.colour(group),
            "width": 3 if special else 1.2,
            "dash": "dash" if group == "baseline" else "solid",
        },
        "opacity": 1 if special else 0.75 if few else 0.5,
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
        y=style.in_percent(trial.score for trial in line),
        mode="lines",
        line={"shape": "hv", "color": style.colour("winner"), "width": 1.5},
        name="Pareto front",
        hoverinfo="skip",
    )
    others = [trial for trial in known if trial not in study.front]
    for group, name, trials in (
        ("COMPLETE", "beaten by another", [trial for trial in others if not trial.baseline]),
        ("winner", "on the front", line),
        ("baseline", "baseline", [trial for trial in others if trial.baseline]),
    ):
        if trials:
            changes = {"marker": {"color": style.colour(group), "size": 9}, "name": name}
            x = [trial.second for trial in trials]
            figure.add_scatter(**style.trial_points(study, group, trials, x, **changes))
    figure.update_layout(
        xaxis_title=names.FIGURES[study.config.minimize].unit,
        yaxis_title=style.axis_title(study, names.VALIDATION),
    )
    return figure


def timeline(study: PageStudy) -> go.Figure | None:
    """A bar for each trial in the row of the slot that ran it, over time."""
    slots = slots_of_trials(study)
    if not slots:
        return None
    figure = go.Figure()
    for state in STATES:
        trials = [trial for trial in study.trials if trial.state == state and trial.number in slots]
        if trials:
            figure.add_bar(**_bars(study, state, trials, slots))
    for launch in launch_times(study):
        figure.add_vline(x=_local(launch), line=style.thin_line("dot"))
    count = max(slots.values()) + 1
    figure.update_layout(
        barmode="overlay",
        bargap=0.25,
        height=150 + 34 * min(count, 24),
        xaxis={"type": "date", "title": f"time ({datetime.now().astimezone():UTC%z})"},
        yaxis={"title": "slot", "autorange": "reversed", "tickmode": "linear", "dtick": max(1, count // 12)},
    )
    return figure


def _bars(study: PageStudy, state: str, trials: list[TrialSummary], slots: dict[int, int]) -> dict[str, Any]:
    spans = [study.span(trial) for trial in trials]
    return {
        "orientation": "h",
        "width": 0.75,
        "base": [_local(began) for began, _ in spans],
        "x": [round(1000 * max(ended - began, 0.05)) for began, ended in spans],
        "y": [slots[trial.number] + 1 for trial in trials],
        "marker": {"color": style.colour(state), "line": {"width": 0}},
        "name": STATES[state],
        "text": [str(trial.number) for trial in trials],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "hovertext": [style.hover_text(study, trial) for trial in trials],
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


def slots_of_trials(study: PageStudy) -> dict[int, int]:
    """The timeline's row of each trial that began: none overlap in a row, and rows are as few as possible."""
    free: list[float] = []
    slots = {}
    spans = [(study.span(trial), trial.number) for trial in study.trials if trial.start]
    for (began, ended), number in sorted(spans, key=lambda item: (item[0][0], item[1])):
        slot = next((index for index, until in enumerate(free) if until <= began), len(free))
        free[slot : slot + 1] = [max(ended, began)]
        slots[number] = slot
    return slots


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(timespec="milliseconds")


def best_so_far(comparison: Comparison, studies: Sequence[str], cost: str) -> go.Figure | None:
    """The best score so far of some studies over what all trials had cost.

    Args:
        comparison: The studies.
        studies: Names of some.
        cost: `epochs`, or the unit of hours; studies that count theirs in another unit are left out.
    """
    figure, places = go.Figure(), list(comparison.studies)
    for name in studies:
        study = comparison.studies[name]
        if study.leaders and cost in ("epochs", study.unit):
            figure.add_scatter(**_steps(study, name, places.index(name), cost))
    if not figure.data:
        return None
    return figure.update_layout(
        showlegend=True,
        xaxis={"title": "epochs of all trials" if cost == "epochs" else cost, "rangemode": "tozero"},
        yaxis_title=style.axis_title(comparison.studies[studies[0]], names.VALIDATION),
    )


def _steps(study: ComparedStudy, name: str, index: int, cost: str) -> dict[str, Any]:
    """A step at each trial that was the best when it ended; the last level lasts as long as the study."""
    leaders, metric, line = study.leaders, names.heading(study.config.metric), style.study_line(index)
    texts = [
        f"{style.for_plot(name)}, trial {one.trial}: {metric} {100 * one.score:.1f} %<br>"
        f"after {one.epochs:,.0f} epochs, {one.hours:,.2f} {study.unit}"
        for one in leaders
    ]
    spent = [one.epochs if cost == "epochs" else one.hours for one in leaders]
    end = study.cost.epochs if cost == "epochs" else study.hours
    return {
        "x": [round(value, 4) for value in (*spent, end)],
        "y": style.in_percent([*(one.score for one in leaders), leaders[-1].score]),
        "mode": "lines+markers",
        "line": {**line, "shape": "hv"},
        "marker": {"color": line["color"], "size": [7] * len(leaders) + [0]},
        "name": style.for_plot(name),
        "text": [*texts, ""],
        "hovertemplate": "%{text}<extra></extra>",
    }
