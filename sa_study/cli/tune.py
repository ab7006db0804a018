"""`tune`: launch a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sa_study.cli.options import Json, Quiet, Study, StudyOptions, expand_options, given_options, path_option
from sa_study.utils.errors import ConfigError


@expand_options
def tune(
    options: StudyOptions,
    context: typer.Context,
    study: Study,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the study if it exists already. Options that 'resume' lacks must then be as before.",
        ),
    ] = False,
    start_from: Annotated[
        Path | None, path_option("--from", help="Run the best configurations of this study first.")
    ] = None,
    top: Annotated[int, typer.Option(help="With --from: how many of them.", min=1)] = 3,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Launch a study: search settings on a validation split of the training identities.

    The test set plays no part; 'evaluate --study' opens it afterwards.
    """
    from sa_study.report.terminal.console import Output
    from sa_study.report.terminal.launch import launch_with_live_view, resume_with_live_view, show_end
    from sa_study.study.config import StudyConfig
    from sa_study.study.folder import StudyFolder
    from sa_study.study.summary import StudySummary
    from sa_study.tuning.launch.prepare import changes_from_options
    from sa_study.tuning.search.initial_trials import require_same_start

    if start_from is None and "top" in given_options(context):
        raise ConfigError("--top: needs --from, whose best configurations it counts")
    config, output = options.config(), Output(quiet, as_json)
    if resume and (description := StudyFolder(study).config).exists():
        if start_from is not None:
            require_same_start(StudySummary.read(study), start_from)
        changes = changes_from_options(StudyConfig.read(description), config, given_options(context))
        outcome = resume_with_live_view(output, study, changes)
    else:
        outcome = launch_with_live_view(output, study, config, start_from, top)
    return show_end(output, study, outcome)
