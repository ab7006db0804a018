"""What the page's plots share: colours, markers, axis titles and the text under the pointer."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from sa_study.metrics import names
from sa_study.report.page.page_study import PageStudy
from sa_study.report.text import STATES, setting_text, short
from sa_study.study.trial_summary import TrialSummary

PALETTE = {
    "winner": ("#0b6e63", "#4fd1bd"),
    "baseline": ("#b45f06", "#f0a850"),
    "COMPLETE": ("#3f6ea8", "#86b3ec"),
    "PRUNED": ("#9aa2ad", "#717b88"),
    "FAIL": ("#b3261f", "#ff8a80"),
    "RUNNING": ("#7b4fa3", "#c9a2f0"),
    "WAITING": ("#c4c9d0", "#4c5561"),
    "line": ("#59626e", "#a3adba"),
    "ramp0": ("#c3d0de", "#2b4157"),
    "ramp1": ("#a1bdd5", "#35597c"),
    "ramp2": ("#78a4c6", "#3f7eae"),
    "ramp3": ("#467fab", "#5ea6d6"),
    "ramp4": ("#225a87", "#92c9ef"),
    "ramp5": ("#0c355a", "#d6edff"),
    "study0": ("#0a6cad", "#62bdf7"),
    "study1": ("#c4500e", "#ff9a57"),
    "study2": ("#16794a", "#4ade9a"),
    "study3": ("#a1378b", "#ef8fd8"),
    "study4": ("#776500", "#d8c84a"),
    "study5": ("#5a52cc", "#adaaff"),
}
"""By name, the colour on white and the one on a dark background; no colour stands twice."""

RAMP = [PALETTE[f"ramp{index}"][0] for index in range(6)]
"""From the worst to the best value."""


STUDY_COLOURS = [PALETTE[f"study{index}"] for index in range(6)]
"""Of studies side by side, on white and on a dark background."""


def colour(name: str) -> str:
    """A colour on white."""
    return PALETTE[name][0]


_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")

_SYMBOLS = {
    "winner": "star",
    "baseline": "square",
    "PRUNED": "circle-open",
    "FAIL": "x",
    "RUNNING": "diamond-open",
}
_SIZES = {"winner": 13, "baseline": 10}


def marker(group: str) -> dict[str, Any]:
    """Marker style of a group's points."""
    return {"color": colour(group), "symbol": _SYMBOLS.get(group, "circle"), "size": _SIZES.get(group, 7)}


def study_colours(index: int) -> tuple[str, str]:
    """The colours of one study of several, on white and on a dark background."""
    return STUDY_COLOURS[index % len(STUDY_COLOURS)]


def study_line(index: int) -> dict[str, Any]:
    """Style of the line of one study of several: told apart on a grey print, too."""
    return {"color": study_colours(index)[0], "width": 2.2, "dash": _DASHES[index % len(_DASHES)]}


def thin_line(dash: str, name: str = "line") -> dict[str, Any]:
    """Style of a line that marks a place."""
    return {"color": colour(name), "width": 1, "dash": dash}


def in_percent(values: Iterable[float | None]) -> list[float | None]:
    """Fractions in per cent, short enough for a page."""
    return [None if value is None else round(100 * value, 3) for value in values]


def axis_title(study: PageStudy, split: str = "") -> str:
    """The title of an axis of the study's metric."""
    return f"{names.heading(study.config.metric, split)}, %"


def for_plot(value: Any) -> str:
    """Text for a label or hover text of plotly, which reads some markup in it."""
    return html.escape(short(value), quote=False)


def hover_text(study: PageStudy, trial: TrialSummary) -> str:
    """What the pointer shows of a trial, over several lines; the study's own text is escaped."""
    name = f"<b>trial {trial.number}</b>" + (", winner" if trial is study.winner else "")
    name += ", baseline" if trial.baseline else ""
    lines = [f"{name}: {STATES.get(trial.state, trial.state)}"]
    if trial.score is not None:
        metric = names.heading(study.config.metric)
        lines.append(f"{metric} {100 * trial.score:.1f} % at epoch {trial.best_epoch}")
    if trial.record.failure:
        lines.append(for_plot(trial.record.failure[:90]))
    lines += [f"{for_plot(name)} = {for_plot(setting_text(value))}" for name, value in trial.params.items()]
    return "<br>".join(lines)


def by_group(study: PageStudy, trials: Iterable[TrialSummary]) -> dict[str, list[TrialSummary]]:
    """Trials by state, the winner and the baseline apart, in the order in which they are drawn."""
    groups: dict[str, list[TrialSummary]] = {
        name: [] for name in ("PRUNED", "FAIL", "WAITING", "RUNNING", "COMPLETE", "baseline", "winner")
    }
    for trial in trials:
        winner = trial is study.winner
        groups["winner" if winner else "baseline" if trial.baseline else trial.state].append(trial)
    return {name: members for name, members in groups.items() if members}


def scored(study: PageStudy) -> dict[str, list[TrialSummary]]:
    """The trials with a score, by group."""
    return by_group(study, [trial for trial in study.trials if trial.score is not None])


def trial_points(
    study: PageStudy, group: str, trials: Sequence[TrialSummary], x: Sequence[Any], **changes: Any
) -> dict[str, Any]:
    """Options of a scatter plot with a point at each trial's score, and the trial under the pointer."""
    return {
        "x": x,
        "y": in_percent(trial.score for trial in trials),
        "mode": "markers",
        "marker": marker(group),
        "name": STATES.get(group, group),
        "text": [hover_text(study, trial) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        **changes,
    }
