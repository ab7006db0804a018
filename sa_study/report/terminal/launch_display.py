"""Shows a launch while it runs: a live panel in a terminal, a line for each event elsewhere."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.live import Live
from rich.text import Text

from sa_study.metrics import names
from sa_study.report.terminal.console import can_redraw, capture_stray_output, say
from sa_study.report.terminal.study_panel import STYLES, StudyPanel, paused
from sa_study.report.text import duration, percent, settings_text
from sa_study.study.config import StudyConfig
from sa_study.study.folder import StudyFolder
from sa_study.study.records import TrialEvent
from sa_study.study.summary import StudySummary
from sa_study.study.trial_summary import PAUSED, TrialSummary
from sa_study.utils.text import visible

_FRAMES_A_SECOND = 2
_READING = ("reading the data set", 0, 0)
_STARTING = ("starting Ray", 0, 0)
_PREPARING = ("preparing the trials", 0, 0)
_STOPPING = ("stopping; each trial keeps its last epoch", 0, 0)


class LaunchDisplay:
    """Shows a launch while it runs; `name` is the study's folder.

    In a terminal a panel of the study stands below a line for each trial that has ended. Elsewhere there is
    a line when a trial begins, after each epoch, and when it ends; a console that is quiet shows nothing.
    """

    def __init__(self, console: Console, config: StudyConfig, name: str = ""):
        self._console = console
        self._config = config
        self._name = name
        self._rows: dict[int, TrialSummary] = {}
        self._slots: int | None = None
        self._phase: tuple[str, int, int] | None = _READING
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._live = can_redraw(console)
        self._answers_interrupts = False

    def __enter__(self) -> LaunchDisplay:
        self._begun = time.monotonic()
        self._open.enter_context(capture_stray_output(self._console))
        if self._live:
            self._open.enter_context(
                Live(
                    console=self._console,
                    get_renderable=self.panel,
                    refresh_per_second=_FRAMES_A_SECOND,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                    vertical_overflow="crop",
                )
            )
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def starting(self) -> None:
        """Shows that Ray starts."""
        with self._lock:
            self._phase = _STARTING

    def decoded(self, done: int, total: int) -> None:
        """Shows how many images are decoded."""
        with self._lock:
            self._phase = ("decoding images", done, total) if done < total else _PREPARING
        if done == total and not self._live:
            self.say(f"decoded {total:,} images")

    def begin(self, config: StudyConfig, trials: Sequence[FrozenTrial], slots: int) -> None:
        """Takes over the trials of earlier launches, and the slots of this one."""
        with self._lock:
            self._config, self._slots, self._phase = config, slots, None
            earlier = paused(TrialSummary.of(trial, config) for trial in trials)
            self._rows = {trial.number: trial for trial in earlier}

    def announce(self, event: TrialEvent) -> None:
        """Shows what happened to a trial."""
        if self._live and not self._answers_interrupts:
            self._answer_interrupts()
        with self._lock:
            row = self._rows[event.number] = self._row(event)
        if event.kind == "note":
            self.say(f"trial {event.number}: {event.note}")
        elif event.kind not in ("start", "epoch"):
            self._print(_ended_line(row))
        elif not self._live:
            self._print(_started_line(row) if event.kind == "start" else _epoch_line(row))

    def _answer_interrupts(self) -> None:
        """Answers Ctrl-C at once in the panel; Tune ends the launch some seconds later, and is silent.

        To be called while Tune runs, which sets its own handler when it starts.
        """
        self._answers_interrupts = True
        tunes_handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(tunes_handler):
            return

        def handler(number: int, frame: Any) -> None:
            self._phase = _STOPPING  # no lock: this interrupts whoever may hold it
            tunes_handler(number, frame)

        signal.signal(signal.SIGINT, handler)

    def say(self, text: str) -> None:
        """Prints a line above the panel."""
        say(self._console, text)

    def fail(self, text: str) -> None:
        """Removes the panel and prints on the standard error why the launch cannot go on."""
        self._open.close()
        sys.stderr.write(f"error: {visible(text)}\n")
        sys.stderr.flush()

    def panel(self) -> StudyPanel:
        """The study at this moment."""
        with self._lock:
            trials = tuple(trial for _, trial in sorted(self._rows.items()))
            study = StudySummary(StudyFolder(Path(self._name)), self._config, trials)
            elapsed, height = time.monotonic() - self._begun, self._console.height
            return StudyPanel(study, self._name, self._slots, elapsed, self._phase, height=height)

    def _row(self, event: TrialEvent) -> TrialSummary:
        """A trial after an event."""
        config, number, params = self._config, event.number, event.suggested
        before = self._rows.get(number)
        if before is None:
            epochs = config.space.settings(params).epochs
            before = TrialSummary(number, "RUNNING", params, config.metric, epochs)
        state, curve = event.kind, before.curve
        if event.kind == "note":
            state = before.state
        elif event.kind in ("start", "epoch"):
            state = "RUNNING"
        elif event.kind == "paused":
            state = PAUSED
        if event.kind == "epoch":
            # An epoch that is run again takes the place of the first time.
            last = event.record.last
            curve = (*curve[: event.record.epoch - 1], (last[names.PROGRESS], last[config.metric]))
        return dataclasses.replace(before, state=state, params=params, record=event.record, curve=curve)

    def _print(self, line: Text) -> None:
        if self._live:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(line, soft_wrap=True)


def _started_line(row: TrialSummary) -> Text:
    how = f"resumed after epoch {row.record.epoch}" if row.record.epoch else "started"
    return Text(f"{_name(row)}  {how}  {settings_text(row.params)}")


def _epoch_line(row: TrialSummary) -> Text:
    figures = row.record.last
    parts = [f"{_name(row)}  epoch {row.record.epoch}/{row.epochs}"]
    if names.LOSS in figures:
        parts.append(f"loss {figures[names.LOSS]:.3f}")
    parts += [
        f"{names.heading(name)} {percent(figures[name])} %" for name in names.STUDY_METRICS if name in figures
    ]
    if names.SECONDS in figures:
        parts.append(duration(figures[names.SECONDS]))
    return Text("  ".join(parts))


def _ended_line(row: TrialSummary) -> Text:
    record, metric = row.record, row.metric
    if row.state == PAUSED:
        return Text(f"{_name(row)}  paused after epoch {record.epoch}")
    text = visible(record.failure)
    if row.state != "FAIL":
        text = (
            f"{names.heading(metric)} {percent(record.best[metric])} % "
            f"at epoch {record.best[names.EPOCH]:.0f} of {record.epoch} run, {duration(record.seconds)}"
        )
    state = (f"{row.state:<8}", STYLES[row.state])
    return Text.assemble(f"{_name(row)}  ", state, f"  {text}  {settings_text(row.params)}")


def _name(row: TrialSummary) -> str:
    return f"trial {row.number:>3}" + (" (baseline)" if row.baseline else "")
