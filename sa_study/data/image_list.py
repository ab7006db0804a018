"""Images that belong to no data set: all below a folder, or those that a CSV file lists."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from sa_study.utils.errors import DataError, one_line
from sa_study.utils.files import require_regular
from sa_study.utils.text import visible

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""Suffixes, in upper or lower case, of the files in a folder that count as images."""

PATH_COLUMN = "path"

_MAX_SHOWN = 200  # maximum number of characters of a file's heading that a message quotes


def list_images(source: Path) -> list[Path]:
    """The images below a folder, sorted by path, or those of a CSV file, in its order.

    A CSV file has a heading with a column `path`; other columns are ignored, and paths are relative to the
    file's folder. In a folder, files with one of `SUFFIXES` count, in its folders too; links to folders are
    not followed.

    Raises:
        DataError: There is no such folder or file, the file is no such list, or there are no images.
    """
    if source.is_dir():
        paths = sorted(_below(source))
    else:
        paths = [source.parent / row[PATH_COLUMN] for _, row in read_rows(source, [PATH_COLUMN])]
    if not paths:
        what = f"no file that ends in {', '.join(SUFFIXES)}" if source.is_dir() else "no rows"
        raise DataError(f"{source}: holds no images; found {what}")
    return paths


def _below(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root, onerror=_refuse):
        for name in names:
            if name.lower().endswith(SUFFIXES):
                yield Path(folder, name)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from None


def read_rows(
    path: Path,
    needed: Collection[str],
    allowed: Collection[str] | None = None,
    limits: tuple[int, int] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file that lists images, each with the number of the line on which it ends.

    Args:
        path: The file: UTF-8, with a heading; blank lines are skipped.
        needed: Columns that it must have; among them `path`, whose cells are not empty.
        allowed: All columns that it may have; None for any.
        limits: The most lines and the most bytes that it may have; None for any number.

    Raises:
        DataError: It cannot be read, is too long, is no CSV file, lacks a needed column or a path; or, where
            columns are limited, it has another one or one twice, or a row whose length is not the first's.
    """
    try:
        size = require_regular(path)
        if limits:
            _check_length(path, size, *limits)
        with path.open(encoding="utf-8-sig", newline="") as file:  # a byte-order mark is Excel's
            rows = csv.DictReader(file, strict=True)
            _check_heading(path, rows.fieldnames or (), needed, allowed)
            for row in rows:
                if allowed is not None and (None in row or None in row.values()):
                    raise DataError(
                        f"{path}, line {rows.line_num}: has more or fewer cells than the first line"
                    )
                if not row[PATH_COLUMN] or "\0" in row[PATH_COLUMN]:
                    raise DataError(f"{path}, line {rows.line_num}: the column '{PATH_COLUMN}' holds no path")
                yield rows.line_num, row
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DataError(f"{path}: is neither a folder of images nor a list of them ({reason})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no CSV file in UTF-8 ({one_line(error)})") from None


def _check_length(path: Path, size: int, max_lines: int, max_bytes: int) -> None:
    """Refuses a file that is too long before any of its rows takes memory."""
    if size > max_bytes:
        raise DataError(f"{path}: has {size:,} bytes; a list of images may have {max_bytes:,}")
    with path.open("rb") as file:
        # Either may end a line, or both together.
        ends = [(part.count(b"\n"), part.count(b"\r")) for part in iter(partial(file.read, 2**20), b"")]
    lines = max(map(sum, zip(*ends, strict=True)), default=0)
    if lines > max_lines:
        raise DataError(f"{path}: has {lines:,} lines; a list of images may have {max_lines:,}")


def _check_heading(
    path: Path, found: Sequence[str], needed: Collection[str], allowed: Collection[str] | None
) -> None:
    shown = visible(", ".join(map(repr, found)) or "nothing", _MAX_SHOWN)
    for name in needed:
        if name not in found:
            raise DataError(
                f"{path}: its first line names no column '{name}'; found {shown}{_hint(name, found)}"
            )
    if allowed is None:
        return
    for name in found:
        if name not in allowed or found.count(name) > 1:
            problem = "twice the column" if name in allowed else "unknown column"
            raise DataError(
                f"{path}: its first line names {problem} {visible(repr(name), 60)}; "
                f"allowed are {', '.join(allowed)}"
            )


def _hint(name: str, found: Sequence[str]) -> str:
    """Advice for a heading that lacks a column, where one is likely to help."""
    if len(found) == 1 and ";" in found[0]:
        return "; separate the columns by commas"
    if name in [other.strip().lower() for other in found]:
        return f"; write '{name}'"
    return ""
