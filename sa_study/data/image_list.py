"""Images that belong to no data set: all below a folder, or those that a CSV file lists."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from sa_study.utils.errors import DataError, one_line
from sa_study.utils.files import require_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
"""Ends of the names, in either case, of files that are taken for images in a folder."""

PATH_COLUMN = "path"


def list_images(source: Path) -> list[Path]:
    """The images below a folder, sorted by path, or those of a CSV file, in its order.

    A CSV file has a heading with a column `path`; other columns are ignored, and paths are relative to the
    file's folder. In a folder, files with one of `SUFFIXES` count, in its folders too; links to folders are
    not followed.

    Raises:
        DataError: There is no such folder or file, the file is no such list, or there are no images.
    """
    paths = sorted(_below(source)) if source.is_dir() else list(_listed(source))
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


def _listed(path: Path) -> Iterator[Path]:
    try:
        require_regular(path)
        with path.open(encoding="utf-8-sig", newline="") as file:  # a byte-order mark is Excel's
            rows = csv.DictReader(file, strict=True)
            if PATH_COLUMN not in (rows.fieldnames or ()):
                found = ", ".join(map(repr, rows.fieldnames or ())) or "nothing"
                raise DataError(f"{path}: its first line names no column '{PATH_COLUMN}'; found {found:.200}")
            for row in rows:
                name = row[PATH_COLUMN]
                if not name or "\0" in name:
                    raise DataError(f"{path}, line {rows.line_num}: the column '{PATH_COLUMN}' holds no path")
                yield path.parent / name
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise DataError(f"{path}: is neither a folder of images nor a list of them ({reason})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no CSV file in UTF-8 ({one_line(error)})") from None
