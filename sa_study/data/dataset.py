"""A data set: three splits of images, found in a folder of a known layout or in a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sa_study.data.dataset_list import read_list
from sa_study.data.layout_reader import read_split
from sa_study.data.layouts import LIST, SPLITS, TEST_SPLITS, Layout, find_dataset
from sa_study.data.records import DISTRACTOR, ImageRecord, SplitFolder, has_cameras
from sa_study.utils.errors import DataError
from sa_study.utils.text import a_few


class ReidDataset:
    """The three splits of a data set in a known layout, or of one that a CSV file lists.

    Attributes:
        root: The folder that holds the image folders, or the list.
        layout: Which layout it is; `LIST` for a list.
        folders: What was found, by split: train, query, gallery.
        train: Training images, sorted by file name. These three are empty where their split was not read.
        query: Query images, sorted by file name.
        gallery: Gallery images, sorted by file name; with distractors (id 0), without junk.

    Args:
        root: The folder as distributed (`Market-1501-v15.09.15`), its parent, or a list (`LIST.csv`); `~` is
            the home folder.
        splits: The splits to read; other splits need not exist. An evaluation needs `TEST_SPLITS`. With
            `train` among them, a list needs no test images.

    Raises:
        DataError: A folder is missing, not a folder, or holds no images; or the list cannot be used.
        ConfigError: The home folder is not known.
    """

    def __init__(self, root: Path | str, splits: Sequence[str] = SPLITS) -> None:
        self.root, layout = find_dataset(root)
        if layout is LIST:
            listed = read_list(self.root)
            self.folders = {split: listed[split] for split in splits}
        else:
            self.folders = {split: read_split(self.root, layout, split) for split in splits}
        optional = TEST_SPLITS if layout is LIST and "train" in splits else ()
        for split, folder in self.folders.items():
            if split not in optional:
                folder.require_images()
        self.layout = recognise_kind(layout, self.folders)
        self.train, self.query, self.gallery = (
            self.folders[split].records if split in self.folders else () for split in SPLITS
        )

    def require_disjoint(self) -> None:
        """Raises DataError if an identity is in both the training and the test folders."""
        if shared := shared_identities(self.train, self.query + self.gallery):
            raise DataError(overlap_message(shared, self.layout))

    def require_matches(self) -> None:
        """Raises DataError if no query's identity is in the gallery under another camera."""
        for split in TEST_SPLITS:
            self.folders[split].require_images()
        if len(queries_without_match(self.query, self.gallery)) == len(self.query):
            match = "by another camera" if has_cameras(self.query) else "in another image"
            raise DataError(f"{self.root}: no query has its identity in the gallery {match}")


def queries_without_match(query: Sequence[ImageRecord], gallery: Sequence[ImageRecord]) -> tuple[Path, ...]:
    """Returns the queries whose identity is in the gallery by no other camera."""
    cameras = cameras_by_identity(gallery)
    unmatched = []
    for record in query:
        seen_by = cameras.get(record.pid, set())
        if len(seen_by) == (record.camid in seen_by):
            unmatched.append(record.path)
    return tuple(unmatched)


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


def overlap_message(shared: tuple[int, ...], layout: Layout) -> str:
    """Says in one line which identities are on both sides and what to do."""
    ids, sides = a_few([str(pid) for pid in shared]), "images" if layout is LIST else "folders"
    return f"{len(shared)} identities are in both the training and the test {sides} ({ids}); keep one side"


def recognise_kind(layout: Layout, folders: Mapping[str, SplitFolder]) -> Layout:
    """The layout itself, or the first of its kinds whose stricter naming all images follow."""
    if not layout.kinds:
        return layout
    names = [record.path.name for folder in folders.values() for record in folder.records]
    if not names or any(folder.junk for folder in folders.values()):
        return layout
    return next((kind for kind in layout.kinds if all(map(kind.parse, names))), layout)
