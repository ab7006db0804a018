"""`demo`: a whole study on sample data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sa_study.cli.options import Json, Quiet, path_option

if TYPE_CHECKING:
    from sa_study.report.terminal.console import Output
    from sa_study.study.config import StudyConfig


def demo(
    study: Annotated[Path, path_option(help="Folder of the demo's study.")] = Path("runs/demo"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a whole study on sample data: draw the data, tune, evaluate, make the pictures and the page.

    Needs no GPU, no network and no data; takes a few minutes. Run again, it resumes where it was stopped.
    """
    from sa_study.analysis.final.evaluate import evaluate_study
    from sa_study.report.json_document import study_document
    from sa_study.report.page.render import write_page
    from sa_study.report.pictures.make import make_study_pictures
    from sa_study.report.terminal.console import Output, phases
    from sa_study.report.terminal.launch import launch_with_live_view, resume_with_live_view, show_end
    from sa_study.report.terminal.tables import evaluation_table
    from sa_study.report.text import command
    from sa_study.study.folder import StudyFolder
    from sa_study.study.summary import StudySummary
    from sa_study.tuning.launch.prepare import StudyChanges

    output = Output(quiet, as_json)
    if StudyFolder(study).config.exists():
        outcome = resume_with_live_view(output, study, StudyChanges())
    else:
        outcome = launch_with_live_view(output, study, _demo_study(output, study))
    if code := show_end(output, study, outcome, evaluated=True):
        return code
    with phases(output.console) as report:
        found = evaluate_study(study, None, reranked=True, baseline=True, report=report)
    output.console.print()
    output.result_console.print(evaluation_table(found.evaluations, found.ledger.sentence))
    with phases(output.console) as report:
        make_study_pictures(study, report=report)
    page, _ = write_page(study, None)
    output.say(f"everything is in {study}; begin with its page: {page}")
    output.say(f"live and in the browser: {command('dashboard', '--study', study)}")
    document = study_document(StudySummary.read(study))
    output.document({**document, "evaluations": found.evaluations})
    return 0


def _demo_study(output: Output, study: Path) -> StudyConfig:
    """Describes a study of the sample data, which are drawn beside it if they are not there yet."""
    from sa_study.data.sample import make_sample_data
    from sa_study.report.terminal.console import phases
    from sa_study.settings.space_file import load_space
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder

    StudyFolder.new(study)
    sample = study.absolute().with_name(f"{study.name}_data")
    if not sample.exists():
        with phases(output.console) as report:
            make_sample_data(sample, progress=partial(report, "drawing"))
        output.say(f"sample data drawn: {sample}")
    space = load_space(Path("demo"))
    return StudyConfig(data_dir=sample, space=space, trials=space.trials)
