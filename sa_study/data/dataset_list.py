"""A data set as a CSV file with a row for each image: read, and written from any known layout.

The file is the user's own: its paths may lead anywhere. No image is opened.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sa_study.data.image_list import PATH_COLUMN, read_rows
from sa_study.data.layouts import LAYOUTS, SPLITS
from sa_study.data.records import DISTRACTOR, ImageRecord, SplitFolder
from sa_study.utils.errors import ConfigError, DataError
from sa_study.utils.files import require_writable, write_text
from sa_study.utils.text import visible

CAMERA_COLUMN = "camid"
COLUMNS = (PATH_COLUMN, "pid", CAMERA_COLUMN, "split")
"""All columns of a list, of which `camid` may be missing."""

_DISTRACTORS, _JUNK = "distractor", "junk"
WORDS = (*SPLITS, _DISTRACTORS, _JUNK)
"""What may stand under `split`; distractors belong to the gallery, junk is left out."""

MAX_LINES = 2_000_000
"""Maximum number of lines: their rows are held in memory, almost a kilobyte each."""

MAX_BYTES = 512 * 2**20
"""Maximum size of the file in bytes."""

_MAX_SHOWN = 60  # maximum number of characters of a cell that a message quotes
_PID = re.compile(r"0{0,18}[1-9][0-9]{0,17}")
_CAMID = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row says: the path, as listed and in full; the camera is None without that column."""

    name: str
    path: Path
    pid: int
    camid: int | None
    line: int


_Images = dict[str, dict[str, _Row]]  # rows by split (or junk) and by the image's normalised path


def read_list(path: Path) -> dict[str, SplitFolder]:
    """Reads train, query and gallery, any of which may be empty; images are sorted by their listed paths.

    Where the file has no column `camid`, every image file gets a camera of its own, a negative number.

    Raises:
        DataError: The file cannot be read, is no such list, or is longer than `MAX_LINES` or `MAX_BYTES`; or
            a row is wrong, repeats another one, or contradicts it.
    """
    images: _Images = {split: {} for split in (*SPLITS, _JUNK)}
    needed = [name for name in COLUMNS if name != CAMERA_COLUMN]
    for line, cells in read_rows(path, needed, COLUMNS, (MAX_LINES, MAX_BYTES)):
        try:
            _add(images, path.parent, line, cells)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
    places = _places(images)
    junk = tuple(images[_JUNK][key].path for key in sorted(images[_JUNK], key=places.__getitem__))
    return {
        split: SplitFolder(
            path,
            split,
            tuple(
                _record(images[split][key], split, own_camera=-1 - places[key])
                for key in sorted(images[split], key=places.__getitem__)
            ),
            junk if split == "gallery" else (),
        )
        for split in SPLITS
    }


def _places(images: _Images) -> dict[str, int]:
    """Each image's place in the order of the listed paths, which a list that moves keeps."""
    names: dict[str, str] = {}
    for rows in images.values():
        for key, row in rows.items():
            names[key] = min(row.name, names.get(key, row.name))
    return {key: place for place, key in enumerate(sorted(names, key=names.__getitem__))}


def _add(images: _Images, folder: Path, line: int, cells: Mapping[str, str]) -> None:
    """Adds an image; a ValueError says what is wrong with its row."""
    word, name = cells["split"], cells[PATH_COLUMN]
    if word not in WORDS:
        raise ValueError(f"the split {_shown(word)} is not one of {', '.join(WORDS)}")
    camera = None if word == _JUNK else _camera(cells.get(CAMERA_COLUMN))
    row = _Row(os.path.normpath(name), folder / name, _identity(word, cells["pid"]), camera, line)
    key = os.path.normpath(row.path)
    split = "gallery" if word == _DISTRACTORS else word
    for other, rows in images.items():
        before = rows.get(key)
        if before and other == split:
            raise ValueError(f"the image {_shown(name)} is in line {before.line} already; take one out")
        if before and (before.pid, before.camid) != (row.pid, row.camid):
            raise ValueError(
                f"the image {_shown(name)} has another identity or camera than in line {before.line}; "
                "correct one of them"
            )
    images[split][key] = row


def _identity(word: str, cell: str) -> int:
    """The identity; the cell of an image that shows nobody in particular is not read."""
    if word in (_DISTRACTORS, _JUNK):
        return DISTRACTOR if word == _DISTRACTORS else -1
    if not _PID.fullmatch(cell):
        raise ValueError(
            f"the pid {_shown(cell)} is not a whole number from 1 to 10^18 - 1; images of nobody have the "
            f"split '{_DISTRACTORS}' or '{_JUNK}'"
        )
    return int(cell)


def _camera(cell: str | None) -> int | None:
    if cell is None:
        return None
    if not _CAMID.fullmatch(cell):
        raise ValueError(
            f"the camid {_shown(cell)} is not a whole number from 0 to 10^9 - 1; leave out the column if the "
            "cameras are not known"
        )
    return int(cell)


def _record(row: _Row, split: str, own_camera: int) -> ImageRecord:
    if row.camid is None:
        return ImageRecord(row.path, row.pid, own_camera, str(row.pid))
    in_name = (row.pid, row.camid) in _parsed_names(row.path.name, split)
    return ImageRecord(row.path, row.pid, row.camid, "" if in_name else f"{row.pid} {row.camid}")


def _parsed_names(name: str, split: str) -> list[tuple[int, int]]:
    """Identity and camera of an image in the layouts that its name fits."""
    parsed = [(layout, found) for layout in LAYOUTS if (found := layout.parse(name))]
    return [(pid + layout.sources[split].offset, camera) for layout, (pid, camera) in parsed]


def _shown(cell: str) -> str:
    return visible(repr(cell), _MAX_SHOWN)


def write_list(folders: Mapping[str, SplitFolder], path: Path) -> None:
    """Writes a list that reads back as the same splits; paths below its folder are relative to it.

    Raises:
        ConfigError: There is such a file.
        DataError: An image cannot be listed: its name is no UTF-8, or it has an identity that is none.
        OSError: The file cannot be written.
    """
    if os.path.lexists(path):
        raise ConfigError(f"--out {path}: exists already; name another file")
    require_writable(path)
    parent, text = path.absolute().parent, io.StringIO()
    write = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerow
    cameras = all(record.camid >= 0 for folder in folders.values() for record in folder.records)
    write([name for name in COLUMNS if cameras or name != CAMERA_COLUMN])
    for split, folder in folders.items():
        for record in folder.records:
            nobody = record.pid == DISTRACTOR
            if nobody and split != "gallery":
                raise DataError(
                    f"{record.path}: has id 0, which means a distractor, but is a {split} image; move it away"
                )
            word = _DISTRACTORS if nobody else split
            write([_listed(record.path, parent), record.pid, *([record.camid] if cameras else ()), word])
        for junk in folder.junk_images:
            write([_listed(junk, parent), -1, *([""] if cameras else ()), _JUNK])
    write_text(path, text.getvalue())


def _listed(path: Path, folder: Path) -> str:
    """The path as it stands in a list in a folder."""
    name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path}: its name is no UTF-8, which a list is written in; rename it") from None
    return name
