"""A study in the terminal: its trials, its winner beside the baseline, and what goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from sa_study.metrics import names
from sa_study.report.page.view import make_view
from sa_study.report.terminal.console import duration, interval, make_table, percent
from sa_study.report.terminal.live_snapshot import Snapshot, rows_of
from sa_study.report.terminal.live_view import StudyView
from sa_study.report.terminal.text import number, suggested_text
from sa_study.report.verdict import judge
from sa_study.study.config import StudyConfig
from sa_study.study.cost import study_cost
from sa_study.study.folder import StudyFolder
from sa_study.study.records import (
    BASELINE,
    count_states,
    pareto_front,
    read_record,
    same_validation,
    score,
)


def trials_table(trials: Sequence[FrozenTrial], config: StudyConfig, limit: int | None = None) -> StudyView:
    """Trials by their best epoch's figures: those that can win first, those without a score last."""
    rows = rows_of(trials, config, driven=False)
    return StudyView(Snapshot("", config, rows), limit, trials_only=True)


def front_table(trials: Sequence[FrozenTrial], config: StudyConfig) -> Table:
    """The Pareto front of a study with two objectives."""
    assert config.minimize is not None
    unit, metric = names.FIGURES[config.minimize].unit, names.heading(config.metric)
    table = make_table(f"Pareto front: no other trial has a greater {metric} and fewer {unit}")
    for column in ("trial", f"{metric}, %", unit):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in pareto_front(list(trials)):
        figures = percent(trial.values[0]), number(trial.values[1])
        table.add_row(str(trial.number), *figures, Text(suggested_text(trial.params)))
    return table


def summary_line(trials: Sequence[FrozenTrial], config: StudyConfig) -> str:
    """Number of trials by state."""
    states = ", ".join(f"{count} {name}" for name, count in count_states(list(trials)).items())
    return f"{states} of {config.trials} trials"


def cost_line(trials: Sequence[FrozenTrial], about: Mapping[str, Any]) -> str:
    """What the study took.

    Args:
        trials: Its trials.
        about: What is kept with the study, its launches among it.
    """
    cost = study_cost(list(trials), about)
    parts = [f"{cost.epochs} epochs, {duration(cost.seconds)} of training"]
    if cost.gpu_seconds:
        parts.append(f"{cost.gpu_seconds / 3600:.2f} GPU-hours")
    if cost.training_share is not None:
        parts.append(f"{percent(cost.training_share)} % of the slots' time")
    return ", ".join(parts)


def verdict(trials: Sequence[FrozenTrial], winner: FrozenTrial | None, config: StudyConfig) -> str:
    """The winner beside the baseline, in words."""
    if winner is None:
        return "No trial is complete yet."
    metric, baseline = config.metric, next((t for t in trials if t.number == BASELINE), None)
    best = score(winner, metric) or 0.0
    scored = f"{names.heading(metric, names.VALIDATION)} {percent(best)} %"
    if winner.number == BASELINE:
        return f"The baseline won: {scored}. No completed trial beats it."
    text = f"Trial {winner.number} won: {scored}"
    other = score(baseline, metric) if baseline else None
    if baseline is None or other is None:
        return f"{text}; the baseline has no score."
    if not same_validation(config.space, winner.params, baseline.params):
        return f"{text}; the baseline was scored on other identities."
    unfinished = "" if baseline.state == TrialState.COMPLETE else " (not complete)"
    return f"{text}, the baseline{unfinished} {percent(other)} %: {100 * (best - other):+.1f} points."


def judgement_line(
    folder: StudyFolder, config: StudyConfig, trials: Sequence[FrozenTrial], about: Mapping[str, Any]
) -> str:
    """Whether the gain over the baseline can be trusted; empty while there is no winner."""
    study = make_view(folder, config, trials, about)
    return f"{judge(study).text}." if study.best else ""


def interval_line(trials: Sequence[FrozenTrial], winner: FrozenTrial | None, config: StudyConfig) -> str:
    """The intervals of the winner's and the baseline's scores; empty where none was recorded."""
    baseline = next((trial for trial in trials if trial.number == BASELINE), None)
    named = {"winner": winner, "baseline": None if winner is baseline else baseline}
    found = {}
    for name, trial in named.items():
        best = read_record(trial).best if trial else {}
        low, high = (best.get(end) for end in names.INTERVALS[config.metric])
        if low is not None and high is not None:
            found[name] = interval(low, high)
    said = ", ".join(f"{name} {ends}" for name, ends in found.items())
    return f"95 % over identities, one seed: {said}" if said else ""
