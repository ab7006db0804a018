"""Reads the images of a data set's folders, by their names or by the lists beside them.

No image is opened. List files are not trusted: their bad lines are skipped and counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sa_study.data.layouts import Layout, SplitSource, names_in, require_folder
from sa_study.data.records import ImageRecord, SkippedLines, SplitFolder
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_bytes

MAX_LIST_BYTES = 64 * 2**20
"""Maximum size of a list file in bytes; MSMT17's longest has 4 MB."""

MAX_SHOWN = 60
"""Maximum number of characters of a line that a message quotes."""

OUTSIDE = "path leads out of the folder"
MALFORMED = "not a path and an id"
MISNAMED = "image of another name"
OTHER_ID = "id is not the one in the image's name"
TWICE = "image is listed twice"


def read_split(root: Path, layout: Layout, split: str) -> SplitFolder:
    """Lists the images of one split, maybe none; DataError if a folder or a list file cannot be read."""
    source = layout.sources[split]
    folder = SplitFolder(root / source.folder, layout.example)
    require_folder(folder.path, layout)
    if source.lists:
        _read_lists(folder, source, layout)
        return folder
    parsed = [(name, layout.parse(name)) for name in names_in(folder.path)]
    folder.stray = tuple(name for name, found in parsed if found is None)
    folder.junk_images = tuple(
        folder.path / name for name, found in parsed if found is not None and found[0] == layout.junk
    )
    folder.records = tuple(
        ImageRecord(folder.path / name, found[0] + source.offset, found[1])
        for name, found in parsed
        if found is not None and found[0] != layout.junk
    )
    return folder


def _read_lists(folder: SplitFolder, source: SplitSource, layout: Layout) -> None:
    """Reads a split's list files and finds the images that they name."""
    index, listed, images = _FileIndex(folder.path), set[str](), []
    for name in source.lists:
        folder.used[name] = 0
        for number, line in _lines(folder.path.parent / name):
            try:
                path, pid, camera = _image(line, layout)
                if path in listed:
                    raise ValueError(TWICE)
                exists = index.has(path)
            except ValueError as reason:
                example = f"{name}:{number}: {_clipped(line)!r}"
                folder.skipped.setdefault(str(reason), SkippedLines(example=example)).count += 1
                continue
            listed.add(path)
            if exists:
                folder.used[name] += 1
                images.append((path, pid + source.offset, camera))
            else:
                folder.missing.append(_clipped(path))
    folder.records = tuple(
        ImageRecord(folder.path / path, pid, camera) for path, pid, camera in sorted(images)
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not blank, with their numbers from 1."""
    try:
        if not path.is_file():
            advice = "restore it, or put an empty file in its place"
            raise DataError(f"{path.parent}: no file {path.name}; {advice}")
        text = read_bytes(path, MAX_LIST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; is this a list of the data set's images?") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text (byte {error.start + 1}); restore it") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            yield number, line


def _image(line: str, layout: Layout) -> tuple[str, int, int]:
    """An image's path, id and camera; a ValueError says why the line is skipped."""
    path, *label = line.rsplit(maxsplit=1)
    if not label or not re.fullmatch(r"[0-9]{1,6}", label[0]):
        raise ValueError(MALFORMED)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise ValueError(OUTSIDE)
    parsed = layout.parse(parts[-1]) if parts and path.isprintable() else None
    if parsed is None:
        raise ValueError(MISNAMED)
    if parsed[0] != int(label[0]):
        raise ValueError(OTHER_ID)
    return "/".join(parts), *parsed


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


class _FileIndex:
    """The files below a folder; each folder is listed once, as a data set has a hundred thousand files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._listed: dict[str, dict[str, bool] | None] = {}

    def has(self, path: str) -> bool:
        """Whether the file exists; ValueError where a link in its path leads out of the folder."""
        folder, _, name = path.rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = self._list(self._folder / folder)
        names = self._listed[folder]
        if names is None or (names.get(name) and self._is_outside(self._folder / path)):
            raise ValueError(OUTSIDE)
        return name in names

    def _list(self, folder: Path) -> dict[str, bool] | None:
        """The files of a folder and whether each is a link; None for a folder that lies elsewhere."""
        if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for a name too long to be one
            return {}
        if self._is_outside(folder):
            return None
        try:
            with os.scandir(folder) as entries:
                return {e.name: e.is_symlink() for e in entries if e.is_symlink() or e.is_file()}
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror}; a list names images in it") from error

    def _is_outside(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return real != self._real and not real.startswith(self._real + os.sep)
