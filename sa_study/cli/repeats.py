"""Commands that train given configurations with several seeds: `confirm` and `ablate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sa_study.cli.options import (
    MOST_SEEDS,
    Address,
    Json,
    MaxConcurrent,
    OtherDataDir,
    Quiet,
    Study,
    StudyOptions,
    TimeBudget,
    takes_study_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sa_study.report.terminal.output import Output
    from sa_study.study.config import StudyConfig
    from sa_study.tuning.launch.launch import Outcome
    from sa_study.tuning.launch.relaunch import Changes
    from sa_study.tuning.search.initial_trials import InitialTrials


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (confirm, ablate):
        app.command()(command)


def confirm(
    study: Study,
    top: Annotated[int, typer.Option("--top", help="How many of the leading configurations.", min=1)] = 3,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Seeds of each, none of them the study's.", min=1, max=MOST_SEEDS)
    ] = 3,
    folds: Annotated[
        int,
        typer.Option(
            "--folds", help="Sets of held-out identities, none of them the study's, with every seed.", min=1
        ),
    ] = 1,
    data_dir: OtherDataDir = None,
    time_budget: TimeBudget = None,
    max_concurrent: MaxConcurrent = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a study's leaders and its baseline again, with new seeds and identities: is any really better?

    Runs through Ray in STUDY/confirm, and goes on there when it is called again; more seeds may be added.
    """
    from sa_study.analysis.repeats.confirm import finish, prepare
    from sa_study.report.terminal.output import Output
    from sa_study.report.terminal.repeats import confirmation_table, curse_line
    from sa_study.study.config import parse_duration
    from sa_study.tuning.launch.relaunch import Changes

    output = Output(quiet, as_json)
    prepared = prepare(study, top=top, seeds=seeds, folds=folds, data_dir=data_dir)
    changes = Changes(
        time_budget=parse_duration(time_budget) if time_budget else None,
        max_concurrent=max_concurrent,
        address=address,
        data_dir=data_dir.absolute() if data_dir else None,
    )
    root, config = prepared.folder.root, prepared.config
    names = ", ".join(candidate.name for candidate in prepared.confirmation.candidates)
    output.say(f"confirming {study}: {names}; {config.trials} runs in {root}")
    outcome = _run(output, root, config, prepared.initial_trials, changes)
    _require_end(output, root, config, outcome)
    found = _scored(output, lambda report: finish(prepared, outcome.trials, report))
    output.end.print(confirmation_table(found))
    if line := curse_line(found):
        output.say(line)
    output.conclude(found["verdict"], "bold")
    output.say(f"written: {study / 'confirmation.json'}")
    output.document(found)


@partial(
    takes_study_options,
    without=("trials", "sampler", "scheduler", "minimize", "seed"),
    space=Path("ablation"),
)
def ablate(
    options: StudyOptions,
    study: Study,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Seeds of every cell of the grid.", min=1, max=MOST_SEEDS)
    ] = 3,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the paper's ablation: every cell of a grid with several seeds, on the validation split.

    The grid is search_spaces/ablation.yaml, or --space. Goes on where it was stopped when it is called again;
    more seeds may be added.
    """
    from sa_study.analysis.repeats.ablate import finish, prepare
    from sa_study.export.ablation import ablation_markdown
    from sa_study.report.terminal.output import Output
    from sa_study.report.terminal.repeats import ablation_tables
    from sa_study.tuning.launch.relaunch import Changes
    from sa_study.utils.files import write_text

    asked = options.config()
    prepared = prepare(study, asked, seeds)
    output, root, config = Output(quiet, as_json), prepared.folder.root, prepared.config
    output.say(f"ablation {study}: {len(prepared.ablation.cells)} cells, {config.trials} runs")
    changes = Changes(
        time_budget=asked.time_budget,
        epoch_budget=asked.epoch_budget,
        gpu_hours=asked.gpu_hours,
        max_concurrent=asked.max_concurrent,
        address=asked.address,
        data_dir=asked.data_dir,
    )
    outcome = _run(output, root, config, prepared.ablation.initial_trials, changes)
    _require_end(output, root, config, outcome)
    found = _scored(output, lambda report: finish(prepared, outcome.trials, report))
    table_file = prepared.folder.ablation.with_suffix(".md")
    write_text(table_file, ablation_markdown(found))
    for table in ablation_tables(found):
        output.end.print(table)
    output.say(f"written: {study / 'ablation.json'} and {table_file.name}")
    output.document(found)


def _run(
    output: Output, root: Path, config: StudyConfig, initial_trials: InitialTrials, changes: Changes
) -> Outcome:
    from sa_study.analysis.repeats.runs import run_all
    from sa_study.report.terminal.live_watch import LiveStudy

    with LiveStudy(output.console, config, str(root)) as live:
        return run_all(root, config, initial_trials, live, changes)


def _require_end(output: Output, root: Path, config: StudyConfig, outcome: Outcome) -> None:
    """Ends the command, with what goes on, where the launch was stopped before all runs had ended."""
    import sys

    from sa_study.cli.ending import saved_line
    from sa_study.report.terminal.text import command
    from sa_study.tuning.launch.launch import INTERRUPTED

    if not outcome.stopped:
        return
    output.conclude(saved_line(outcome.trials, config, root))
    output.conclude(f"{outcome.stopped}; go on with: {command(*sys.argv[1:])}")
    raise typer.Exit(130 if outcome.stopped == INTERRUPTED else 1)


def _scored(output: Output, finish: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    from sa_study.report.terminal.console import phases

    with phases(output.console) as report:
        return finish(partial(report, "scoring"))
