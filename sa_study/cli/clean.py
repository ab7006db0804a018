"""`clean`: free the disk of a study's unneeded checkpoints."""

from __future__ import annotations

from typing import Annotated

import typer

from sa_study.cli.options import Study


def clean(
    study: Study,
    keep: Annotated[
        int, typer.Option(help="How many leaders keep their checkpoints, beside winner and baseline.", min=0)
    ] = 3,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; without it, only say what would go.")
    ] = False,
) -> None:
    """Free the disk of checkpoints of ended trials that no command needs: says first how much that is.

    Everything else of the study stays: its trials, curves, figures, winner and ledger.
    """
    from sa_study.analysis.clean import clean_study, plan_cleaning
    from sa_study.report.terminal.console import make_console, say
    from sa_study.report.text import command
    from sa_study.study.summary import StudySummary
    from sa_study.utils.files import format_bytes
    from sa_study.utils.text import plural

    console = make_console()
    found = clean_study(study, keep) if yes else plan_cleaning(StudySummary.read(study), keep)
    numbers = ", ".join(map(str, found.kept)) or "none"
    say(console, f"keeps the checkpoints of trials {numbers}")
    what = f"the checkpoints of {plural(len(found.trials), 'trial')}, {format_bytes(found.size)}"
    if not found.trials:
        say(console, "nothing to remove")
    elif yes:
        say(console, f"removed: {what}")
    else:
        say(
            console,
            f"would remove {what}; to do so: {command('clean', '--study', study, '--keep', keep, '--yes')}",
        )
