"""Commands of a study: `demo`, `plan`, `tune`, `resume`, `status`, `audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sa_study.cli.options import (
    Address,
    EpochBudget,
    GpuHours,
    MaxConcurrent,
    Study,
    StudyOptions,
    TimeBudget,
    Trials,
    takes_study_options,
)

if TYPE_CHECKING:
    from sa_study.study.config import StudyConfig
    from sa_study.study.launch import Changes, Outcome


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (demo, plan, tune, resume, status, audit):
        app.command()(command)


@takes_study_options
def plan(
    options: StudyOptions,
    study: Annotated[
        Path, typer.Option("--study", help="Where the study would be made.", show_default=False)
    ] = Path("runs/study"),
) -> None:
    """Tell beforehand what 'tune' with the same options will take: epochs, time, GPU-hours, disk.

    Writes nothing and launches nothing; measures an epoch on this machine in about a minute.
    """
    from sa_study.report.console import phases
    from sa_study.report.plan import plan_notes, plan_table
    from sa_study.study.folder import StudyFolder
    from sa_study.study.plan import make_plan

    console = Console()
    with phases(console) as report:
        made = make_plan(options.config(), StudyFolder.free(study), report)
    console.print(plan_table(made))
    console.print(plan_notes(made))


@takes_study_options
def tune(options: StudyOptions, study: Study) -> None:
    """Launch a study: search settings on a validation split of the training identities.

    The test set plays no part; 'evaluate --study' opens it afterwards.
    """
    config = options.config()
    _show_end(Console(), study, config, _run_launch(Console(), study, config))


def resume(
    study: Study,
    trials: Trials = None,
    time_budget: TimeBudget = None,
    epoch_budget: EpochBudget = None,
    gpu_hours: GpuHours = None,
    max_concurrent: MaxConcurrent = None,
    address: Address = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where the same data lie now.", show_default="as before")
    ] = None,
) -> None:
    """Go on with a study that was stopped or killed, or extend it by more trials or a larger budget."""
    from sa_study.study.config import parse_duration
    from sa_study.study.launch import Changes

    console = Console()
    changes = Changes(
        trials=trials,
        time_budget=parse_duration(time_budget) if time_budget else None,
        epoch_budget=epoch_budget,
        gpu_hours=gpu_hours,
        max_concurrent=max_concurrent,
        address=address,
        data_dir=data_dir.absolute() if data_dir else None,
    )
    config, outcome = _run_resume(console, study, changes)
    _show_end(console, study, config, outcome)


def status(study: Study) -> None:
    """Show what stands in a study, also while it runs; writes nothing."""
    from sa_study.report.study import cost_line, front_table, summary_line, trials_table, verdict
    from sa_study.study.config import StudyConfig
    from sa_study.study.database import open_readonly, read_about, trials_in
    from sa_study.study.folder import StudyFolder
    from sa_study.study.lock import holder
    from sa_study.study.records import choose_winner

    folder = StudyFolder.existing(study)
    config = StudyConfig.read(folder.config)
    database = open_readonly(folder)
    trials = trials_in(database, folder)
    console = Console()
    console.print(trials_table(trials, config))
    if config.minimize:
        console.print(front_table(trials, config))
    console.print(summary_line(trials, config), highlight=False)
    console.print(cost_line(trials, read_about(database, folder)), highlight=False)
    if driver := holder(folder.lock):
        console.print(f"it is being run by {driver}", highlight=False)
    elif any(trial.state.name == "RUNNING" for trial in trials):
        console.print(f"it is not running; go on with: run_study.py resume --study {study}", highlight=False)
    console.print(
        verdict(trials, choose_winner(trials, config.metric), config), highlight=False, style="bold"
    )


def audit(study: Study) -> None:
    """Check that a study's database, results, curves and checkpoints tell the same story; writes nothing.

    For a study whose trials have all ended; reads every checkpoint. Exit code 1 when something contradicts.
    """
    from sa_study.study.audit import audit as find_contradictions

    console = Console()
    found = find_contradictions(study)
    for line in found:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{len(found)} contradictions" if found else "[green]sound[/]", highlight=False)
    if found:
        raise typer.Exit(1)


def demo(
    study: Annotated[Path, typer.Option("--study", help="Folder of the demo's study.")] = Path("runs/demo"),
) -> None:
    """Show the main job on sample data: draw it, tune on it, evaluate the winner and the baseline.

    Needs no GPU, no network and no data; takes a few minutes. Run again, it goes on where it was stopped.
    """
    from sa_study.data.sample import make_sample_data
    from sa_study.report.console import evaluation_table, phases
    from sa_study.space_file import load_space
    from sa_study.study.config import StudyConfig
    from sa_study.study.final import evaluate_study
    from sa_study.study.folder import StudyFolder
    from sa_study.study.launch import Changes

    console = Console()
    if StudyFolder(study).config.exists():
        config, outcome = _run_resume(console, study, Changes())
    else:
        StudyFolder.free(study)
        sample = study.absolute().with_name(f"{study.name}_data")
        if not sample.exists():
            with phases(console) as report:
                make_sample_data(sample, progress=lambda done, total: report("drawing", done, total))
            console.print(f"sample data drawn: {sample}", highlight=False)
        space = load_space(Path("demo"))
        config = StudyConfig(data_dir=sample, space=space, trials=space.trials)
        outcome = _run_launch(console, study, config)
    _show_end(console, study, config, outcome, evaluated=True)
    with phases(console) as report:
        evaluations = evaluate_study(study, None, reranked=True, baseline=True, report=report)
    console.print()
    console.print(evaluation_table(evaluations))
    console.print(
        f"everything is in {study}; its curves: tensorboard --logdir {study / 'tensorboard'}", highlight=False
    )


def _run_launch(console: Console, study: Path, config: StudyConfig) -> Outcome:
    from sa_study.report.study import LiveStudy
    from sa_study.study.launch import launch

    console.print(
        f"study {study}: {config.trials} trials, maximising validation {config.metric}", highlight=False
    )
    with LiveStudy(console, config) as live:
        return launch(study, config, live)


def _run_resume(console: Console, study: Path, changes: Changes) -> tuple[StudyConfig, Outcome]:
    from sa_study.report.study import LiveStudy
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder
    from sa_study.study.launch import resume

    config = StudyConfig.read(StudyFolder.existing(study).config)
    console.print(f"study {study}: going on", highlight=False)
    with LiveStudy(console, config) as live:
        outcome = resume(study, changes, live)
    return StudyConfig.read(StudyFolder.existing(study).config), outcome


def _show_end(
    console: Console, study: Path, config: StudyConfig, outcome: Outcome, *, evaluated: bool = False
) -> None:
    """The study's end in the terminal, and what to do next."""
    from sa_study.report.study import cost_line, front_table, summary_line, trials_table, verdict
    from sa_study.study.launch import INTERRUPTED

    console.print(trials_table(outcome.trials, config, limit=10))
    if config.minimize:
        console.print(front_table(outcome.trials, config))
    console.print(summary_line(outcome.trials, config), highlight=False)
    console.print(cost_line(outcome.trials, outcome.about), highlight=False)
    console.print(verdict(outcome.trials, outcome.winner, config), highlight=False, style="bold")
    if outcome.stopped:
        console.print(f"{outcome.stopped}; go on with: run_study.py resume --study {study}", highlight=False)
    if outcome.winner is not None and not evaluated:
        console.print(
            f"the test set was not opened; next: run_study.py evaluate --study {study}", highlight=False
        )
    if outcome.stopped == INTERRUPTED:
        raise typer.Exit(130)
    if outcome.winner is None and not outcome.stopped:
        raise typer.Exit(1)
