"""Reads files that list a data set's images. They are not trusted: bad lines are skipped and counted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sa_study.data.layouts import Layout, Part
from sa_study.utils.errors import DataError

MAX_FILE_BYTES = 64 * 2**20
"""Most bytes of a list file; MSMT17's longest has 4 MB."""

_ID = re.compile(r"[0-9]{1,6}")
MAX_SHOWN = 60
"""Most characters of a line that a message quotes."""

OUTSIDE = "path leads out of the folder"
MALFORMED = "not a path and an id"
MISNAMED = "image of another name"
OTHER_ID = "id is not the one in the image's name"
TWICE = "image is listed twice"


@dataclass(slots=True)
class SkippedLines:
    """Lines that were skipped for the same reason.

    Attributes:
        count: How many.
        example: The first, with its file's name and number, safe to show.
    """

    count: int = 0
    example: str = ""


@dataclass(slots=True)
class Listing:
    """The images that one split's list files name.

    Attributes:
        images: Path below the split's folder, id and camera (from 0) of each image, sorted by path.
        used: Images by list file.
        skipped: Skipped lines, by reason.
        missing: Listed images that are not there.
    """

    images: list[tuple[str, int, int]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, SkippedLines] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def skip(self, reason: str, line: str) -> None:
        """Counts a skipped line."""
        self.skipped.setdefault(reason, SkippedLines(example=line)).count += 1


def read_lists(root: Path, part: Part, layout: Layout) -> Listing:
    """Reads a split's list files and looks for the images that they name; none is opened.

    Args:
        root: The data set.
        part: The split; its folder is there.
        layout: How images are named.

    Raises:
        DataError: A list file is missing, too large or no text.
    """
    listing, index = Listing(), _FileIndex(root / part.folder)
    listed = set[str]()
    for name in part.lists:
        listing.used[name] = 0
        for number, line in _lines(root / name):
            found = _image(line, layout)
            if not isinstance(found, str):
                found = TWICE if found[0] in listed else OUTSIDE if index.leads_out(found[0]) else found
            if isinstance(found, str):
                listing.skip(found, f"{name}:{number}: {_shown(line)}")
                continue
            path, pid, camera = found
            listed.add(path)
            if index.holds(path):
                listing.used[name] += 1
                listing.images.append((path, pid + part.offset, camera))
            else:
                listing.missing.append(_clipped(path))
    listing.images.sort()
    return listing


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not blank, with their numbers from 1."""
    try:
        if not path.is_file():
            raise DataError(
                f"{path.parent}: no file {path.name}; restore it, or put an empty one there to do without"
            )
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise DataError(f"{path}: has more than {MAX_FILE_BYTES // 2**20} MB; is this a list of images?")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it lists the data set's images") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text (byte {error.start + 1}); restore it") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            yield number, line


def _image(line: str, layout: Layout) -> tuple[str, int, int] | str:
    """An image's path, id and camera, or why the line gives none."""
    path, *label = line.rsplit(maxsplit=1)
    if not label or not _ID.fullmatch(label[0]):
        return MALFORMED
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        return OUTSIDE
    parsed = layout.parse(parts[-1]) if parts and path.isprintable() else None
    if parsed is None:
        return MISNAMED
    if parsed[0] != int(label[0]):
        return OTHER_ID
    return "/".join(parts), *parsed


class _FileIndex:
    """The files below a folder; each folder is listed once, as a data set has a hundred thousand files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._listed: dict[str, dict[str, bool] | None] = {}

    def holds(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, _, name = path.rpartition("/")
        return name in (self._names(folder) or ())

    def leads_out(self, path: str) -> bool:
        """Whether a link on the way to the file leads out of the folder."""
        folder, _, name = path.rpartition("/")
        names = self._names(folder)
        if names is None:
            return True
        return names.get(name, False) and not self._inside(os.path.realpath(self._folder / path))

    def _names(self, folder: str) -> dict[str, bool] | None:
        """The files of a folder and whether each is a link; None for a folder that lies elsewhere."""
        if folder not in self._listed:
            self._listed[folder] = self._list(self._folder / folder)
        return self._listed[folder]

    def _list(self, folder: Path) -> dict[str, bool] | None:
        try:
            if not folder.is_dir():
                return {}
        except OSError:  # such as a name too long to be one
            return {}
        if not self._inside(os.path.realpath(folder)):
            return None
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.is_symlink() for entry in entries if _may_be_file(entry)}
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; a list names images in it") from error

    def _inside(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real + os.sep)


def _shown(line: str) -> str:
    return repr(_clipped(line))


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_file()
