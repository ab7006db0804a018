"""Reads a data set in one of the known layouts: three splits of images named by identity and camera.

Only names are listed here; no image is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sa_study.data.layouts import MARKET, SPLITS, Layout, a_few, find_dataset, names_in, require_folder
from sa_study.data.lists import SkippedLines, read_lists
from sa_study.utils.errors import DataError

DISTRACTOR = 0


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


@dataclass(frozen=True, slots=True)
class SplitFolder:
    """What one split of the data set was read from, and what was found there.

    Attributes:
        path: The folder.
        records: Its images, sorted by file name, junk left out.
        junk: Number of images with id -1, which count neither as matches nor as mistakes.
        stray: Names of everything else, such as `Thumbs.db` or images that are named differently.
        example: A name as the layout has them.
        used: Where list files name the images: how many each.
        skipped: Skipped lines of list files, by reason.
        missing: Images that list files name and that are not there.
    """

    path: Path
    records: tuple[ImageRecord, ...] = ()
    junk: int = 0
    stray: tuple[str, ...] = ()
    example: str = MARKET.example
    used: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, SkippedLines] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def others(self) -> int:
        """Number of files, or lines of list files, that name no image to use."""
        return len(self.stray) + sum(lines.count for lines in self.skipped.values())

    def require_images(self) -> None:
        """Raises DataError if the folder holds no image to use, or not all that its list files name."""
        if self.missing:
            raise DataError(
                f"{self.path}: {len(self.missing)} images of {' and '.join(self.used)} are missing "
                f"({a_few(self.missing)}); restore them, or take their lines out"
            )
        if self.records:
            return
        if self.used:
            reasons = [f"{lines.count} × {why} ({lines.example})" for why, lines in self.skipped.items()]
            raise DataError(
                f"{self.path.parent}: no line of {' and '.join(self.used)} like '{self.example} ID'; "
                f"found {'; '.join(reasons) or 'nothing'}"
            )
        raise DataError(
            f"{self.path}: no image named like {self.example}; "
            f"found {a_few(self.stray)} and {self.junk} junk images (id -1)"
        )


class ReidDataset:
    """The three parts of a data set in Market-1501's layout or another one that is known.

    Attributes:
        root: The folder that holds the image folders.
        layout: Which layout it is.
        folders: What was found, by split: train, query, gallery.
        train: Training images, sorted by file name; like the other two, empty if its split was not read.
        query: Query images, sorted by file name.
        gallery: Gallery images, sorted by file name, distractors (id 0) included, junk left out.
    """

    def __init__(self, root: Path | str, splits: Sequence[str] = SPLITS) -> None:
        """Lists the data set.

        Args:
            root: The folder as distributed (`Market-1501-v15.09.15`) or its parent; `~` is the home folder.
            splits: The splits to read; the others need not exist. An evaluation needs `TEST_SPLITS`.

        Raises:
            DataError: A folder is missing, is not one, or holds no images.
            ConfigError: The home folder is not known.
        """
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
    """Returns the cameras that saw each identity; distractors are left out."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in records:
        if record.pid != DISTRACTOR:
            cameras[record.pid].add(record.camid)
    return cameras


def recognise_kind(layout: Layout, folders: Mapping[str, SplitFolder]) -> Layout:
    """The layout itself, or the one of its kinds whose stricter naming all images follow."""
    names = [record.path.name for folder in folders.values() for record in folder.records]
    if not names or any(folder.junk for folder in folders.values()):
        return layout
    return layout.kind(names)


def read_split(root: Path, layout: Layout, split: str) -> SplitFolder:
    """Lists the images of one split; none is no error here.

    Raises:
        DataError: A folder or a list file is missing, or may not be read.
    """
    part = layout.parts[split]
    path = root / part.folder
    if not part.lists:
        return read_folder(path, layout, part.offset)
    require_folder(path, layout)
    listing = read_lists(root, part, layout)
    records = tuple(ImageRecord(path / name, pid, camera) for name, pid, camera in listing.images)
    return SplitFolder(
        path,
        records,
        example=layout.example,
        used=listing.used,
        skipped=listing.skipped,
        missing=tuple(listing.missing),
    )


def read_folder(path: Path, layout: Layout = MARKET, offset: int = 0) -> SplitFolder:
    """Lists one image folder; an empty one is no error here.

    Raises:
        DataError: The folder is missing, is not one, or may not be read.
    """
    require_folder(path, layout)
    records, stray, junk = [], [], 0
    for name in names_in(path):
        parsed = layout.parse(name)
        if parsed is None:
            stray.append(name)
        elif parsed[0] == layout.junk:
            junk += 1
        else:
            records.append(ImageRecord(path / name, parsed[0] + offset, parsed[1]))
    return SplitFolder(path, tuple(records), junk, tuple(stray), layout.example)


def shared_identities(train: Iterable[ImageRecord], test: Iterable[ImageRecord]) -> tuple[int, ...]:
    """Returns the sorted ids on both sides; distractors do not count."""
    return tuple(sorted({r.pid for r in train} & {r.pid for r in test} - {DISTRACTOR}))


def overlap_message(shared: tuple[int, ...]) -> str:
    """Says in one line which identities are on both sides and what to do."""
    ids = a_few([str(pid) for pid in shared])
    return f"{len(shared)} identities are in both the training and the test folders ({ids}); keep one side"
