"""Commands that show a study: `report` and `dashboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sa_study.cli.options import Study, path_option


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (report, dashboard):
        app.command()(command)


def report(
    study: Study,
    out: Annotated[
        Path | None,
        path_option("--out", help="HTML file to write.", show_default="report.html in the study's folder"),
    ] = None,
) -> None:
    """Write a page that shows and explains a study: one HTML file, also while the study runs."""
    from sa_study.report.page.write import write_page
    from sa_study.report.terminal.output import say

    console = Console()
    written = write_page(study, out)
    say(console, written.verdict)
    say(console, f"written: {written.path} ({written.size / 1e6:.1f} MB)")


def dashboard(
    study: Study,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65535, help="Of optuna-dashboard.", show_default="8080, or a free one"
        ),
    ] = None,
    tensorboard_port: Annotated[
        int | None,
        typer.Option(
            "--tensorboard-port", min=1, max=65535, help="Of TensorBoard.", show_default="6006, or a free one"
        ),
    ] = None,
) -> None:
    """Open a study in optuna-dashboard and TensorBoard, on this machine only; Ctrl-C ends both."""
    from sa_study.report.dashboard import serve

    raise typer.Exit(serve(study, port, tensorboard_port, Console()))
