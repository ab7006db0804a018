"""Cases of hostile input, the folder in which each is tried, and helpers that make hostile files."""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REFUSED = "one line, exit code 2, nothing written"
COUNTED = "counted in the report, exit code 0 or 2"
READ = "read as documented"

Words = Sequence[object]


@dataclass(frozen=True)
class Place:
    """The folder of one case.

    Attributes:
        folder: Where the command runs; all of it is compared before and after.
        market: A small data set in it.
        ran: A file that only code inside of the input would make; outside of the folder.
        make_study: Puts a finished study of the data into the folder.
    """

    folder: Path
    market: Path
    ran: Path
    make_study: Callable[[], Path]

    def image(self) -> Path:
        """One training image."""
        return min((self.market / "bounding_box_train").iterdir())


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        kind: Its row of the table in docs/faults.md.
        name: What is wrong.
        build: Makes the input in a place; returns the command.
        ends: The documented behaviour.
        naming: Words that its line, or its report, must have.
    """

    kind: str
    name: str
    build: Callable[[Place], Words]
    ends: str = REFUSED
    naming: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def cases_of(kind: str, rows: Sequence[tuple[Any, ...]], run: Callable[..., Words]) -> list[Case]:
    """Cases that share a command: rows of name, content, then words to name and, for some, how it ends."""
    return [
        Case(kind, name, functools.partial(_run, run, content), *_ends(rest)) for name, content, *rest in rows
    ]


def _run(run: Callable[..., Words], content: object, place: Place) -> Words:
    return run(place, content)


def _ends(rest: list[Any]) -> tuple[str, tuple[str, ...]]:
    naming, ends = rest[0], rest[1] if len(rest) > 1 else REFUSED
    return ends, naming


def put(path: Path, content: bytes | str) -> Path:
    """Writes a file anew: others may share its content by a hard link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def pipe(path: Path) -> Path:
    """A pipe that nobody writes to: whoever opens it to read waits for ever."""
    remove(path)
    os.mkfifo(path)
    return path


def closed(path: Path) -> Path:
    """Takes all rights away."""
    if path.is_file():  # whose content others may share
        put(path, path.read_bytes())
    path.chmod(0)
    return path


def link(path: Path, target: Path | str) -> Path:
    remove(path)
    path.symlink_to(target)
    return path


def folder(path: Path) -> Path:
    remove(path)
    path.mkdir(parents=True)
    return path


def sql(study: Path, statement: str, *values: object) -> None:
    """Changes a study's database."""
    with closing(sqlite3.connect(study / "optuna.db")) as database, database:
        database.execute(statement, values)


def edit(path: Path, **changes: Any) -> None:
    """Changes keys of a YAML mapping; None drops one."""
    values = {**yaml.safe_load(path.read_text()), **changes}
    put(path, yaml.safe_dump({name: value for name, value in values.items() if value is not None}))


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder, with what tells whether it was changed."""
    return dict(sorted(_entries(root)))


def _entries(root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for path in root.rglob("*"):
        state = path.lstat()
        small = path.is_file() and not path.is_symlink() and state.st_size < 2**20
        content: object = path.read_bytes() if small and os.access(path, os.R_OK) else state.st_mtime_ns
        size = 0 if path.is_dir() else state.st_size
        yield os.fsencode(path.relative_to(root)).hex(), (oct(state.st_mode), size, content if size else "")
