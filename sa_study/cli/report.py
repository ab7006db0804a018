"""`report`: a study, or several side by side, as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sa_study.cli.options import StudyUnlessNamed, given_options, path_argument, path_option
from sa_study.utils.errors import ConfigError


def report(
    context: typer.Context,
    studies: Annotated[
        list[Path] | None,
        path_argument(metavar="[STUDY]...", help="Folders of studies; several are compared on one page."),
    ] = None,
    study: StudyUnlessNamed = None,
    out: Annotated[
        Path | None,
        path_option(
            help="HTML file to write.",
            show_default="report.html in the study's folder; for several studies comparison.html here",
        ),
    ] = None,
) -> None:
    """Write one HTML file that shows and explains a study, or compares several, also while they run."""
    from sa_study.report.page.render import write_comparison, write_page
    from sa_study.report.terminal.console import make_console, say

    if studies and "study" in given_options(context):
        raise ConfigError("report: give the studies' folders alone, or one by --study")
    roots = studies or ([study] if study else [])
    if not roots:
        raise ConfigError("report: give a study's folder by --study, or the folders of several to compare")
    console = make_console()
    path, verdict = write_page(roots[0], out) if len(roots) == 1 else write_comparison(roots, out)
    say(console, verdict)
    say(console, f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
