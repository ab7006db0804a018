"""Reads a data set in one of the known layouts: three splits of images named by identity and camera.

Only names are read here, in folders and in files that list images; no image is opened. List files
are not trusted: their bad lines are skipped and counted.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sa_study.data.layouts import SPLITS, Layout, SplitSource, find_dataset, names_in, require_folder
from sa_study.utils.errors import DataError
from sa_study.utils.files import read_bytes
from sa_study.utils.text import a_few

DISTRACTOR = 0

MAX_LIST_BYTES = 64 * 2**20
"""Most bytes of a list file; MSMT17's longest has 4 MB."""

MAX_SHOWN = 60
"""Most characters of a line that a message quotes."""

OUTSIDE = "path leads out of the folder"
MALFORMED = "not a path and an id"
MISNAMED = "image of another name"
OTHER_ID = "id is not the one in the image's name"
TWICE = "image is listed twice"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file.

    Attributes:
        path: Absolute path of the file.
        pid: Identity as in the file name, plus what the layout adds; 0 marks a distractor.
        camid: Camera, counted from 0 (one less than in the file name).
    """

    path: Path
    pid: int
    camid: int


@dataclass(slots=True)
class SkippedLines:
    """Lines that were skipped for the same reason: how many, and the first with its place, safe to show."""

    count: int = 0
    example: str = ""


@dataclass(slots=True)
class SplitFolder:
    """What one split of the data set was read from, and what was found there.

    Attributes:
        path: The folder.
        example: An image's name in the layout.
        records: Its images, sorted by file name, junk left out.
        junk: Number of images with id -1, which count neither as matches nor as mistakes.
        stray: Names of everything else, such as `Thumbs.db` or images that are named differently.
        used: Number of images by list file, where the layout has list files.
        skipped: Skipped lines of list files, by reason.
        missing: Images that list files name but that do not exist.
    """

    path: Path
    example: str
    records: tuple[ImageRecord, ...] = ()
    junk: int = 0
    stray: tuple[str, ...] = ()
    used: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, SkippedLines] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def stray_count(self) -> int:
        """Number of files, or lines of list files, that name no image to use."""
        return len(self.stray) + sum(lines.count for lines in self.skipped.values())

    def require_images(self) -> None:
        """Raises DataError if the folder holds no image to use, or not all that its list files name."""
        lists = " and ".join(self.used)
        if self.missing:
            lost = f"{len(self.missing)} images of {lists} are missing ({a_few(self.missing)})"
            raise DataError(f"{self.path}: {lost}; restore them, or take their lines out")
        if self.records:
            return
        if self.used:
            reasons = [f"{lines.count} × {why} ({lines.example})" for why, lines in self.skipped.items()]
            raise DataError(
                f"{self.path.parent}: no line of {lists} like '{self.example} ID'; "
                f"found {'; '.join(reasons) or 'nothing'}"
            )
        raise DataError(
            f"{self.path}: no image named like {self.example}; "
            f"found {a_few(self.stray)} and {self.junk} junk images (id -1)"
        )


class ReidDataset:
    """The three splits of a data set in a known layout.

    Attributes:
        root: The folder that holds the image folders.
        layout: Which layout it is.
        folders: What was found, by split: train, query, gallery.
        train: Training images, sorted by file name; like the other two, empty if its split was not read.
        query: Query images, likewise.
        gallery: Gallery images, likewise, distractors (id 0) included, junk left out.

    Args:
        root: The folder as distributed (`Market-1501-v15.09.15`) or its parent; `~` is the home folder.
        splits: The splits to read; other splits need not exist. An evaluation needs `TEST_SPLITS`.

    Raises:
        DataError: A folder is missing, not a folder, or holds no images.
        ConfigError: The home folder is not known.
    """

    def __init__(self, root: Path | str, splits: Sequence[str] = SPLITS) -> None:
        self.root, layout = find_dataset(root)
        self.folders = {split: read_split(self.root, layout, split) for split in splits}
        for folder in self.folders.values():
            folder.require_images()
        self.layout = recognise_kind(layout, self.folders)
        self.train, self.query, self.gallery = (
            self.folders[split].records if split in self.folders else () for split in SPLITS
        )

    def require_disjoint(self) -> None:
        """Raises DataError if an identity is in both the training and the test folders."""
        if shared := shared_identities(self.train, self.query + self.gallery):
            raise DataError(overlap_message(shared))

    def require_matches(self) -> None:
        """Raises DataError if no query's identity is in the gallery under another camera."""
        if len(queries_without_match(self.query, self.gallery)) == len(self.query):
            raise DataError(f"{self.root}: no query has its identity in the gallery by another camera")


def queries_without_match(query: Sequence[ImageRecord], gallery: Sequence[ImageRecord]) -> tuple[Path, ...]:
    """Returns the queries whose identity is in the gallery by no other camera."""
    cameras = cameras_by_identity(gallery)
    return tuple(record.path for record in query if not cameras.get(record.pid, set()) - {record.camid})


def cameras_by_identity(records: Iterable[ImageRecord]) -> dict[int, set[int]]:
    """Returns the cameras that saw each identity; distractors are left out."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in records:
        if record.pid != DISTRACTOR:
            cameras[record.pid].add(record.camid)
    return cameras


def shared_identities(train: Iterable[ImageRecord], test: Iterable[ImageRecord]) -> tuple[int, ...]:
    """Returns the sorted ids on both sides; distractors do not count."""
    return tuple(sorted({r.pid for r in train} & {r.pid for r in test} - {DISTRACTOR}))


def overlap_message(shared: tuple[int, ...]) -> str:
    """Says in one line which identities are on both sides and what to do."""
    ids = a_few([str(pid) for pid in shared])
    return f"{len(shared)} identities are in both the training and the test folders ({ids}); keep one side"


def recognise_kind(layout: Layout, folders: Mapping[str, SplitFolder]) -> Layout:
    """The layout itself, or the first of its kinds whose stricter naming all images follow."""
    names = [record.path.name for folder in folders.values() for record in folder.records]
    if not names or any(folder.junk for folder in folders.values()):
        return layout
    return next((kind for kind in layout.kinds if all(map(kind.parse, names))), layout)


def read_split(root: Path, layout: Layout, split: str) -> SplitFolder:
    """Lists the images of one split, which may be none.

    Raises:
        DataError: A folder or a list file is missing, of another kind, or may not be read.
    """
    source = layout.sources[split]
    folder = SplitFolder(root / source.folder, layout.example)
    require_folder(folder.path, layout)
    if source.lists:
        _read_lists(folder, source, layout)
        return folder
    parsed = [(name, layout.parse(name)) for name in names_in(folder.path)]
    folder.stray = tuple(name for name, found in parsed if found is None)
    folder.junk = sum(found is not None and found[0] == layout.junk for _, found in parsed)
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
            found = _image(line, layout)
            if not isinstance(found, str) and found[0] in listed:
                found = TWICE
            exists = None if isinstance(found, str) else index.has(found[0])
            if isinstance(found, str) or exists is None:
                why = found if isinstance(found, str) else OUTSIDE
                example = f"{name}:{number}: {_clipped(line)!r}"
                folder.skipped.setdefault(why, SkippedLines(example=example)).count += 1
                continue
            path, pid, camera = found
            listed.add(path)
            if exists:
                folder.used[name] += 1
                images.append((path, pid + source.offset, camera))
            else:
                folder.missing.append(_clipped(path))
    folder.records = tuple(ImageRecord(folder.path / path, *who) for path, *who in sorted(images))


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


def _image(line: str, layout: Layout) -> tuple[str, int, int] | str:
    """An image's path, id and camera, or why the line is skipped."""
    path, *label = line.rsplit(maxsplit=1)
    if not label or not re.fullmatch(r"[0-9]{1,6}", label[0]):
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


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


class _FileIndex:
    """The files below a folder; each folder is listed once, as a data set has a hundred thousand files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._listed: dict[str, dict[str, bool] | None] = {}

    def has(self, path: str) -> bool | None:
        """Whether the file exists; None where a link in its path leads out of the folder."""
        folder, _, name = path.rpartition("/")
        if folder not in self._listed:
            self._listed[folder] = self._list(self._folder / folder)
        names = self._listed[folder]
        if names is None or (names.get(name) and self._is_outside(self._folder / path)):
            return None
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
