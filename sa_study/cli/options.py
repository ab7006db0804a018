"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", help="Market-1501 folder as distributed (or its parent).", show_default=False),
]
Study = Annotated[Path, typer.Option("--study", help="Folder of the study.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder for the run.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a setting; may be repeated. See 'settings'."),
]
Rerank = Annotated[bool, typer.Option("--rerank", help="Also k-reciprocal re-ranking.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run in --out was stopped.")]
