"""Commands of a study: `demo`, `plan`, `tune`, `resume`, `audit`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sa_study.cli.ending import show_end
from sa_study.cli.options import (
    Address,
    EpochBudget,
    GpuHours,
    Json,
    MaxConcurrent,
    Quiet,
    Study,
    StudyOptions,
    TimeBudget,
    Trials,
    given_options,
    path_option,
    takes_study_options,
)

if TYPE_CHECKING:
    from sa_study.report.terminal.output import Output
    from sa_study.study.config import StudyConfig
    from sa_study.tuning.launch.launch import Outcome
    from sa_study.tuning.launch.relaunch import Changes


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (demo, plan, tune, resume, audit):
        app.command()(command)


@takes_study_options
def plan(
    options: StudyOptions,
    study: Annotated[
        Path, path_option("--study", help="Where the study would be made.", show_default=False)
    ] = Path("runs/study"),
) -> None:
    """Tell beforehand what 'tune' with the same options will take: epochs, time, GPU-hours, disk.

    Writes nothing and launches nothing; measures an epoch on this machine in about a minute.
    """
    from sa_study.report.terminal.console import phases
    from sa_study.report.terminal.output import make_console
    from sa_study.report.terminal.plan import plan_notes, plan_table
    from sa_study.study.folder import StudyFolder
    from sa_study.tuning.plan.plan import make_plan

    console = make_console()
    with phases(console) as report:
        made = make_plan(options.config(), StudyFolder.free(study), report)
    console.print(plan_table(made))
    console.print(plan_notes(made))


@takes_study_options
def tune(
    options: StudyOptions,
    context: typer.Context,
    study: Study,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the study if there is one already. Options that 'resume' does not have must "
            "then be those it was begun with.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Launch a study: search settings on a validation split of the training identities.

    The test set plays no part; 'evaluate --study' opens it afterwards.
    """
    from sa_study.report.terminal.output import Output
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder

    config, output = options.config(), Output(quiet, as_json)
    if resume and (begun := StudyFolder(study).config).exists():
        from sa_study.tuning.launch.relaunch import changes_from_options

        changes = changes_from_options(StudyConfig.read(begun), config, given_options(context))
        config, outcome = _run_resume(output, study, changes)
    else:
        outcome = _run_launch(output, study, config)
    show_end(output, study, config, outcome)


def resume(
    study: Study,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    epoch_budget: EpochBudget = None,
    gpu_hours: GpuHours = None,
    max_concurrent: MaxConcurrent = None,
    address: Address = None,
    data_dir: Annotated[
        Path | None, path_option("--data-dir", help="Where the same data lie now.", show_default="as before")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with a study that was stopped or killed, or extend it by more trials or a larger budget."""
    from sa_study.report.terminal.output import Output
    from sa_study.study.config import parse_duration
    from sa_study.tuning.launch.relaunch import Changes

    output = Output(quiet, as_json)
    changes = Changes(
        trials=trials,
        time_budget=parse_duration(time_budget) if time_budget else None,
        epoch_budget=epoch_budget,
        gpu_hours=gpu_hours,
        max_concurrent=max_concurrent,
        address=address,
        data_dir=data_dir.absolute() if data_dir else None,
    )
    config, outcome = _run_resume(output, study, changes)
    show_end(output, study, config, outcome)


def audit(study: Study) -> None:
    """Check that a study's database, results, curves and checkpoints tell the same story; writes nothing.

    For a study whose trials have all ended; reads every checkpoint. Exit code 1 when something contradicts.
    """
    from sa_study.analysis.audit import audit as find_contradictions
    from sa_study.report.terminal.output import make_console, say

    console = make_console()
    found = find_contradictions(study)
    for line in found:
        say(console, line)
    console.print(f"{len(found)} contradictions" if found else "[green]sound[/]", highlight=False)
    if found:
        raise typer.Exit(1)


def demo(
    study: Annotated[Path, path_option("--study", help="Folder of the demo's study.")] = Path("runs/demo"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the main job on sample data: draw it, tune on it, evaluate, make the pictures and the page.

    Needs no GPU, no network and no data; takes a few minutes. Run again, it goes on where it was stopped.
    """
    from sa_study.analysis.final.evaluate import evaluate_study
    from sa_study.report.json_document import study_document
    from sa_study.report.page.write import write_page
    from sa_study.report.pictures import show_study
    from sa_study.report.terminal.console import evaluation_table, phases
    from sa_study.report.terminal.output import Output
    from sa_study.report.terminal.text import command
    from sa_study.study.folder import StudyFolder
    from sa_study.tuning.launch.relaunch import Changes

    output = Output(quiet, as_json)
    if StudyFolder(study).config.exists():
        config, outcome = _run_resume(output, study, Changes())
    else:
        config = _demo_study(output, study)
        outcome = _run_launch(output, study, config)
    show_end(output, study, config, outcome, evaluated=True)
    with phases(output.console) as report:
        found = evaluate_study(study, None, reranked=True, baseline=True, report=report)
    output.console.print()
    output.end.print(evaluation_table(found.evaluations, found.looks.sentence))
    with phases(output.console) as report:
        show_study(study, report=report)
    output.say(f"everything is in {study}; begin with its page: {write_page(study, None).path}")
    output.say(f"live and in the browser: {command('dashboard', '--study', study)}")
    document = study_document(study, config, outcome.trials, outcome.about)
    output.document({**document, "evaluations": found.evaluations})


def _demo_study(output: Output, study: Path) -> StudyConfig:
    """Draws the sample data, where they are not there yet, and describes a study of them."""
    from sa_study.data.sample import make_sample_data
    from sa_study.report.terminal.console import phases
    from sa_study.settings.space_file import load_space
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder

    StudyFolder.free(study)
    sample = study.absolute().with_name(f"{study.name}_data")
    if not sample.exists():
        with phases(output.console) as report:
            make_sample_data(sample, progress=partial(report, "drawing"))
        output.say(f"sample data drawn: {sample}")
    space = load_space(Path("demo"))
    return StudyConfig(data_dir=sample, space=space, trials=space.trials)


def _run_launch(output: Output, study: Path, config: StudyConfig) -> Outcome:
    from sa_study.report.terminal.live_watch import LiveStudy
    from sa_study.tuning.launch.launch import launch

    output.say(f"study {study}: {config.trials} trials, maximising validation {config.metric}")
    with LiveStudy(output.console, config, str(study)) as live:
        return launch(study, config, live)


def _run_resume(output: Output, study: Path, changes: Changes) -> tuple[StudyConfig, Outcome]:
    from sa_study.report.terminal.live_watch import LiveStudy
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder
    from sa_study.tuning.launch.launch import resume

    config = StudyConfig.read(StudyFolder.existing(study).config)
    output.say(f"study {study}: going on")
    with LiveStudy(output.console, config, str(study)) as live:
        outcome = resume(study, changes, live)
    return StudyConfig.read(StudyFolder.existing(study).config), outcome
