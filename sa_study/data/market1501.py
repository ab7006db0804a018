"""Reads a data set in Market-1501's layout: three folders of images whose names say who and which camera.

Only names are listed here; no image is opened.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sa_study.errors import DataError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
JUNK = -1
DISTRACTOR = 0

_LAYOUT = "the folder that holds bounding_box_train, query and bounding_box_test, or its parent"
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
# Bounded so that ids and cameras fit into int64 arrays. Cameras count from 1.
_NAME = re.compile(r"(-1|[0-9]{1,18})_c0*([1-9][0-9]{0,8})(?![0-9])")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file.

    Attributes:
        path: Absolute path of the file.
        pid: Identity as in the file name; 0 marks a distractor.
        camid: Camera, counted from 0 (one less than in the file name).
    """

    path: Path
    pid: int
    camid: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies in one folder of the data set.

    Attributes:
        path: The folder.
        records: Its images, sorted by file name, junk left out.
        junk: Number of images with id -1, which count neither as matches nor as mistakes.
        stray: Names of everything else, such as `Thumbs.db` or images that are named differently.
    """

    path: Path
    records: tuple[ImageRecord, ...] = ()
    junk: int = 0
    stray: tuple[str, ...] = ()

    def require_images(self) -> None:
        """Raises DataError if the folder holds no image to use."""
        if not self.records:
            raise DataError(
                f"{self.path}: no image named like 0002_c1s1_000451_03.jpg; "
                f"found {a_few(self.stray)} and {self.junk} junk images (id -1)"
            )


class Market1501:
    """The three parts of a data set in Market-1501's layout.

    Attributes:
        root: The folder that holds the three image folders.
        folders: What was found, by split: train, query, gallery.
        train: Training images, sorted by file name.
        query: Query images, sorted by file name.
        gallery: Gallery images, sorted by file name, distractors (id 0) included, junk left out.
    """

    def __init__(self, root: Path | str) -> None:
        """Lists the data set.

        Args:
            root: The folder as distributed (`Market-1501-v15.09.15`) or its parent.

        Raises:
            DataError: A folder is missing, is not one, or holds no images.
        """
        self.root = find_root(root)
        self.folders = {split: read_folder(self.root / name) for split, name in FOLDERS.items()}
        for folder in self.folders.values():
            folder.require_images()
        self.train = self.folders["train"].records
        self.query = self.folders["query"].records
        self.gallery = self.folders["gallery"].records

    def require_disjoint(self) -> None:
        """Raises DataError if an identity is in both the training and the test folders."""
        shared = shared_identities(self.train, self.query + self.gallery)
        if shared:
            raise DataError(overlap_message(shared))

    def require_matches(self) -> None:
        """Raises DataError if no query's identity is in the gallery under another camera."""
        if len(queries_without_match(self.query, self.gallery)) == len(self.query):
            raise DataError(f"{self.root}: no query has its identity in the gallery by another camera")


def queries_without_match(query: Sequence[ImageRecord], gallery: Sequence[ImageRecord]) -> tuple[Path, ...]:
    """Returns the queries whose identity no other camera has in the gallery."""
    cameras = cameras_by_identity(gallery)
    return tuple(record.path for record in query if not cameras.get(record.pid, set()) - {record.camid})


def cameras_by_identity(records: Iterable[ImageRecord]) -> dict[int, set[int]]:
    """Returns who was seen by which cameras; distractors are nobody in particular and left out."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in records:
        if record.pid != DISTRACTOR:
            cameras[record.pid].add(record.camid)
    return cameras


def find_root(root: Path | str) -> Path:
    """Returns the absolute path of the data set at `root` or one level below it.

    Raises:
        DataError: There is none, or several lie below `root`.
    """
    root = Path(root).absolute()
    names = _names(root)
    if _is_dataset(root):
        return root
    matches = [name for name in names if _is_dataset(root / name)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise DataError(f"{root}: holds several data sets ({a_few(matches)}); name one of them")
    raise DataError(f"{root}: no data set; found {a_few(names)}; expected {_LAYOUT}")


def read_folder(path: Path) -> Folder:
    """Lists one image folder; an empty one is no error here.

    Raises:
        DataError: The folder is missing, is not one, or may not be read.
    """
    if not path.is_dir():
        names = _names(path.parent)
        raise DataError(f"{path.parent}: no folder {path.name}; found {a_few(names)}; expected {_LAYOUT}")
    records, stray, junk = [], [], 0
    for name in _names(path):
        match = _NAME.match(name) if is_image_name(name) else None
        if match is None:
            stray.append(name)
        elif int(match[1]) == JUNK:
            junk += 1
        else:
            records.append(ImageRecord(path / name, int(match[1]), int(match[2]) - 1))
    return Folder(path, tuple(records), junk, tuple(stray))


def shared_identities(train: Iterable[ImageRecord], test: Iterable[ImageRecord]) -> tuple[int, ...]:
    """Returns the sorted ids on both sides; distractors are nobody in particular and do not count."""
    return tuple(sorted({r.pid for r in train} & {r.pid for r in test} - {DISTRACTOR}))


def overlap_message(shared: tuple[int, ...]) -> str:
    """Says in one line which identities are on both sides and what to do."""
    ids = a_few([str(pid) for pid in shared])
    return f"{len(shared)} identities are in both the training and the test folders ({ids}); keep one side"


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return Path(name).suffix.lower() in _IMAGE_SUFFIXES


def a_few(names: Iterable[str], limit: int = 3) -> str:
    """Returns the first names and how many more there are, for messages."""
    names = list(names)
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _is_dataset(path: Path) -> bool:
    """Whether a folder is there that only this layout has; `query` alone is too common a name."""
    try:
        return any((path / FOLDERS[split]).is_dir() for split in ("train", "gallery"))
    except PermissionError:  # A neighbour such as lost+found, which is none of our business.
        return False


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; expected {_LAYOUT}") from error
