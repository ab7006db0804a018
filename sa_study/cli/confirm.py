"""`confirm`: repeat a study's leaders with other seeds."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from sa_study.cli.options import MAX_SEEDS, Json, Quiet, ResumeOptions, Study, expand_options


@partial(expand_options, without=("trials", "epoch_budget", "gpu_hours", "patience", "track"))
def confirm(
    options: ResumeOptions,
    study: Study,
    top: Annotated[int, typer.Option(help="How many of the leading configurations.", min=1)] = 3,
    seeds: Annotated[
        int, typer.Option(help="Seeds per configuration, other than the study's.", min=1, max=MAX_SEEDS)
    ] = 3,
    folds: Annotated[
        int, typer.Option(help="Sets of held-out identities per seed, other than the study's.", min=1)
    ] = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Train a study's leaders and its baseline again, with new seeds and identities: is any really better?

    Runs through Ray in STUDY/confirm, and resumes when it is called again, also with more seeds.
    """
    from sa_study.analysis.repeats.confirm import finish_confirmation, prepare_confirmation
    from sa_study.report.terminal.console import Output, phases
    from sa_study.report.terminal.launch import run_repeats_with_live_view, show_stop
    from sa_study.report.terminal.repeats import confirmation_table, curse_line

    output = Output(quiet, as_json)
    plan, repeats = prepare_confirmation(study, top=top, seeds=seeds, folds=folds, data_dir=options.data_dir)
    root, config = repeats.folder.root, repeats.config
    names = ", ".join(candidate.name for candidate in plan.candidates)
    output.say(f"confirming {study}: {names}; {config.trials} runs in {root}")
    outcome = run_repeats_with_live_view(output, repeats, options.changes())
    if outcome.stopped:
        return show_stop(output, root, outcome)
    with phases(output.console) as report:
        found = finish_confirmation(study, plan, repeats, partial(report, "scoring"))
    output.result_console.print(confirmation_table(found))
    if line := curse_line(found):
        output.say(line)
    output.conclude(found["verdict"], "bold")
    output.say(f"written: {study / 'confirmation.json'}")
    output.document(found)
    return 0
