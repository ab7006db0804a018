"""`report`: a study as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sa_study.cli.options import Study, path_option


def report(
    study: Study,
    out: Annotated[
        Path | None,
        path_option(help="HTML file to write.", show_default="report.html in the study's folder"),
    ] = None,
) -> None:
    """Write a page that shows and explains a study: one HTML file, also while the study runs."""
    from sa_study.report.page.render import write_page
    from sa_study.report.terminal.console import make_console, say

    console = make_console()
    path, verdict = write_page(study, out)
    say(console, verdict)
    say(console, f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
