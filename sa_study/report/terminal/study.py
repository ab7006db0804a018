"""A study in the terminal: tables of its trials and its front, and lines about its cost and scores."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from sa_study.metrics import names
from sa_study.report.terminal.console import make_table
from sa_study.report.terminal.study_panel import StudyPanel
from sa_study.report.terminal.study_snapshot import StudySnapshot
from sa_study.report.text import duration, interval, percent, setting_text, settings_text
from sa_study.report.verdict import judge
from sa_study.study.summary import StudySummary


def trials_table(study: StudySummary, limit: int | None = None) -> StudyPanel:
    """Trials by their best epoch's figures: those that can win first, those without a score last."""
    return StudyPanel(StudySnapshot.of(study, ""), limit, trials_only=True)


def front_table(study: StudySummary) -> Table:
    """The Pareto front of a study with two objectives."""
    config = study.config
    assert config.minimize is not None
    unit, metric = names.FIGURES[config.minimize].unit, names.heading(config.metric)
    table = make_table(f"Pareto front: no other trial has a greater {metric} and fewer {unit}")
    for column in ("trial", f"{metric}, %", unit):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in study.front:
        figures = percent(trial.values[0]), setting_text(trial.values[1])
        table.add_row(str(trial.number), *figures, Text(settings_text(trial.params)))
    return table


def summary_line(study: StudySummary) -> str:
    """Number of trials by state."""
    states = ", ".join(f"{count} {name}" for name, count in study.states.items())
    return f"{states} of {study.config.trials} trials"


def cost_line(study: StudySummary) -> str:
    """Line with the study's epochs, time and GPU-hours."""
    cost = study.cost
    parts = [f"{cost.epochs} epochs, {duration(cost.seconds)} of training"]
    if cost.gpu_seconds:
        parts.append(f"{cost.gpu_seconds / 3600:.2f} GPU-hours")
    if cost.training_share is not None:
        parts.append(f"{percent(cost.training_share)} % of the slots' time")
    return ", ".join(parts)


def judgement_line(study: StudySummary) -> str:
    """Whether the gain over the baseline can be trusted; empty while there is no winner."""
    return f"{judge(study).text}." if study.winner else ""


def interval_line(study: StudySummary) -> str:
    """The intervals of the winner's and the baseline's scores; empty where none was recorded."""
    baseline = None if study.winner is study.baseline else study.baseline
    said = ", ".join(
        f"{name} {interval(*trial.interval)}"
        for name, trial in (("winner", study.winner), ("baseline", baseline))
        if trial and trial.interval
    )
    return f"95 % over identities, one seed: {said}" if said else ""
