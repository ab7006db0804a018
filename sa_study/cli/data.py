"""`data check`, `data list` and `data make`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from sa_study.cli.options import path_argument, path_option

app = typer.Typer(no_args_is_help=True, help="Check a data set, list its images, or draw the sample data.")


@app.command()
def check(
    root: Annotated[
        Path,
        path_argument(
            metavar="DIR",
            help="Market-1501, DukeMTMC-reID, CUHK03-NP or MSMT17 as distributed, any folder laid out like "
            "the first, its parent, or a list of images (LIST.csv).",
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


@app.command("list")
def list_images(
    root: Annotated[Path, path_argument(metavar="DIR", help="Data set as distributed, or its parent.")],
    out: Annotated[
        Path | None,
        path_option(help="File to write; must not exist.", show_default="list.csv in the data set's folder"),
    ] = None,
) -> None:
    """Write a data set as a list, a CSV file with path, pid, camid and split of every image.

    The list can be given in place of the data set (--data-dir LIST.csv), unchanged or edited.
    """
    from sa_study.data.dataset import ReidDataset
    from sa_study.data.dataset_list import write_list
    from sa_study.data.layouts import is_list
    from sa_study.report.terminal.console import make_console, say

    dataset = ReidDataset(root)
    path = out or (dataset.root.parent if is_list(dataset.root) else dataset.root) / "list.csv"
    write_list(dataset.folders, path)
    say(make_console(), f"written: {path}")


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
