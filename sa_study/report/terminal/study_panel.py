"""A study as a panel in the terminal, for any width and height."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sa_study.metrics import names
from sa_study.report.terminal.console import safe
from sa_study.report.terminal.fitted_table import Column, fit_table
from sa_study.report.terminal.study_snapshot import STYLES, StudySnapshot
from sa_study.report.text import clock, duration, percent, setting_text, settings_text, sparkline
from sa_study.settings.space import Scheduler
from sa_study.study.records import BASELINE, same_validation
from sa_study.study.trial_summary import TrialSummary
from sa_study.tuning.stopping.schedulers import rungs, rungs_of_trial
from sa_study.utils.text import visible

_CURVE_WIDTH = 10
_BAR_WIDTH = 10
_NONE = "–"
_FIXED_LINES = 11
"""Lines of the panel beside its trials, where none runs."""


class StudyPanel:
    """A snapshot of a study for rich to print; lines are cut, never broken.

    Args:
        snapshot: The study.
        limit: Most trials among the leaders; None for all.
        height: Most lines in all, of a panel that is drawn again and again; None for no limit.
        trials_only: Show the leaders alone.
    """

    def __init__(
        self,
        snapshot: StudySnapshot,
        limit: int | None = None,
        height: int | None = None,
        *,
        trials_only: bool = False,
    ):
        self._study = snapshot
        self._limit = limit
        self._height = height
        self._trials_only = trials_only

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The parts of the panel, from top to bottom."""
        width, study = options.max_width, self._study
        running, leaders = self._fitting_trials()
        if not self._trials_only:
            yield from (_line(part) for part in self._head(width, options.ascii_only))
            yield from _wrapped(list(self._usage()), width)
            if study.phase:
                yield from _phase(study, width)
            if study.trials:
                yield Text()
                yield self._comparison(width)
            if running:
                yield Text()
                yield _title("Running", len(running), len(study.running))
                yield self._trials(running, width, options, running=True)
        if leaders:
            yield Text()
            yield _title("Trials" if self._trials_only else "Leaders", len(leaders), len(study.trials))
            yield self._trials(leaders, width, options, running=False)

    def _fitting_trials(self) -> tuple[list[TrialSummary], list[TrialSummary]]:
        """The trials that fit: those that run, and the leaders."""
        running, leaders = self._study.running, self._study.leaders()
        if self._height is not None:
            beside = _FIXED_LINES + (3 if running else 0) + bool(self._study.phase)
            lines = max(2, self._height - beside)
            running = running[: max(1, lines // 2)]
            leaders = leaders[: max(1, lines - len(running))]
        return running, leaders[: self._limit]

    def _head(self, width: int, ascii_only: bool) -> Iterator[Text]:
        study, config = self._study, self._study.config
        goal, metric = max(1, config.goal), names.heading(config.metric, names.VALIDATION)
        rule = "" if config.space.scheduler.name == "none" else f" with {config.space.scheduler.name}"
        yield Text.assemble(
            ("study ", "dim"),
            (visible(study.name), "bold"),
            (f"  maximising {metric}, {config.space.sampler}{rule}", "dim"),
        )
        share = min(1.0, study.ended / goal)
        counts = [(f"  {count} {state}", STYLES[state]) for state, count in study.counts().items()]
        bar = _bar(share, max(10, min(40, width - 60)), ascii_only)
        yield Text.assemble(bar, f" {study.ended} of {config.goal} trials", *counts)

    def _usage(self) -> Iterator[str]:
        """Time, slots and cost."""
        study = self._study
        if study.elapsed is not None:
            yield f"elapsed {clock(study.elapsed)}"
        remaining = study.remaining()
        if remaining is not None:
            yield f"about {clock(remaining)} left"
        if study.slots is not None:
            running = len(study.running)
            yield f"{running} of {max(running, study.slots)} slots"  # a cluster may have grown since
        records = [row.record for row in study.trials]
        yield f"{sum(record.epochs_run for record in records)} epochs"
        yield f"{duration(sum(record.seconds for record in records))} of training"
        if gpu := sum(record.gpu_seconds for record in records):
            yield f"{gpu / 3600:.2f} GPU-hours"
        if study.training is not None:
            yield f"{percent(study.training)} % of the slots' time"

    def _comparison(self, width: int) -> RenderableType:
        """The leader above the baseline, and by how much."""
        study = self._study
        leader, baseline = study.leader(), study.baseline
        if leader is None:
            return Text("no trial has a score yet", "dim")
        compared = [("leader", leader, "bold green")]
        if leader.number == BASELINE:
            compared = [("leader: the baseline", leader, "bold green")]
        elif baseline is not None:
            compared.append(("baseline", baseline, ""))
        columns = [
            Column("", lambda i: Text(compared[i][0], compared[i][2]), justify="left"),
            Column("trial", lambda i: str(compared[i][1].number)),
            *_figure_columns([row for _, row, _ in compared], optional=False),
        ]
        if (
            len(compared) > 1
            and compared[1][1].record.best
            and same_validation(study.config.space, leader.params, compared[1][1].params)
        ):
            ahead = Text(_lead(leader, compared[1][1]), "bold")
            columns.append(Column("over the baseline", lambda i: Text() if i else ahead, justify="left"))
        line = Column("", lambda i: _how_far(compared[i][1]), justify="left")
        return fit_table(len(compared), columns, [], line, width)

    def _trials(
        self, rows: Sequence[TrialSummary], width: int, options: ConsoleOptions, *, running: bool
    ) -> RenderableType:
        config, ascii_only = self._study.config, options.ascii_only
        low, high = self._range()
        scheduler = config.space.scheduler

        def text(make: Callable[[TrialSummary], str | Text]) -> Callable[[int], str | Text]:
            return lambda index: make(rows[index])

        columns = [Column("trial", text(_name))]
        if running:
            columns.append(
                Column("", text(lambda row: _bar(row.progress / 100, _BAR_WIDTH, ascii_only)), 3, "left")
            )
        else:
            columns.append(
                Column("state", text(lambda row: Text(row.state, STYLES[row.state])), justify="left")
            )
        columns.append(Column("epoch", text(lambda row: f"{row.record.epoch}/{row.epochs}")))
        if rungs(scheduler):
            columns.append(Column("rung", text(lambda row: _rung(row, scheduler)), 4))
        columns += _figure_columns(rows, optional=True)
        if not ascii_only:
            curve = text(lambda row: sparkline([value for _, value in row.curve], _CURVE_WIDTH, low, high))
            columns.append(Column("by epoch", curve, 2, "left"))
        if not running:
            columns.append(Column("best", text(_best_epoch), 6))
            columns.append(Column("time", text(lambda row: clock(row.record.seconds)), 7))
        settings = [Column(visible(name), text(_setting(name))) for name in config.space.search]
        line = Column(
            "settings", text(lambda row: _failure(row) or settings_text(row.params)), justify="left"
        )
        note = Column("why", text(_failure), justify="left") if any(map(_failure, rows)) else None
        return fit_table(len(rows), columns, settings, line, width, note)

    def _range(self) -> tuple[float, float]:
        """The least and the greatest value of all curves, so that these compare."""
        values = [value for row in self._study.trials for _, value in row.curve if math.isfinite(value)]
        return min(values, default=0.0), max(values, default=1.0)


def _phase(study: StudySnapshot, width: int) -> Iterator[RenderableType]:
    assert study.phase is not None
    phase, done, total = study.phase
    if not total:
        yield _line(safe(f"{phase} …"))
        return
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total, done, width=max(10, min(40, width - 40)))
    grid.add_row(safe(phase), bar, f"{done:,} of {total:,}")
    yield grid


def _wrapped(parts: Sequence[str], width: int) -> Iterator[Text]:
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


def _title(name: str, shown: int, there: int) -> Text:
    more = f"; {there - shown} more not shown" if there > shown else ""
    return _line(Text.assemble((name, "bold"), (f"  per cent at the best epoch{more}", "dim")))


def _bar(share: float, width: int, ascii_only: bool) -> Text:
    full = round(share * width)
    done, rest = "#-" if ascii_only else "━─"
    return Text.assemble((done * full, "cyan"), (rest * (width - full), "dim"))


def _name(row: TrialSummary) -> Text:
    """A trial's number; the baseline's is marked."""
    return Text("baseline" if row.number == BASELINE else str(row.number), "bold")


def _best_epoch(row: TrialSummary) -> str:
    return _NONE if row.best_epoch is None else str(row.best_epoch)


def _rung(row: TrialSummary, scheduler: Scheduler) -> str:
    shares = rungs_of_trial(scheduler, row.number)
    return f"{sum(row.progress >= share - 1e-9 for share in shares)}/{len(shares)}"


def _how_far(row: TrialSummary) -> str:
    if not row.record.best:
        return row.state
    return f"{row.state}, epoch {_best_epoch(row)} of {row.epochs}"


def _lead(leader: TrialSummary, other: TrialSummary) -> str:
    """By how many points the leader is ahead."""
    best, beaten = leader.record.best, other.record.best
    shared = [name for name in names.STUDY_METRICS if name in best and name in beaten]
    return " / ".join(f"{100 * (best[name] - beaten[name]):+.1f}" for name in shared) + " points"


def _figure_columns(rows: Sequence[TrialSummary], *, optional: bool) -> list[Column]:
    """A column for each figure of the best epoch; `optional` ones but the first may be left out."""

    def cell(name: str) -> Callable[[int], str]:
        return lambda index: percent(rows[index].record.best.get(name))

    return [
        Column(names.heading(name), cell(name), int(optional and place > 0))
        for place, name in enumerate(names.STUDY_METRICS)
    ]


def _setting(name: str) -> Callable[[TrialSummary], str]:
    return lambda row: setting_text(row.params[name]) if name in row.params else _NONE


def _failure(row: TrialSummary) -> str:
    return visible(row.record.failure)
