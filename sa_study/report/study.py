"""A study in the terminal: its trials, its winner beside the baseline, and what goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from sa_study import keys
from sa_study.report.console import clock, duration, make_table, number, percent
from sa_study.study.config import StudyConfig
from sa_study.study.cost import study_cost
from sa_study.study.records import BASELINE, TrialEvent, count_states, pareto_front, read_record, score

_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan", "WAITING": "dim"}


def suggested_text(suggested: Mapping[str, Any]) -> str:
    """Searched settings in one line."""
    return " ".join(f"{name}={number(value)}" for name, value in suggested.items())


class LiveStudy:
    """Shows a launch while it goes on: decoding and running trials as bars, a line for each trial that ends.

    A context manager; where the output is no terminal there are only the lines.
    """

    def __init__(self, console: Console, config: StudyConfig):
        one_line = Column(no_wrap=True, overflow="ellipsis")
        self._console = console
        self._metric = config.metric
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(20),
            TextColumn("{task.fields[figures]}", table_column=one_line),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> LiveStudy:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def decoded(self, done: int, total: int) -> None:
        """Shows how many images are decoded."""
        self._show("decode", done / total, f"{done:,} of {total:,} images")

    def announce(self, event: TrialEvent) -> None:
        """Shows what happened to a trial."""
        name, record = f"trial {event.number}", event.record
        if event.kind == "note":
            self.say(f"{name}: {event.note}")
            return
        if event.kind == "epoch":
            value = f"{self._metric} {percent(record.last[self._metric])} %"
            text = f"epoch {record.epoch}  {value}  {suggested_text(event.suggested)}"
            self._show(name, min(record.last[keys.PROGRESS] / 100, 0.999), text)
            return
        self._show(name, 1.0, "")
        self._console.print(_ended_line(event, self._metric), highlight=False)

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _show(self, name: str, share: float, figures: str) -> None:
        """Adds or moves a bar; a full one goes."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=1.0, figures="")
        self._bars.update(self._tasks[name], completed=share, figures=figures)
        if share >= 1:
            self._bars.remove_task(self._tasks.pop(name))


def _ended_line(event: TrialEvent, metric: str) -> str:
    record = event.record
    if event.kind == "paused":
        return f"trial {event.number:>3}  stopped at epoch {record.epoch}, to go on later"
    name = f"trial {event.number:>3}" + (" (baseline)" if event.number == BASELINE else "")
    state = f"[{_STYLES[event.kind]}]{event.kind:<8}[/]"
    if event.kind == "FAIL":
        return f"{name}  {state}  {escape(record.failure)}  {suggested_text(event.suggested)}"
    return (
        f"{name}  {state}  {metric} {percent(record.best[metric])} % at epoch {record.best[keys.EPOCH]:.0f} "
        f"of {record.epoch} run, {duration(record.seconds)}  {suggested_text(event.suggested)}"
    )


def trials_table(trials: Sequence[FrozenTrial], config: StudyConfig, limit: int | None = None) -> Table:
    """Trials by their best epoch's figures: the complete ones first, those without a score last."""

    def rank(trial: FrozenTrial) -> tuple[bool, float, int]:
        return trial.state != TrialState.COMPLETE, -(score(trial, config.metric) or -1.0), trial.number

    table = make_table("Trials: validation figures of each one's best epoch, per cent")
    for column in ("trial", "state", "mAP", "rank-1", "best", "epochs", "time"):
        table.add_column(column, justify="left" if column == "state" else "right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in sorted(trials, key=rank)[:limit]:
        record, state = read_record(trial), trial.state.name
        epochs = config.space.settings(trial.params).epochs
        table.add_row(
            str(trial.number),
            f"[{_STYLES[state]}]{state}[/]",
            percent(record.best.get(keys.MAP)),
            percent(record.best.get(keys.RANK1)),
            f"{record.best[keys.EPOCH]:.0f}" if record.best else "–",
            f"{record.epoch}/{epochs}",
            clock(record.seconds),
            ("baseline: " if trial.number == BASELINE else "") + suggested_text(trial.params),
        )
    return table


def front_table(trials: Sequence[FrozenTrial], config: StudyConfig) -> Table:
    """The Pareto front of a study with two objectives."""
    assert config.minimize is not None
    unit = keys.SECOND_OBJECTIVES[config.minimize]
    table = make_table(f"Pareto front: no other trial has a greater {config.metric} and fewer {unit}")
    for column in ("trial", f"{config.metric}, %", unit):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in pareto_front(list(trials)):
        figures = percent(trial.values[0]), number(trial.values[1])
        table.add_row(str(trial.number), *figures, suggested_text(trial.params))
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
    if winner.number == BASELINE:
        return f"The baseline won: validation {metric} {percent(best)} %. No completed trial beats it."
    text = f"Trial {winner.number} won: validation {metric} {percent(best)} %"
    other = score(baseline, metric) if baseline else None
    if baseline is None or other is None:
        return f"{text}; the baseline has no score."
    unfinished = "" if baseline.state == TrialState.COMPLETE else " (not complete)"
    return f"{text}, the baseline{unfinished} {percent(other)} %: {100 * (best - other):+.1f} points."
