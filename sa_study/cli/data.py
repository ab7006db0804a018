"""`data check` and `data make`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from sa_study.cli.options import path_argument

app = typer.Typer(no_args_is_help=True, help="Check a data set, or draw the sample data.")


@app.command()
def check(
    root: Annotated[
        Path,
        path_argument(
            metavar="DIR",
            help="Market-1501, DukeMTMC-reID, CUHK03-NP or MSMT17 as distributed, any folder laid out like "
            "the first, or its parent.",
        ),
    ],
) -> None:
    """Read every image; print the recognised layout and why, counts, warnings and errors."""
    from sa_study.data.check import check_dataset
    from sa_study.report.terminal.console import make_console, phases
    from sa_study.report.terminal.tables import data_table
    from sa_study.utils.text import visible

    console = make_console()
    with phases(console) as report:
        found = check_dataset(root, progress=partial(report, "images"))
    for line in found.explanation:
        console.print(Text(visible(line)), soft_wrap=True)
    console.print(data_table(found))
    for style, label, lines in (("yellow", "warning", found.warnings), ("red", "error", found.errors)):
        for line in lines:
            console.print(Text.assemble((f"{label}:", style), " ", visible(line)), soft_wrap=True)
    if not found.ok:
        raise typer.Exit(2)
    console.print("[green]usable[/]")


@app.command()
def make(
    root: Annotated[Path, path_argument(metavar="DIR", help="Folder to write; must not exist.")],
    identities: Annotated[
        int | None, typer.Option(help="Training identities; a third as many test identities come on top.")
    ] = None,
    images_per_camera: Annotated[int | None, typer.Option(help="Images per person and camera.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
) -> None:
    """Draw sample data in Market-1501's layout: little pedestrians under six cameras."""
    from sa_study.data.sample import make_sample_data
    from sa_study.report.terminal.console import make_console, phases, say

    console = make_console()
    chosen = {"identities": identities, "images_per_camera": images_per_camera}
    options = {name: value for name, value in chosen.items() if value is not None}
    with phases(console) as report:
        folder = make_sample_data(root, seed=seed, progress=partial(report, "drawing"), **options)
    say(console, f"drawn: {folder}")
