"""Cases of hostile input, the folder in which each is tried, and helpers that make hostile files."""

from __future__ import annotations

import functools
import json
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
        make_study: Puts a finished study of the data into the folder.
    """

    folder: Path
    market: Path
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


def cases_of(
    kind: str,
    rows: Sequence[tuple[Any, ...]],
    run: Callable[..., Words],
    ends: str = REFUSED,
    naming: tuple[str, ...] = (),
) -> list[Case]:
    """Cases that share a command, each from a row: its name, the content, words and, for some, how it ends.

    Args:
        kind: As a case's.
        rows: The cases; their words, which the line of error must have, are a tuple, or a text for one.
        run: Makes the input in a place from the content; returns the command.
        ends: The documented behaviour of the rows that do not have their own.
        naming: Words that the line of every case must have.
    """
    return [
        Case(
            kind,
            name,
            functools.partial(run, content=content),
            own_end[0] if own_end else ends,
            (*naming, *((words,) if isinstance(words, str) else words)),
        )
        for name, content, words, *own_end in rows
    ]


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
    """Takes all permissions away from a file or a folder."""
    if path.is_file():  # another name may share it by a hard link
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


SPECIAL: list[tuple[str, Callable[[Path], object], str]] = [
    ("a pipe", pipe, "no regular file"),
    ("a folder", folder, "directory"),
    ("one that may not be read", lambda path: closed(put(path, "x")), "denied"),
    ("a device that never ends", lambda path: link(path, "/dev/zero"), "no regular file"),
    ("a link to nothing", lambda path: link(path, "gone"), "No such file"),
    ("a link to itself", lambda path: link(path, path.name), ""),
]
"""What may stand in place of a file: rows for `cases_of`."""


def sql(study: Path, statement: str, *values: object) -> None:
    """Changes a study's database."""
    with closing(sqlite3.connect(study / "optuna.db")) as database, database:
        database.execute(statement, values)


def edit(path: Path, **changes: Any) -> None:
    """Changes keys of a YAML or JSON mapping; None drops one."""
    load, dump = (json.loads, json.dumps) if path.suffix == ".json" else (yaml.safe_load, yaml.safe_dump)
    values = {**load(path.read_text()), **changes}
    put(path, dump({name: value for name, value in values.items() if value is not None}))


def written(name: str, content: bytes | str) -> Callable[[Path], object]:
    """Writes a file of a study."""
    return lambda study: put(study / name, content)


def made(make: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    """Puts something else in place of a study's file."""
    return lambda study: make(study / name)


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
