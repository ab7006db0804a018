"""A study in the terminal: its front, and lines about its trials, cost, scores and remaining time."""

from __future__ import annotations

from sa_study.metrics import names
from sa_study.metrics.protocol import PROTOCOL, protocol_notes
from sa_study.report.terminal.text_table import TextTable
from sa_study.report.text import duration, interval, percent, setting_text, settings_text
from sa_study.report.verdict import judge
from sa_study.settings.space import Scheduler
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import PAUSED
from sa_study.tuning.stopping.schedulers import rungs, scheduler_spec


def front_table(study: StudySummary) -> TextTable:
    """The Pareto front of a study with two objectives."""
    config = study.config
    assert config.minimize is not None
    unit, metric = names.FIGURES[config.minimize].unit, names.heading(config.metric)
    rows = [
        (
            str(trial.number),
            percent(trial.values[0]),
            setting_text(trial.values[1]),
            settings_text(trial.params),
        )
        for trial in study.front
    ]
    title = f"Pareto front: no other trial has a greater {metric} and fewer {unit}"
    notes = protocol_notes({PROTOCOL: study.protocol})
    return TextTable(title, ("trial", f"{metric}, %", unit, "settings"), rows, notes, words=(3,))


def summary_line(study: StudySummary) -> str:
    """Number of trials by state."""
    states = ", ".join(f"{count} {name}" for name, count in study.states.items())
    return f"{states} of {study.config.trials} trials"


def cost_line(study: StudySummary) -> str:
    """Line with the study's epochs, time and GPU-hours."""
    return ", ".join(cost_parts(study))


def cost_parts(study: StudySummary) -> list[str]:
    """What a study has cost: epochs, time, GPU-hours, and how much of the slots' time was used."""
    cost = study.cost
    parts = [f"{cost.epochs} epochs", f"{duration(cost.seconds)} of training"]
    if cost.gpu_seconds:
        parts.append(f"{cost.gpu_seconds / 3600:.2f} GPU-hours")
    if cost.training_share is not None:
        parts.append(f"{percent(cost.training_share)} % of the slots' time")
    return parts


def stopping_text(scheduler: Scheduler, title: str) -> str:
    """A stopping rule, headed by its name or title, with the first rung and how many trials pass it."""
    text = title
    if shares := rungs(scheduler):
        text += f", first compares trials at {shares[0]:g} % of the schedule"
    if scheduler_spec(scheduler).rule == "halving":
        factor = f"{scheduler.reduction_factor:g}"
        text += f", reduction factor {factor}: one trial in {factor} goes on"
    return text


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


def remaining_seconds(study: StudySummary, slots: int | None, elapsed: float) -> float | None:
    """Estimates the seconds that a launch will still take; None before the first epoch.

    Future trials are taken to cost as much as ended trials, stopped ones included. Budgets count.

    Args:
        study: The study as it stands.
        slots: How many trials may run at a time; None where that is not known.
        elapsed: Seconds since the launch began.
    """
    cost, config = study.cost, study.config
    if not slots or not cost.epochs:
        return None
    an_epoch = cost.seconds / cost.epochs
    guesses = [_seconds_of_training(study, an_epoch) / slots]
    if config.time_budget is not None:
        guesses.append(config.time_budget - elapsed)
    if config.epoch_budget is not None:
        guesses.append((config.epoch_budget - cost.epochs) * an_epoch / slots)
    if config.gpu_hours is not None and config.gpus_per_trial:
        guesses.append((3600 * config.gpu_hours - cost.gpu_seconds) / config.gpus_per_trial / slots)
    return max(0.0, min(guesses))


def _seconds_of_training(study: StudySummary, an_epoch: float) -> float:
    """Seconds of training that are left, budgets aside."""
    known = [trial.record.cost for trial in study.trials if trial.ended and trial.record.epoch]
    begun = [trial for trial in study.trials if trial.state in ("RUNNING", PAUSED)]
    whole = [trial.epochs * an_epoch for trial in begun]
    a_trial = sum(known or whole) / len(known or whole) if known or whole else 0.0
    left = max(0, study.config.goal - study.ended - len(begun)) * a_trial
    for trial, end in zip(begun, whole, strict=True):
        done = trial.record.epoch * an_epoch
        left += min(end, a_trial) - done if done < min(end, a_trial) else max(0.0, end - done)
    return left
