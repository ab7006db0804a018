"""`export`: files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sa_study.cli.options import Set, StudyUnlessWeights, Weights, path_option, require_one_network
from sa_study.utils.errors import ConfigError


def export(
    context: typer.Context,
    study: StudyUnlessWeights = None,
    weights: Weights = None,
    out: Annotated[
        Path | None, path_option(help="Folder to write.", show_default="export in the study's folder")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Which to write, separated by commas: onnx and torch (the feature network), trials (CSV, "
            "Parquet), markdown (a paper's table, also in LaTeX).",
            show_default="all that are available",
        ),
    ] = None,
    overrides: Set = None,
) -> None:
    """Export for other programs: the winner's network (checked), all trials, a table for a paper.

    A study may still run; only the export is written.
    """
    from sa_study.export.export import export_study, export_weights
    from sa_study.report.terminal.console import make_console, phases, say
    from sa_study.report.terminal.tables import files_table
    from sa_study.settings.yaml_files import parse_assignments

    values = parse_assignments(overrides or [])
    study = require_one_network(context, study, weights)
    if study is not None and values:
        raise ConfigError("export --study: takes no --set; its winner's settings are known")
    console = make_console()
    with phases(console) as report:
        if study is not None:
            exported = export_study(study, out, formats, report)
        elif weights is not None:
            if out is None:
                raise ConfigError("export --weights: needs --out")
            exported = export_weights(weights, out, formats, values, report)
    console.print(files_table(exported.files, exported.differences))
    for note in exported.notes:
        say(console, note, "yellow")
    say(console, f"written: {exported.out}")
