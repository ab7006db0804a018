"""`status`: a study's state, also while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sa_study.cli.options import Json, Quiet, Study
from sa_study.utils.errors import ConfigError

if TYPE_CHECKING:
    from sa_study.report.terminal.console import Output
    from sa_study.study.summary import StudySummary

_MAX_TRIALS_LISTED = 20
_MAX_LINES = 5
_SECONDS_BETWEEN_READS = 2.0  # seconds from one reading of the database to the next


def status(
    study: Study,
    every: Annotated[
        bool, typer.Option("--all", help=f"List all trials, not only the best {_MAX_TRIALS_LISTED}.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Keep showing it until the study ends; Ctrl-C does not stop the study."),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the state of a study, also while it runs; writes nothing."""
    from sa_study.report.json_document import study_document
    from sa_study.report.terminal.console import Output, can_redraw
    from sa_study.report.terminal.study import front_table, judgement_line
    from sa_study.report.terminal.study_panel import StudyPanel
    from sa_study.report.verdict import headline
    from sa_study.study.summary import StudySummary

    output = Output(quiet, as_json)
    if watch and not can_redraw(output.console):
        raise ConfigError("--watch: needs a terminal, without NO_COLOR, --quiet and --json; leave it out")
    summary = _watch(output, study) if watch else StudySummary.read(study)
    if as_json:
        output.document({**study_document(summary), "test_looks": summary.ledger.count})
        return
    limit = None if every else _MAX_TRIALS_LISTED
    output.console.print(StudyPanel.of(summary, str(study), limit=limit))
    output.console.print()
    if summary.config.minimize:
        output.console.print(front_table(summary))
    for line in _lines(summary, study):
        output.say(line)
    output.conclude(headline(summary), "bold")
    if line := judgement_line(summary):
        output.conclude(line)


def _watch(output: Output, root: Path) -> StudySummary:
    """Shows a study until its driver ends, or Ctrl-C; returns its last state."""
    from rich.live import Live

    from sa_study.report.terminal.study_panel import StudyPanel
    from sa_study.study.summary import StudySummary

    console, study = output.console, StudySummary.read(root)
    with (
        suppress(KeyboardInterrupt),
        Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live,
    ):
        while study.driver:
            live.update(StudyPanel.of(study, str(root), height=console.height), refresh=True)
            time.sleep(_SECONDS_BETWEEN_READS)
            study = StudySummary.read(root)
    return study


def _lines(study: StudySummary, root: Path) -> Iterator[str]:
    """What happened to trials, how often the test set was seen, who runs the study, the scores' intervals."""
    from sa_study.report.terminal.study import interval_line
    from sa_study.report.text import command

    failed = [f"trial {t.number} failed: {t.record.failure}" for t in study.trials if t.record.failure]
    notes = [f"trial {t.number}: {note}" for t in study.trials for note in t.record.notes]
    for lines, rest in ((failed, "failed; --json says why"), (notes, "notes; --json has them")):
        yield from lines[:_MAX_LINES]
        if len(lines) > _MAX_LINES:
            yield f"{len(lines) - _MAX_LINES} more {rest}"
    if sentence := study.ledger.sentence:
        yield sentence
    if study.driver:
        yield f"the study is being run by {study.driver}"
    elif "RUNNING" in study.states:
        yield f"the study is not running; go on with: {command('resume', '--study', root)}"
    if line := interval_line(study):
        yield line
