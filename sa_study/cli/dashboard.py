"""`dashboard`: a study in optuna-dashboard and TensorBoard."""

from __future__ import annotations

from typing import Annotated

import typer

from sa_study.cli.options import Study


def dashboard(
    study: Study,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of optuna-dashboard.", show_default="8080, or a free one"),
    ] = None,
    tensorboard_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of TensorBoard.", show_default="6006, or a free one"),
    ] = None,
) -> int:
    """Open a study in optuna-dashboard and TensorBoard, on this machine only; Ctrl-C ends both."""
    from sa_study.report.dashboard import serve
    from sa_study.report.terminal.console import make_console

    return serve(study, port, tensorboard_port, make_console())
