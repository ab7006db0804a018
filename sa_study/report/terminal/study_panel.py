"""A study as a panel in the terminal, for any width and height."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sa_study.metrics import names
from sa_study.metrics.protocol import protocol_note
from sa_study.provenance import last_slots
from sa_study.report.terminal.console import safe
from sa_study.report.terminal.study import cost_parts, remaining_seconds
from sa_study.report.terminal.text_table import FittedColumn, fit_table
from sa_study.report.text import clock, percent, setting_text, settings_text, sparkline
from sa_study.settings.space import Scheduler
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import PAUSED, TrialSummary
from sa_study.tuning.stopping.schedulers import rungs, rungs_of_trial
from sa_study.utils.text import visible

STYLES = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "RUNNING": "cyan",
    PAUSED: "magenta",
    "WAITING": "dim",
}
"""Colours of a trial's states."""

_CURVE_WIDTH = 10
_BAR_WIDTH = 10
_NONE = "–"
_FIXED_LINES = 11
"""Lines of the panel beside its trials, where none runs."""


@dataclass(frozen=True)
class StudyPanel:
    """A study for rich to print; lines are cut, never broken.

    Attributes:
        study: The study.
        name: The study's folder, as the user named it.
        slots: How many trials may run at a time; None where that is not known yet.
        elapsed: Seconds since this launch began; None if no launch is running.
        phase: Work before the trials: its name, the amount done, and the amount in all (0 where unknown).
        limit: Maximum number of leaders; None for all.
        height: Maximum number of lines of a panel that is drawn again and again; None for no limit.
        trials_only: Show the leaders alone.
    """

    study: StudySummary
    name: str = ""
    slots: int | None = None
    elapsed: float | None = None
    phase: tuple[str, int, int] | None = None
    limit: int | None = None
    height: int | None = None
    trials_only: bool = False

    @classmethod
    def of(cls, study: StudySummary, name: str = "", **options: Any) -> StudyPanel:
        """A study on disk at the moment it was read; trials that no driver runs are paused."""
        driver = study.driver
        if driver is None:
            return cls(dataclasses.replace(study, trials=paused(study.trials)), name, **options)
        elapsed = max(time.time() - driver.since, 0.0)
        return cls(study, name, last_slots(study.folder.provenance), elapsed, **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The parts of the panel, from top to bottom."""
        width, study = options.max_width, self.study
        running, leaders = self._fitting_trials()
        if not self.trials_only:
            yield from map(_line, self._head(width, options.ascii_only))
            yield from _wrapped(self._usage(), width)
            if self.phase:
                yield _phase(*self.phase, width)
            if study.trials:
                yield Text()
                yield self._comparison(width)
            if running:
                yield Text()
                yield self._title("Running", len(running), len(self._running))
                yield self._trials(running, options, running=True)
        if leaders:
            yield Text()
            yield self._title("Trials" if self.trials_only else "Leaders", len(leaders), len(study.trials))
            yield self._trials(leaders, options, running=False)

    @property
    def _running(self) -> list[TrialSummary]:
        return [trial for trial in self.study.trials if trial.state == "RUNNING"]

    def _fitting_trials(self) -> tuple[list[TrialSummary], list[TrialSummary]]:
        """The trials that fit: those that run, and the leaders."""
        running, leaders = self._running, ranked(self.study.trials)
        if self.height is not None:
            beside = _FIXED_LINES + (3 if running else 0) + bool(self.phase)
            lines = max(2, self.height - beside)
            running = running[: max(1, lines // 2)]
            leaders = leaders[: max(1, lines - len(running))]
        return running, leaders[: self.limit]

    def _head(self, width: int, ascii_only: bool) -> Iterator[Text]:
        study, config = self.study, self.study.config
        metric = names.heading(config.metric, names.VALIDATION)
        rule = "" if config.space.scheduler.name == "none" else f" with {config.space.scheduler.name}"
        about = f"  maximising {metric}, {config.space.sampler}{rule}"
        yield Text.assemble(("study ", "dim"), (visible(self.name), "bold"), (about, "dim"))
        counts = [(f"  {count} {state}", STYLES[state]) for state, count in study.states.items()]
        share = min(1.0, study.ended / max(1, config.goal))
        bar = _bar(share, max(10, min(40, width - 60)), ascii_only)
        yield Text.assemble(bar, f" {study.ended} of {config.goal} trials", *counts)

    def _usage(self) -> Iterator[str]:
        """Time, slots and cost."""
        if self.elapsed is not None:
            yield f"elapsed {clock(self.elapsed)}"
            if (remaining := remaining_seconds(self.study, self.slots, self.elapsed)) is not None:
                yield f"about {clock(remaining)} left"
        if self.slots is not None:
            running = len(self._running)
            yield f"{running} of {max(running, self.slots)} slots"  # a cluster may have grown since
        yield from cost_parts(self.study)

    def _comparison(self, width: int) -> RenderableType:
        """The leader above the baseline, and by how much."""
        study, first = self.study, leader(self.study.trials)
        if first is None:
            return Text("no trial has a score yet", "dim")
        compared, labels = [first], ["leader: the baseline" if first.baseline else "leader"]
        if not first.baseline and study.baseline is not None:
            compared.append(study.baseline)
            labels.append("baseline")
        columns = [
            FittedColumn("", [Text(labels[0], "bold green"), *labels[1:]], justify="left"),
            FittedColumn("trial", [str(trial.number) for trial in compared]),
            *_figure_columns(compared),
        ]
        other = compared[-1]
        if other is not first and other.record.best and study.same_identities(first, other):
            columns.append(
                FittedColumn("over the baseline", [Text(_lead(first, other), "bold"), ""], justify="left")
            )
        line = FittedColumn("", list(map(_how_far, compared)), justify="left")
        return fit_table(columns, [], line, width)

    def _trials(
        self, trials: Sequence[TrialSummary], options: ConsoleOptions, *, running: bool
    ) -> RenderableType:
        space, ascii_only = self.study.config.space, options.ascii_only
        columns = [FittedColumn("trial", list(map(_name, trials)))]
        if running:
            bars = [_bar(trial.progress / 100, _BAR_WIDTH, ascii_only) for trial in trials]
            columns.append(FittedColumn("", bars, 3, "left"))
        else:
            states = [Text(trial.state, STYLES[trial.state]) for trial in trials]
            columns.append(FittedColumn("state", states, justify="left"))
        columns.append(FittedColumn("epoch", [f"{trial.record.epoch}/{trial.epochs}" for trial in trials]))
        if rungs(space.scheduler):
            columns.append(FittedColumn("rung", [_rung(trial, space.scheduler) for trial in trials], 4))
        columns += _figure_columns(trials, drop_order=1)
        if not ascii_only:
            columns.append(FittedColumn("by epoch", self._curves(trials), 2, "left"))
        if not running:
            columns.append(FittedColumn("best", list(map(_best_epoch, trials)), 6))
            columns.append(FittedColumn("time", [clock(trial.record.seconds) for trial in trials], 7))
        settings = [
            FittedColumn(visible(name), [_setting(trial, name) for trial in trials]) for name in space.search
        ]
        failures = [visible(trial.record.failure) for trial in trials]
        lines = [
            failure or settings_text(trial.params) for failure, trial in zip(failures, trials, strict=True)
        ]
        why = FittedColumn("why", failures, justify="left") if any(failures) else None
        line = FittedColumn("settings", lines, justify="left")
        return fit_table(columns, settings, line, options.max_width, why)

    def _title(self, name: str, shown: int, total: int) -> Text:
        about = ["per cent at the best epoch", protocol_note(self.study.protocol)]
        about.append(f"{total - shown} more not shown" if total > shown else "")
        return _line(Text.assemble((name, "bold"), (f"  {'; '.join(filter(None, about))}", "dim")))

    def _curves(self, trials: Sequence[TrialSummary]) -> list[str]:
        """Curves between the least and the greatest value of all trials, so that they compare."""
        values = [value for trial in self.study.trials for _, value in trial.finite_curve]
        low, high = min(values, default=0.0), max(values, default=1.0)
        return [sparkline([v for _, v in trial.curve], _CURVE_WIDTH, low, high) for trial in trials]


def paused(trials: Iterable[TrialSummary]) -> tuple[TrialSummary, ...]:
    """The trials of a study that no driver runs: those that were running are paused."""
    return tuple(
        dataclasses.replace(trial, state=PAUSED) if trial.state == "RUNNING" else trial for trial in trials
    )


def ranked(trials: Iterable[TrialSummary]) -> list[TrialSummary]:
    """Trials by score: first those that have won or still can, last those without a score."""

    def rank(trial: TrialSummary) -> tuple[bool, bool, float, int]:
        out = trial.state in ("PRUNED", "FAIL")
        return trial.score is None, out, -(trial.score or 0.0), trial.number

    return sorted(trials, key=rank)


def leader(trials: Iterable[TrialSummary]) -> TrialSummary | None:
    """The trial with the greatest score of those that can win; None before the first epoch."""
    can_win = [trial for trial in trials if trial.score is not None and trial.state not in ("PRUNED", "FAIL")]
    return next(iter(ranked(can_win)), None)


def _phase(phase: str, done: int, total: int, width: int) -> RenderableType:
    if not total:
        return _line(safe(f"{phase} …"))
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total, done, width=max(10, min(40, width - 40)))
    grid.add_row(safe(phase), bar, f"{done:,} of {total:,}")
    return grid


def _wrapped(parts: Iterable[str], width: int) -> Iterator[Text]:
    """Parts in as many lines as they need."""
    line = ""
    for part in parts:
        if line and cell_len(line) + 2 + cell_len(part) > width:
            yield _line(Text(line, "dim"))
            line = ""
        line += f"  {part}" if line else part
    yield _line(Text(line, "dim"))


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _bar(share: float, width: int, ascii_only: bool) -> Text:
    full = round(share * width)
    done, rest = "#-" if ascii_only else "━─"
    return Text.assemble((done * full, "cyan"), (rest * (width - full), "dim"))


def _name(trial: TrialSummary) -> Text:
    return Text("baseline" if trial.baseline else str(trial.number), "bold")


def _best_epoch(trial: TrialSummary) -> str:
    return _NONE if trial.best_epoch is None else str(trial.best_epoch)


def _rung(trial: TrialSummary, scheduler: Scheduler) -> str:
    shares = rungs_of_trial(scheduler, trial.number)
    return f"{sum(trial.progress >= share - 1e-9 for share in shares)}/{len(shares)}"


def _how_far(trial: TrialSummary) -> str:
    epoch = f", epoch {_best_epoch(trial)} of {trial.epochs}" if trial.record.best else ""
    return f"{trial.state}{epoch}"


def _lead(first: TrialSummary, other: TrialSummary) -> str:
    """By how many points the leader is ahead."""
    best, beaten = first.record.best, other.record.best
    shared = [name for name in names.STUDY_METRICS if name in best and name in beaten]
    return " / ".join(f"{100 * (best[name] - beaten[name]):+.1f}" for name in shared) + " points"


def _figure_columns(trials: Sequence[TrialSummary], drop_order: int = 0) -> list[FittedColumn]:
    """A column for each figure of the best epoch; `drop_order` is that of all but the first."""
    return [
        FittedColumn(
            names.heading(name),
            [percent(trial.record.best.get(name)) for trial in trials],
            drop_order if place else 0,
        )
        for place, name in enumerate(names.STUDY_METRICS)
    ]


def _setting(trial: TrialSummary, name: str) -> str:
    return setting_text(trial.params[name]) if name in trial.params else _NONE
