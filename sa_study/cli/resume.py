"""`resume`: resume a study."""

from __future__ import annotations

from sa_study.cli.options import Json, Quiet, ResumeOptions, Study, expand_options


@expand_options
def resume(options: ResumeOptions, study: Study, quiet: Quiet = False, as_json: Json = False) -> int:
    """Resume a study that was stopped or killed, or extend it by more trials or a larger budget."""
    from sa_study.report.terminal.console import Output
    from sa_study.report.terminal.launch import resume_with_live_view, show_end

    output = Output(quiet, as_json)
    return show_end(output, study, resume_with_live_view(output, study, options.changes()))
