"""What a command prints on: a terminal, a plain stream, hardly anything, or one JSON document."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sa_study.report.text import clock
from sa_study.utils.progress import PhaseCallback
from sa_study.utils.text import visible

_RAY_WORKER_DIED = "(raylet"
"""How Ray's lines about a worker that died begin; the trial has a line of its own."""


class Output:
    """Prints what a command has to say.

    Args:
        quiet: Only the result is printed.
        as_json: Only one JSON document is printed, at the end.

    Attributes:
        console: For progress; prints nothing where only the result is asked for.
        result_console: For the result; prints nothing where JSON is asked for.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False):
        self.as_json = as_json
        self.console = make_console(silent=quiet or as_json)
        self.result_console = make_console(silent=as_json)

    def say(self, text: str) -> None:
        """Prints a line of progress; nothing in it is markup."""
        say(self.console, text)

    def conclude(self, text: str, style: str = "") -> None:
        """Prints a line of the result; nothing in it is markup."""
        say(self.result_console, text, style)

    def document(self, values: Mapping[str, Any]) -> None:
        """Prints the JSON document, where it is asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(values, indent=2, allow_nan=False, default=str) + "\n")


def make_console(silent: bool = False) -> Console:
    """A console on the standard output; plain text in a notebook, in a file, and where `NO_COLOR` is set.

    With `NO_COLOR` rich would leave out colours, but still write bold, and move the cursor about.
    """
    # A notebook's output says that it is a terminal, and shows each thing that rich prints as a document.
    notebook = type(sys.stdout).__module__.startswith("ipykernel")
    plain = notebook or bool(os.environ.get("NO_COLOR"))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")  # a terminal that knows few characters is no reason to fail
    return Console(
        file=sys.stdout, quiet=silent, force_terminal=False if plain else None, force_jupyter=False
    )


def say(console: Console, text: str, style: str = "") -> None:
    """Prints a text in one line, however long: nothing in it is markup or obeyed by a terminal."""
    console.print(
        visible(text), style=style or None, highlight=False, markup=False, emoji=False, soft_wrap=True
    )


def safe(text: object, style: str = "") -> Text:
    """A text as it is: nothing in it is markup, or obeyed by a terminal."""
    return Text(visible(text), style)


@contextlib.contextmanager
def phases(console: Console) -> Iterator[PhaseCallback]:
    """A progress bar for each phase of a job, as it is reported; nothing where no bar can be drawn.

    A phase of one step has a bar that only moves to and fro.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(40 if console.width >= 100 else 20 if console.width >= 80 else 8),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not can_redraw(console)) as bars:
        tasks: dict[str, Any] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(visible(phase), amount="", left="")
            task, several = tasks[phase], total > 1
            left = bars.tasks[bars.task_ids.index(task)].time_remaining
            bars.update(
                task,
                completed=done,
                total=total if several else None,
                visible=done < total,
                amount=f"{done:,} of {total:,}" if several else "",
                left=f"{clock(left)} left" if several and left is not None else "",
            )

        yield report


def can_redraw(console: Console) -> bool:
    """Whether what is printed can be drawn again in its place."""
    return console.is_terminal and not console.is_dumb_terminal and not console.quiet


@contextlib.contextmanager
def capture_stray_output(console: Console) -> Iterator[None]:
    """Keeps the output of libraries out of a live panel, as lines above it, and out of a JSON document.

    Ray's lines about dead workers are left out.
    """
    console.file = console.file  # else the console would write to the redirected standard output
    stream: Any = _StrayOutput(console, sys.stderr)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            yield
        finally:
            stream.write("\n")  # ends an unfinished line


class _StrayOutput(io.TextIOBase):
    """A text stream that prints whole lines on a console, or on another stream where the console is quiet."""

    encoding = "utf-8"

    def __init__(self, console: Console, beside: IO[str]):
        self._console = console
        self._beside = beside
        self._text = ""

    def write(self, text: str) -> int:
        """Adds a text; whole lines are printed."""
        *lines, self._text = (self._text + text).split("\n")
        for line in lines:
            if _RAY_WORKER_DIED in line or not line.strip():
                continue
            if self._console.quiet:
                self._beside.write(f"{line}\n")
            else:
                say(self._console, line)
        return len(text)

    def fileno(self) -> int:
        """The file number of the other stream: a process that crashes writes there."""
        return self._beside.fileno()
