"""All trials of a study as rows of a table, and every epoch's figures as rows of another."""

from __future__ import annotations

from typing import Any

from sa_study.export.tabular import Column
from sa_study.metrics import names
from sa_study.settings.parameter import Parameter
from sa_study.study.config import StudyConfig
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import TrialSummary

_BEFORE = (
    Column("trial", "integer", "number of the trial, from 0"),
    Column("state", "text", "COMPLETE, PRUNED (stopped early), FAIL, RUNNING or WAITING"),
    Column("is_baseline", "boolean", "whether it runs the space's baseline"),
    Column("is_best", "boolean", "whether it is the study's winner"),
    Column("on_front", "boolean", "whether it is on the Pareto front; empty with one objective"),
)
_FIGURES = (
    Column("epochs", "integer", "length of its schedule, in epochs"),
    Column("epochs_completed", "integer", "epochs that it came to"),
    Column("best_epoch", "integer", "the epoch whose validation figures and checkpoint count"),
    *(Column(name, "number", f"validation {name} of the best epoch, 0 to 1") for name in names.RANKING),
    *(
        Column(name, "number", f"{end} end of the 95 % interval of that {figure}, over the identities")
        for figure, ends in names.INTERVALS.items()
        for name, end in zip(ends, ("lower", "upper"), strict=True)
    ),
)
_COST = (
    Column("epochs_run", "integer", "epochs paid for, those that a fault made run again included"),
    Column("seconds", "number", "seconds of training and validation in them"),
    Column("gpu_seconds", "number", "the same times the trial's GPUs, a shared one by its share"),
    Column("cost_seconds", "number", "seconds of its epochs, each once (the objective 'cost')"),
    Column("latency_ms", "number", "least milliseconds an image in validation (the objective 'latency')"),
    Column("accumulate", "integer", "parts in which a batch's gradient was computed"),
)
_END = (
    Column("stopped_early", "boolean", "whether the stopping rule ended it"),
    Column("failure", "text", "why it failed"),
    Column("notes", "text", "what happened to it on its way"),
    Column("started", "time", "when it was suggested, by the clock of the machine that drove the study"),
    Column("ended", "time", "when it ended, by the same clock"),
)

EPOCH_COLUMNS = (
    Column("trial", "integer", "number of the trial"),
    Column("epoch", "integer", "number of the epoch, from 1"),
    Column("epochs", "integer", "length of the trial's schedule, in epochs"),
    Column("progress", "number", "share of the schedule that was over, in per cent"),
    Column("figure", "text", "mAP, rank1, rank5, rank10, loss, loss/BRANCH, train_accuracy, lr, seconds, …"),
    Column("value", "number", "its value; rates are 0 to 1"),
)

Epochs = dict[int, dict[int, dict[str, float]]]
"""Figures by trial and epoch."""


def trial_columns(config: StudyConfig) -> list[Column]:
    """The columns of the table of trials: the same for every study but for the searched settings."""
    searched = [
        Column(f"param_{name}", _kind(parameter), f"searched setting {name}: {parameter.describe()}")
        for name, parameter in config.space.search.items()
    ]
    return [*_BEFORE, *searched, *_FIGURES, *_COST, *_END]


def trial_rows(study: StudySummary) -> list[list[Any]]:
    """A row a trial, in the order of `trial_columns`; where a trial has no value there is None."""
    rows = []
    for trial in study.trials:
        record = trial.record
        begun = bool(record.epochs_run)
        values = [
            trial.number,
            trial.state,
            trial.baseline,
            trial is study.winner,
            trial in study.front if study.config.minimize else None,
            *(_of_kind(_kind(p), trial.params.get(name)) for name, p in study.config.space.search.items()),
            trial.epochs,
            record.epoch,
            trial.best_epoch,
            *(record.best.get(name) for name in names.RANKING),
            *(record.best.get(name) for ends in names.INTERVALS.values() for name in ends),
            record.epochs_run,
            record.seconds,
            record.gpu_seconds,
            record.cost if begun else None,
            record.latency if begun else None,
            study.settings(trial).accumulate,
            record.stopped,
            record.failure or None,
            "; ".join(record.notes) or None,
            trial.start,
            trial.end,
        ]
        rows.append(values)
    return rows


def epoch_rows(study: StudySummary, epochs: Epochs) -> list[list[Any]]:
    """A row for each figure of each epoch that counts, in the order of `EPOCH_COLUMNS`."""
    rows: list[list[Any]] = []
    for trial in study.trials:
        found = epochs.get(trial.number, {})
        for epoch in range(1, trial.record.epoch + 1):
            progress = 100 * epoch / trial.epochs
            figures = found.get(epoch) or _known(trial, epoch)
            head = [trial.number, epoch, trial.epochs, progress]
            rows += [[*head, name, value] for name, value in figures.items()]
    return rows


def _known(trial: TrialSummary, epoch: int) -> dict[str, float]:
    """What the database alone knows of an epoch: the score of each, all figures of the best and the last."""
    for figures in (trial.record.best, trial.record.last):
        if figures.get(names.EPOCH) == epoch:
            return {name: value for name, value in figures.items() if is_figure(name)}
    score = trial.score_after(epoch)
    return {} if score is None else {trial.metric: score}


def is_figure(name: str) -> bool:
    """Whether an epoch reports something under this name that is a figure of it."""
    return name in _EPOCH_FIGURES or name.startswith(f"{names.LOSS}/")


_EPOCH_FIGURES = {
    *names.RANKING,
    names.LOSS,
    names.TRAIN_ACCURACY,
    names.LR,
    names.IMAGES_PER_SECOND,
    names.SECONDS,
    names.LATENCY,
}


def _kind(parameter: Parameter) -> str:
    """The kind of column that holds all values of a setting."""
    if parameter.kind != "categorical":
        return "integer" if parameter.kind == "int" else "number"
    kinds = {type(choice) for choice in parameter.choices}
    for kind, types in (("boolean", {bool}), ("integer", {int}), ("number", {int, float})):
        if kinds <= types:
            return kind
    return "text"


def _of_kind(kind: str, value: Any) -> Any:
    if value is None:
        return None
    return {"integer": int, "number": float, "boolean": bool, "text": str}[kind](value)
