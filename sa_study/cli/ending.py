"""The end of a launch: what became of the study, what is saved, and which command goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from sa_study.report.terminal.output import Output
    from sa_study.study.config import StudyConfig
    from sa_study.tuning.launch.launch import Outcome

_SHOWN = 10
"""Trials at a launch's end."""


def show_end(
    output: Output, study: Path, config: StudyConfig, outcome: Outcome, *, evaluated: bool = False
) -> None:
    """Tells a study's end, and what to do next.

    Args:
        output: Where to.
        study: The study's folder, as the user named it.
        config: What was asked for.
        outcome: How the launch ended.
        evaluated: Whether the evaluation follows at once.

    Raises:
        Exit: With 130 after Ctrl-C, with 1 where no trial is complete.
    """
    from sa_study.report.json_document import study_document
    from sa_study.report.terminal.study import (
        cost_line,
        front_table,
        interval_line,
        judgement_line,
        summary_line,
        trials_table,
        verdict,
    )
    from sa_study.report.terminal.text import command
    from sa_study.study.folder import StudyFolder

    output.console.print(trials_table(outcome.trials, config, limit=_SHOWN))
    if config.minimize:
        output.console.print(front_table(outcome.trials, config))
    output.say(summary_line(outcome.trials, config))
    output.say(cost_line(outcome.trials, outcome.about))
    if line := interval_line(outcome.trials, outcome.winner, config):
        output.say(line)
    output.conclude(verdict(outcome.trials, outcome.winner, config), "bold")
    if line := judgement_line(StudyFolder(study), config, outcome.trials, outcome.about):
        output.conclude(line)
    if outcome.stopped:
        output.conclude(saved_line(outcome.trials, config, study))
        output.conclude(f"{outcome.stopped}; go on with: {command('resume', '--study', study)}")
    if outcome.winner is not None and not evaluated:
        output.say(f"is it really better? {command('confirm', '--study', study)}")
        again = command("evaluate", "--study", study, "--baseline")
        output.say(f"the test set was not opened; then: {again}")
    code = _code(outcome)
    if code or not evaluated:
        stopped = outcome.stopped
        output.document(study_document(study, config, outcome.trials, outcome.about, stopped=stopped))
    if code:
        raise typer.Exit(code)


def _code(outcome: Outcome) -> int:
    """The exit code: 130 after Ctrl-C, 1 where all has run and no trial is complete."""
    from sa_study.tuning.launch.launch import INTERRUPTED

    if outcome.stopped == INTERRUPTED:
        return 130
    return 1 if outcome.winner is None and not outcome.stopped else 0


def saved_line(trials: Sequence[FrozenTrial], config: StudyConfig, study: Path) -> str:
    """What a launch that was stopped leaves to `resume`."""
    from sa_study.report.terminal.live_snapshot import PAUSED, rows_of

    rows = rows_of(trials, config, driven=False)
    ended = sum(row.ended for row in rows)
    parts = [f"{ended} ended trial{'' if ended == 1 else 's'}"]
    for row in (row for row in rows if row.state == PAUSED):
        epoch = row.record.epoch
        upto = f"up to epoch {epoch} of {row.epochs}" if epoch else "from its first epoch on"
        parts.append(f"trial {row.number} {upto}")
    return f"saved in {study}: {', '.join(parts)}"
